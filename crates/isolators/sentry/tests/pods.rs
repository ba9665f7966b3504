//! Several containers in one sandbox.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod container;
mod sandbox;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use caisson_isolator::Isolator as _;
use caisson_sentry::oci::{SentryIsolator, Settings};
use container::Container;
use sandbox::until;
use serde_json::{Value, json};

/// Tells that it runs, and leaves with a code of its own when it is told to.
const HEED: &str = "trap 'exit 7' TERM; echo up >/up; while :; do sleep 1; done";

fn start(container: &Container) {
    container.create();
    container.does(&["start"], &[]);
    until("it runs", || container.sandbox.path("up").exists().then_some(()));
}

/// What a pod's container is said to be.
fn annotate(config: &mut Value, kind: &str, whose: &str) {
    config["annotations"] = json!({
        "io.kubernetes.cri.container-type": kind, "io.kubernetes.cri.sandbox-id": whose,
    });
}

/// A pod's first container, which runs.
fn pod() -> Container {
    let sandbox = Container::new(&["sh", "-c", HEED], |config| {
        annotate(config, "sandbox", "none");
    });
    start(&sandbox);
    sandbox
}

fn pid(container: &Container) -> u64 {
    container.state()["pid"].as_u64().unwrap()
}

/// Joins namespaces of the sandbox's.
fn join(config: &mut Value, sandbox: &Container, kinds: &[&str]) {
    let pid = pid(sandbox);
    for namespace in config["linux"]["namespaces"].as_array_mut().unwrap() {
        let kind = namespace["type"].as_str().unwrap().to_owned();
        let file = if kind == "network" { "net" } else { &kind };
        if kinds.contains(&kind.as_str()) {
            namespace["path"] = json!(format!("/proc/{pid}/ns/{file}"));
        }
    }
}

fn member(sandbox: &Container, script: &str, kinds: &[&str]) -> Container {
    let member = Container::new(&["sh", "-c", script], |config| {
        annotate(config, "container", &sandbox.id);
        config["hostname"] = json!("member");
        config["linux"]["maskedPaths"] = json!(["/proc/net/udp6"]);
        if kinds.contains(&"uts") {
            config.as_object_mut().unwrap().remove("hostname");
        }
        join(config, sandbox, kinds);
    });
    member.beside(sandbox)
}

fn members_of_cgroup(container: &Container) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for cgroup in container.cgroups() {
        let text = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap();
        found.extend(text.lines().map(|pid| pid.parse::<u32>().unwrap()));
    }
    found
}

