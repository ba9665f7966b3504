//! The sentry's own wall, as the host's kernel sees it while a guest runs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod container;
mod sandbox;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use container::Container;
use sandbox::{Sandbox, until};
use serde_json::{Value, json};

fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|t| std::fs::read_to_string(t.path().join("children")).ok());
    lists
        .flat_map(|l| l.split_whitespace().map(|p| p.parse().unwrap()).collect::<Vec<_>>())
        .collect()
}

fn status(pid: u32) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let pairs = text.lines().filter_map(|l| l.split_once(':'));
    pairs.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect()
}

fn descriptors(pid: u32) -> Vec<PathBuf> {
    let list = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    list.filter_map(|d| std::fs::read_link(d.unwrap().path()).ok()).collect()
}

fn start(sandbox: &Sandbox) -> Child {
    command(sandbox).spawn().unwrap()
}

fn command(sandbox: &Sandbox) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caisson-sentry"));
    command
        .args(["do", "--env", "PATH=/bin", "--root"])
        .arg(sandbox.root())
        .args(["/bin/sh", "-c", "echo up >/tmp/up.new; mv /tmp/up.new /tmp/up; read x; echo $x"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// The broker and the sentry among a command's children, once a guest runs: the sentry
/// has children.
fn broker_and_sentry(command: u32) -> (u32, u32) {
    until("there are two", || {
        let both = children(command);
        let sentry = both.iter().copied().find(|pid| !children(*pid).is_empty())?;
        Some((both.into_iter().find(|pid| *pid != sentry)?, sentry))
    })
}

/// Namespaces that processes of a sandbox have of their own.
const ALL: &[&str] = &["pid", "net", "ipc", "uts", "mnt", "cgroup"];
/// Those of a container whose configuration leaves out that of cgroups, which only names them.
const CONFIGURED: &[&str] = &["pid", "net", "ipc", "uts", "mnt"];

/// What its kernel says of a confined process: nobody, behind one filter, in these namespaces
/// and a root of its own.
fn is_confined(pid: u32, capabilities: &str, namespaces: &[&str]) {
    let status = status(pid);
    assert_eq!(status["Uid"], "65534\t65534\t65534\t65534");
    assert_eq!(status["Gid"], "65534\t65534\t65534\t65534");
    assert_eq!(status["Groups"], "");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let expected = match set {
            "CapPrm" | "CapEff" => capabilities,
            _ => "0000000000000000",
        };
        assert_eq!(status[set], expected, "{set} of {pid}");
    }
    assert_eq!(status["NoNewPrivs"], "1");
    assert_eq!(status["Seccomp"], "2");
    for kind in namespaces {
        let link = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        assert_ne!(link(&pid.to_string()), link("self"), "{kind} namespace of {pid}");
    }
    let root = Path::new("/proc").join(pid.to_string()).join("root");
    assert_eq!(std::fs::read_dir(root).unwrap().count(), 0, "the root of {pid} is empty");
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    assert_eq!(mounts.lines().count(), 1, "only the empty root of {pid} is mounted: {mounts}");
}

/// So is each of its threads.
fn is_behind_a_filter(pid: u32) {
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        // One that has ended is behind nothing.
        let path = thread.unwrap().path().join("status");
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for line in ["Seccomp:\t2\n", "NoNewPrivs:\t1\n"] {
            assert!(text.contains(line), "{}: {text}", path.display());
        }
    }
}