#[test]
fn containers_of_a_pod_share_its_network_and_little_else() {
    if !sandbox::possible() {
        return;
    }
    let pod = pod();
    let one = member(&pod, HEED, &["network", "ipc"]);
    start(&one);
    let seen = one.exec(&[
        "sh",
        "-c",
        "hostname; echo $$ >/dev/null; cat /proc/1/comm; ls /proc | grep -c '^[0-9]'",
    ]);
    // Its own two: the first one with its sleep, and those that look.
    let lines: Vec<&str> = seen.stdout.lines().collect();
    assert_eq!(lines[..2], ["member", "sh"], "{seen:?}");
    assert!(lines[2].parse::<u32>().unwrap() <= 6, "{seen:?}");
    assert_eq!(pod.exec(&["hostname"]).stdout, "box\n");
    assert_eq!(one.exec(&["sh", "-c", "echo x >/own; ls /up /own"]).stdout, "/own\n/up\n");
    assert!(!pod.sandbox.path("own").exists() && one.sandbox.path("own").exists());

    // One listens, the other one comes in by the loopback interface.
    // The listener's own input stays open: its end could end the client too early.
    let mut server = pod.command(&["exec"], &["nc", "-l", "-p", "5000"]);
    let mut server = server.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let input = server.stdin.take();
    until("somebody listens", || {
        one.exec(&["netstat", "-ltn"]).stdout.contains(":5000 ").then_some(())
    });
    let client = one.exec(&["sh", "-c", "echo through | nc 127.0.0.1 5000"]);
    assert_eq!(client.code, 0, "{client:?}");
    assert_eq!(server.wait_with_output().unwrap().stdout, b"through\n");
    drop(input);

    // So does somebody outside, by the sandbox.
    let mut server = one.command(&["exec"], &["nc", "-l", "-p", "5001"]);
    let mut server = server.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    until("somebody listens", || {
        one.exec(&["netstat", "-ltn"]).stdout.contains(":5001 ").then_some(())
    });
    let settings = Settings::in_folder(pod.root());
    let sandbox = SentryIsolator::new(settings).open_sandbox(&pod.id.parse().unwrap()).unwrap();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    sandbox.connect(5001, theirs.as_fd()).unwrap();
    drop(theirs);
    ours.write_all(b"from outside").unwrap();
    server.stdin.take().unwrap().write_all(b"hi\n").unwrap();
    let mut said = String::new();
    ours.read_to_string(&mut said).unwrap();
    assert_eq!(said, "hi\n");
    ours.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.wait_with_output().unwrap().stdout, b"from outside");
    let (_, theirs) = UnixStream::pair().unwrap();
    let refused = sandbox.connect(5002, theirs.as_fd()).unwrap_err().to_string();
    assert!(refused.contains("port 5002") && refused.contains("refused"), "{refused}");

    // Each has a cgroup of its own: what stands for it, the broker, empty and full stubs.
    let (theirs, own) = (members_of_cgroup(&pod), members_of_cgroup(&one));
    assert!(theirs.is_disjoint(&own) && own.len() >= 4, "{theirs:?} {own:?}");

    assert_eq!(one.exec(&["sh", "-c", "kill -9 $$"]).code, 137);
    one.does(&["kill"], &["TERM"]);
    until("it has stopped", || (one.status() == "stopped").then_some(()));
    one.does(&["delete"], &[]);
    assert!(one.cgroups().is_empty());
    assert_eq!(pod.exec(&["sh", "-c", "exit 4"]).code, 4);
}

/// One container's programs look for what another one has, by every name that there is.
#[test]
fn a_container_finds_nothing_of_another_ones() {
    if !sandbox::possible() {
        return;
    }
    let pod = pod();
    let one = member(&pod, HEED, &["network"]);
    for container in [&pod, &one] {
        container.sandbox.compile("trespass", &["-static", "-w"]);
    }
    start(&one);
    let keeper = pod.command(&["exec"], &["trespass", "keep"]).stdout(Stdio::piped()).spawn();
    let keeper = keeper.unwrap();
    until("it keeps", || pod.sandbox.path("ready").exists().then_some(()));
    let found = one.exec(&["trespass", "look"]);
    let expected = "segment 0 queue 0 set 0 named 0\nsegments seen 0 file 0\nsocket 0\n\
                    signals 0 traces 0 reads 0 opens 0 limits 0 others 0 own 1\nall 1\n\
                    given 0\nthrough it 1\nmade 1\nlinked 0\nfrom there 1\ndone\n";
    assert_eq!(found.stdout, expected, "{found:?}");
    assert_eq!(keeper.wait_with_output().unwrap().stdout, b"kept kept\ndone\n");
    // What was given leads as far as it does for who gave it, and no further.
    assert!(pod.sandbox.path("made").exists() && !one.sandbox.path("made").exists());
    assert!(!one.sandbox.path("linked").exists());
}

#[test]
fn processes_are_shared_if_they_are_to_be() {
    if !sandbox::possible() {
        return;
    }
    let pod = pod();
    let one = member(&pod, HEED, &["network", "ipc", "uts", "pid"]);
    start(&one);
    assert_eq!(one.exec(&["hostname"]).stdout, "box\n");
    // Though there are processes already that it could be mounted in.
    assert_eq!(one.exec(&["cat", "/proc/net/udp6", "/proc/1/net/udp6"]).stdout, "");
    assert_ne!(pod.exec(&["cat", "/proc/net/udp6"]).stdout, "");
    // A single process: a shell's child has its words until it executes something.
    let seen = one.exec(&["sh", "-c", "exec grep -l up /proc/[0-9]*/cmdline"]);
    assert_eq!(seen.stdout.lines().count(), 3, "both first ones, and who looks: {seen:?}");
    // The other one's root is its own.
    let root = one.exec(&["sh", "-c", "kill -0 1 && test $$ != 1 && echo yes"]);
    assert_eq!(root.stdout, "yes\n", "{root:?}");
    one.does(&["kill"], &["KILL"]);
    until("it has stopped", || (one.status() == "stopped").then_some(()));
    one.does(&["delete"], &[]);
    // Number 1 reaps what was orphaned when it gets round to it.
    until("only the pod's own are left", || {
        let left = pod.exec(&["sh", "-c", "ls /proc | grep -c '^[0-9]'"]);
        left.stdout.trim().parse::<u32>().is_ok_and(|count| count <= 5).then_some(())
    });
}