/// The host's kernel has the filters that the tables say, and no other.
#[test]
fn the_installed_filters_are_the_tables() {
    use caisson_sentry::platform::{broker_calls::BROKER, host_calls};
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let mut child = start(&sandbox);
    until("it runs", || sandbox.path("tmp/up").exists().then_some(()));
    let (broker, sentry) = broker_and_sentry(child.id());
    for (pid, calls) in [(broker, BROKER), (sentry, host_calls::SENTRY)] {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        let installed = caisson_sys::seccomp::installed(pid).unwrap();
        assert_eq!(installed.len(), 1);
        assert!(installed[0] == host_calls::program(&calls), "the filter of {pid:?}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_sentry_and_its_stubs_have_nothing_on_the_host() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let child = start(&sandbox);
    until("it runs", || sandbox.path("tmp/up").exists().then_some(()));
    let (broker, sentry) = broker_and_sentry(child.id());
    // The first stub and the shell's, once that of `mv` is gone.
    let stubs =
        until("there are two stubs", || Some(children(sentry)).filter(|stubs| stubs.len() == 2));
    for pid in [&[sentry], stubs.as_slice()].concat() {
        is_confined(pid, "0000000000000000", ALL);
    }
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID
    is_confined(broker, "000000000000001b", ALL);
    // So is its other thread.
    let threads = std::fs::read_dir(format!("/proc/{broker}/task")).unwrap();
    let threads: Vec<_> = threads.map(|thread| thread.unwrap().path().join("status")).collect();
    assert_eq!(threads.len(), 2);
    for thread in threads {
        let text = std::fs::read_to_string(thread).unwrap();
        assert!(text.contains("Seccomp:\t2\n"), "{text}");
        assert!(text.contains("CapEff:\t000000000000001b\n"), "{text}");
    }
    // Its socket, both ends of its other thread's, a handle of its own descriptors, a procfs of
    // the sentry's, and the root; once what it may have been asked for just now is done.
    until("it has six", || (descriptors(broker).len() == 6).then_some(()));
    for stub in stubs {
        assert_eq!(descriptors(stub), Vec::<PathBuf>::new(), "descriptors of a stub");
    }
    // Once the caller is gone, so is all of it.
    let mut child = child;
    child.kill().unwrap();
    child.wait().unwrap();
    until("both are gone", || {
        [sentry, broker].iter().all(|p| !Path::new(&format!("/proc/{p}")).exists()).then_some(())
    });
}

const WAIT: &str = "echo up >/tmp/up; echo up >/up; while :; do sleep 1; done";

/// A container that runs, with folders of the host's in it, by whose namespaces `change` may say.
fn container_with_volumes(
    folder: &Path,
    change: impl FnOnce(&mut Value),
    with: Option<&Container>,
) -> Container {
    let container = Container::new(&["sh", "-c", WAIT], |config| {
        for (at, option) in [("/v", "rw"), ("/w", "ro")] {
            config["mounts"].as_array_mut().unwrap().push(json!({
                "destination": at, "source": folder, "options": ["rbind", option],
            }));
        }
        change(config);
    });
    let container = match with {
        Some(other) => container.beside(other),
        None => container,
    };
    container.create();
    container.does(&["start"], &[]);
    until("it runs", || container.sandbox.path("up").exists().then_some(()));
    container
}

/// What a member of a container's cgroup is.
#[derive(Debug, Default)]
struct Members {
    broker: Vec<u32>,
    stubs: Vec<u32>,
    others: Vec<u32>,
}

/// Processes of a container's cgroup, where `sentry` runs it: stubs are its children, brokers
/// keep capabilities of their own.
fn members(container: &Container, sentry: u32) -> Members {
    let mut all = std::collections::BTreeSet::new();
    for cgroup in container.cgroups() {
        let text = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap();
        all.extend(text.lines().map(|pid| pid.parse::<u32>().unwrap()));
    }
    let mut found = Members::default();
    let stubs = children(sentry);
    for pid in all {
        // One that has ended meanwhile is looked for no more.
        if !Path::new(&format!("/proc/{pid}/ns/mnt")).exists() {
            continue;
        }
        let kind = if status(pid)["CapPrm"] == "000000000000001b" {
            &mut found.broker
        } else if stubs.contains(&pid) {
            &mut found.stubs
        } else {
            &mut found.others
        };
        kind.push(pid);
    }
    found
}

/// What stands for a program can wait, and end itself.
fn stands_behind_a_filter(pid: u32) {
    use caisson_sentry::platform::{host_calls, stand_in_calls::of_stand_in};
    is_behind_a_filter(pid);
    // As it knows itself.
    let inner = status(pid)["NSpid"].split('\t').next_back().unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    let installed = caisson_sys::seccomp::installed(pid).unwrap();
    assert!(installed.contains(&host_calls::program(&of_stand_in(inner))), "{pid:?}");
}

/// The same of a container by the runtime's command line, with volumes, and of a second one in
/// its sandbox.
#[test]
fn containers_and_their_pods_have_nothing_on_the_host() {
    if !sandbox::possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let first = container_with_volumes(
        folder.path(),
        |config| {
            config["annotations"] = json!({"io.kubernetes.cri.container-type": "sandbox"});
        },
        None,
    );
    let sentry = u32::try_from(first.state()["pid"].as_u64().unwrap()).unwrap();
    let second = container_with_volumes(
        folder.path(),
        |config| {
            config["annotations"] = json!({
                "io.kubernetes.cri.container-type": "container",
                "io.kubernetes.cri.sandbox-id": first.id,
            });
            for namespace in config["linux"]["namespaces"].as_array_mut().unwrap() {
                if namespace["type"] == "network" {
                    namespace["path"] = json!(format!("/proc/{sentry}/ns/net"));
                }
            }
        },
        Some(&first),
    );
    let stand_in = u32::try_from(second.state()["pid"].as_u64().unwrap()).unwrap();
    // Of `sleep`s that come and go two are the same one only by chance.
    let settled = |container: &Container| {
        until("there is a broker, and are stubs", || {
            let members = members(container, sentry);
            (members.broker.len() == 1 && members.stubs.len() >= 2).then_some(members)
        })
    };
    for (container, leader) in [(&first, sentry), (&second, stand_in)] {
        let Members { broker, stubs, others } = settled(container);
        assert_eq!(others, [leader], "nobody else is in the cgroup of {}", container.id);
        is_confined(broker[0], "000000000000001b", ALL);
        is_behind_a_filter(broker[0]);
        // Its socket, both ends of its other thread's, a handle of its own descriptors, and
        // its three roots; the first one has a procfs, too.
        let most = if leader == sentry { 8 } else { 7 };
        until("it has so many", || (descriptors(broker[0]).len() == most).then_some(()));
        for stub in stubs {
            // The shell's, and those that are there for good.
            if !Path::new(&format!("/proc/{stub}/ns/mnt")).exists() {
                continue;
            }
            is_confined(stub, "0000000000000000", CONFIGURED);
            is_behind_a_filter(stub);
            assert_eq!(descriptors(stub), Vec::<PathBuf>::new(), "descriptors of a stub");
        }
    }
    is_confined(sentry, "0000000000000000", CONFIGURED);
    is_behind_a_filter(sentry);
    stands_behind_a_filter(stand_in);
    let file = folder.path().join("exec.pid");
    let words = ["exec", "--detach", "--pid-file", file.to_str().unwrap()];
    let mut command = first.command(&words, &["sleep", "100"]);
    // Nobody waits for what it would write.
    let null = Stdio::null;
    let done = command.stdin(null()).stdout(null()).stderr(null()).status().unwrap();
    assert!(done.success());
    let pid = until("it runs", || std::fs::read_to_string(&file).ok()?.trim().parse().ok());
    stands_behind_a_filter(pid);
}

/// Who started it hears why a sandbox has ended, if no guest has ended it.
#[test]
fn a_process_of_the_sandbox_that_is_killed_is_told_of() {
    use std::io::Write;
    if !sandbox::possible() {
        return;
    }
    for (kernel, code, told) in [(true, 137, "kernel"), (false, 0, "broker")] {
        let sandbox = Sandbox::new();
        let mut child = command(&sandbox).stderr(Stdio::piped()).spawn().unwrap();
        until("it runs", || sandbox.path("tmp/up").exists().then_some(()));
        let (broker, sentry) = broker_and_sentry(child.id());
        let pid = if kernel { sentry } else { broker };
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        // It may be gone already.
        let _ = child.stdin.take().unwrap().write_all(b"typed\n");
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = format!(
            "caisson-sentry: the sandbox's {told} was ended by SIGKILL: from outside, or for want \
             of memory\n"
        );
        assert_eq!((said, code_of(output.status)), (expected, code));
    }
}

fn code_of(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
}

#[test]
fn input_reaches_the_guest() {
    use std::io::Write;
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let mut child = start(&sandbox);
    child.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.stdout.as_slice(), output.status.code()), (&b"typed\n"[..], Some(0)));
}