#[test]
fn who_joins_the_network_joins_the_sandbox() {
    if !sandbox::possible() {
        return;
    }
    let first = Container::new(&["sh", "-c", HEED], |_| {});
    start(&first);
    let script = "hostname; cat /proc/net/dev | grep -c lo:; exit 9";
    let second = Container::new(&["sh", "-c", script], |config| join(config, &first, &["network"]));
    let second = second.beside(&first);
    let ended = second.call(&["run"], &[]);
    assert_eq!((ended.stdout.as_str(), ended.code), ("box\n1\n", 9), "{ended:?}");
    assert!(second.cgroups().is_empty() && second.state().is_null());
}

#[test]
fn a_pause_stops_one_and_the_end_of_the_first_ends_all() {
    if !sandbox::possible() {
        return;
    }
    let counting = "i=0; echo up >/up; while :; do i=$((i+1)); echo $i >/n.new; mv /n.new /n; done";
    let pod = pod();
    let [one, two] = [(), ()].map(|()| member(&pod, counting, &["network", "ipc"]));
    start(&one);
    start(&two);
    let count = |of: &Container| std::fs::read_to_string(of.sandbox.path("n")).unwrap_or_default();
    one.does(&["pause"], &[]);
    assert_eq!((one.status().as_str(), two.status().as_str()), ("paused", "running"));
    let (paused, going) = (count(&one), count(&two));
    until("the other one goes on", || (count(&two) != going).then_some(()));
    assert_eq!(count(&one), paused);
    one.does(&["resume"], &[]);
    until("it goes on", || (count(&one) != paused).then_some(()));

    let own = members_of_cgroup(&two);
    pod.does(&["kill"], &["KILL"]);
    for container in [&pod, &one, &two] {
        until("it has stopped", || (container.status() == "stopped").then_some(()));
        container.does(&["delete"], &[]);
        assert!(container.cgroups().is_empty());
    }
    let gone = |pid: &u32| !std::path::Path::new(&format!("/proc/{pid}/exe")).exists();
    until("all are gone", || own.iter().all(gone).then_some(()));
}

#[test]
fn a_sandbox_that_is_not_there_is_named() {
    if !sandbox::possible() {
        return;
    }
    let pod = Container::new(&["true"], |_| {});
    let lost = Container::new(&["true"], |config| annotate(config, "container", "nobody"));
    let said = lost.beside(&pod).call(&["create"], &[]).stderr;
    assert!(said.contains("nobody") && said.contains("start it first"), "{said}");
}

#[test]
fn halves_of_a_forwarded_connection_end_by_themselves() {
    if !sandbox::possible() {
        return;
    }
    let pod = pod();
    pod.sandbox.compile("halves", &["-static"]);
    let settings = Settings::in_folder(pod.root());
    let sandbox = SentryIsolator::new(settings).open_sandbox(&pod.id.parse().unwrap()).unwrap();
    for (which, port) in [("first", 5003), ("last", 5004)] {
        let mut server = pod.command(&["exec"], &["halves", which]);
        let mut server = server.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(server.stdout.take().unwrap());
        let mut line = String::new();
        told.read_line(&mut line).unwrap();
        assert_eq!(line, "listens\n");
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        sandbox.connect(port, theirs.as_fd()).unwrap();
        drop(theirs);
        let mut said = String::new();
        if which == "first" {
            ours.read_to_string(&mut said).unwrap();
        }
        ours.write_all(b"asked").unwrap();
        ours.shutdown(Shutdown::Write).unwrap();
        if which == "last" {
            ours.read_to_string(&mut said).unwrap();
        }
        line.clear();
        told.read_line(&mut line).unwrap();
        assert_eq!((said.as_str(), line.as_str()), ("said", "asked.\n"), "{which}");
        assert!(server.wait().unwrap().success());
    }
}

/// A pod and a member of it, both with this program.
fn pair(program: &str) -> (Container, Container) {
    let pod = pod();
    let one = member(&pod, HEED, &["network", "ipc"]);
    start(&one);
    for container in [&pod, &one] {
        container.sandbox.compile(program, &["-static"]);
    }
    (pod, one)
}

/// What `passing` says of descriptors that another process gave it, as on Linux.
const TAKEN: &str = "file 5 given\nstat 0 5\nmapped given\nwrite 5\nanew 10 Given back\n\
                     inner 5 inner\nlink 5 inner\nnamed 0\nnew 4\nmode 0 0\nunlink 0\n\
                     names 4\nbeyond 1\nenter 0, and 4 made\n";

#[test]
fn descriptors_go_from_one_container_to_another() {
    if !sandbox::possible() {
        return;
    }
    let (pod, one) = pair("passing");
    let mut giver = pod.command(&["exec"], &["passing", "give"]);
    let mut giver = giver.stdout(Stdio::piped()).spawn().unwrap();
    until("somebody listens", || {
        one.exec(&["grep", "-c", "@passing", "/proc/net/unix"])
            .stdout
            .starts_with('1')
            .then_some(())
    });
    let taker = one.exec(&["passing", "take"]);
    let mut said = String::new();
    if taker.code == 0 {
        giver.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    }
    let _ = giver.kill();
    let _ = giver.wait();
    assert_eq!(taker.stdout, TAKEN, "{taker:?}");
    assert_eq!(said, "listens\nback 10 Given back\nmade 4 made\ngone -2\n");
    assert!(!one.sandbox.path("folder").exists(), "it is the other one's");
}

/// Who shares numbers with another container traces its programs, if he can do what they can;
/// nobody reaches the kernel by them, or anything of the host's.
#[test]
fn programs_of_other_containers_are_traced_as_on_linux() {
    if !sandbox::possible() {
        return;
    }
    let pod = pod();
    let beside = |user: u32, kinds: &[&str]| {
        let one = Container::new(&["sh", "-c", HEED], |config| {
            annotate(config, "container", &pod.id);
            config["process"]["user"] = json!({"uid": user, "gid": user});
            join(config, &pod, kinds);
        });
        let one = one.beside(&pod);
        std::fs::write(one.sandbox.path("up"), "").unwrap();
        one.sandbox.compile("meddles", &["-static"]);
        start(&one);
        one
    };
    pod.sandbox.compile("meddles", &["-static"]);
    let apart = beside(0, &["network"]);
    let weak = beside(1000, &["network", "pid"]);
    let one = beside(0, &["network", "pid"]);
    let sits = pod.command(&["exec"], &["meddles", "sits"]).stdout(Stdio::null()).spawn();
    let mut sits = sits.unwrap();
    let pid = until("it sits", || std::fs::read_to_string(pod.sandbox.path("sits")).ok());
    let trace = |who: &Container| who.exec(&["meddles", "traces", &pid]).stdout;
    assert_eq!(trace(&apart), "attach -3\n");
    assert_eq!(trace(&weak), "attach -1\n");
    let said = "attach 0\nstopped 137f\nregs 0 1\ncode -5\nforged 1\nthrough its root 0\nended 1\n";
    assert_eq!(trace(&one), said);
    assert!(!sits.wait().unwrap().success());
    assert!(pod.sandbox.path("forged").exists() && !one.sandbox.path("forged").exists());
    let escaped = std::path::Path::new("/caisson-sentry-escaped");
    assert!(!escaped.exists(), "made on the host");
    for container in [&pod, &one, &weak, &apart] {
        assert_eq!(container.exec(&["echo", "sound"]).stdout, "sound\n");
    }
}

/// One container's programs ask another one's about their calls.
#[test]
fn a_listener_may_be_another_containers() {
    if !sandbox::possible() {
        return;
    }
    let (pod, one) = pair("hears");
    let hears = pod.command(&["exec"], &["hears"]).stdout(Stdio::piped()).spawn().unwrap();
    let asks = one.exec(&["hears", "asks"]);
    let heard = hears.wait_with_output().unwrap();
    assert_eq!(asks.stdout, "given 1 6 theirs 1\nchild 300\nalone -38\n", "{asks:?}");
    let said = "heard 0 of 0\ngave 1\nover 1\nheard 0 of 0\ngave 1\nover 1\nheard 0\nanswered 0\n";
    assert_eq!(String::from_utf8_lossy(&heard.stdout), said);
    assert!(!one.sandbox.path("folder").exists(), "it is the other one's");
}

#[test]
fn limits_are_each_containers() {
    if !sandbox::possible() {
        return;
    }
    let pod = pod();
    let limited = |script: &str, limit: u64| {
        let member = Container::new(&["sh", "-c", script], |config| {
            annotate(config, "container", &pod.id);
            config["linux"]["resources"] = json!({"memory": {"limit": limit, "swap": limit}});
            join(config, &pod, &["network", "ipc"]);
        });
        member.beside(&pod)
    };
    // One that has too much ends, and nobody else.
    let one = limited(HEED, 64 << 20);
    start(&one);
    let hog = limited("echo up >/up; tail /dev/zero; echo $? >/code; exit 9", 24 << 20);
    let ended = hog.call(&["run"], &[]);
    // The program, or what is number 1, as the host has it.
    assert!([9, 137].contains(&ended.code), "{ended:?}");
    let told = std::fs::read_to_string(hog.sandbox.path("code")).unwrap_or_default();
    // If the memory of what it killed isn't free soon enough, the host's kernel goes on with the
    // broker: then it is the shell alone that tells.
    let killed = told == "137\n" || (told.is_empty() && ended.stderr.starts_with("Killed\n"));
    assert!(ended.code == 137 || killed, "{told:?} {ended:?}");
    assert_eq!((pod.status().as_str(), one.status().as_str()), ("running", "running"));
    assert_eq!(one.exec(&["echo", "here"]).stdout, "here\n");

    let total = |of: &Container| of.exec(&["grep", "MemTotal", "/proc/meminfo"]).stdout;
    let (others, own) = (total(&pod), total(&one));
    assert!(own.contains(" 65536 kB"), "{own}");
    one.does(&["update", "--memory", "50331648", "--memory-swap", "50331648"], &[]);
    let own = total(&one);
    assert!(own.contains(" 49152 kB"), "{own}");
    assert_eq!(total(&pod), others);
    let limit = |of: &Container| {
        let files = ["memory.limit_in_bytes", "memory.max"];
        let mut paths =
            of.cgroups().into_iter().flat_map(|group| files.map(|file| group.join(file)));
        paths.find_map(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
    };
    assert_eq!(limit(&one), "50331648\n");
    assert_ne!(limit(&pod), "50331648\n");
}

/// Nor its processes by their numbers.
#[test]
fn a_container_sees_no_locks_of_another_one() {
    if !sandbox::possible() {
        return;
    }
    let pod = pod();
    let one = member(&pod, HEED, &["network", "ipc"]);
    start(&one);
    pod.sandbox.compile("lockers", &["-static"]);
    one.sandbox.compile("lockers", &["-static"]);
    let mut holder = pod.command(&["exec"], &["lockers", "/etc/lock"]);
    let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    until("it is locked", || {
        let seen = pod.exec(&["cat", "/proc/locks"]).stdout;
        seen.contains("FLOCK  ADVISORY  WRITE").then_some(())
    });
    assert_eq!(one.exec(&["cat", "/proc/locks"]).stdout, "");
    let own = one.exec(&["lockers", "/etc/lock"]);
    assert_eq!(own.stdout, "own, lock: FLOCK WRITE own\n", "{own:?}");
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
}
