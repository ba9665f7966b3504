//! Pods of several containers, or none.

use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use caisson_shim::client::{Container, Events, ExecStdio, LaunchFds, collect, connect};
use caisson_shim::{Event, ExitRecord, FaultKind, Happening, NamespaceKind, Status};
use caisson_sys::unshare::{Unshare, unshare};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::exec::process;
use super::faults::guard_of;
use crate::needs_root;
use crate::pod::{Member, PATIENCE, PROGRAM, Pod, await_state, eventually};

const SLEEPER: &str = "trap 'exit 7' TERM; echo up; while :; do sleep 1000 & wait $!; done";

fn new_namespace(kind: Unshare, name: &str) -> OwnedFd {
    let path = format!("/proc/thread-self/ns/{name}");
    let make = || {
        unshare(kind).unwrap();
        fs::File::open(path).unwrap().into()
    };
    std::thread::scope(|scope| scope.spawn(make).join().unwrap())
}

fn link(path: &str) -> String {
    fs::read_link(path).unwrap().to_str().unwrap().to_owned()
}

/// Waits for an event of this container.
#[track_caller]
fn next(events: &mut Events, container: &Container) -> Happening {
    loop {
        let event: Event = events.next(Some(PATIENCE)).unwrap().unwrap();
        if event.container == container.id() {
            return event.what;
        }
    }
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn a_pod_without_containers_lives_until_it_is_told_to_go() {
    needs_root!();
    let mut pod = Pod::empty();
    let shim = pod.launch_with(&LaunchFds::default()).unwrap().commit().unwrap();
    let state = shim.state().unwrap();
    assert_eq!((state.id.as_str(), state.containers.len()), (pod.id.as_str(), 0));
    let absent = shim.container("nonesuch").state().unwrap_err();
    assert_eq!(absent.fault().unwrap().kind, FaultKind::NotFound);
    let namespace = shim.namespace(NamespaceKind::Net).unwrap_err();
    assert_eq!(namespace.fault().unwrap().kind, FaultKind::NotFound);
    shim.shutdown(false).unwrap();
    pod.await_clean();
    pod.config["linger"] = json!(false);
    let error = pod.launch_with(&LaunchFds::default()).unwrap_err().to_string();
    assert!(error.contains("linger"), "{error}");
}

#[test]
fn containers_share_namespaces_and_end_on_their_own() {
    needs_root!();
    let pod = Pod::empty();
    let kinds = [
        (NamespaceKind::Net, Unshare::Network, "net", "network"),
        (NamespaceKind::Ipc, Unshare::Ipc, "ipc", "ipc"),
        (NamespaceKind::Uts, Unshare::Uts, "uts", "uts"),
    ];
    let made: Vec<(NamespaceKind, OwnedFd)> =
        kinds.iter().map(|(kind, flag, name, _)| (*kind, new_namespace(*flag, name))).collect();
    let names: Vec<String> = made
        .iter()
        .map(|(_, fd)| {
            let number = std::os::fd::AsRawFd::as_raw_fd(fd);
            link(&format!("/proc/self/fd/{number}"))
        })
        .collect();
    let fds = LaunchFds {
        namespaces: made.iter().map(|(kind, fd)| (*kind, fd.as_fd())).collect(),
        ..LaunchFds::default()
    };
    let shim = pod.launch_with(&fds).unwrap().commit().unwrap();
    drop(made);
    let member = |name: &str, text: &str| {
        let mut member = Member::script(&pod, name, text);
        for (kind, _, _, oci) in kinds {
            member.join(oci, kind.path());
        }
        member
    };
    let (_, mut events) = shim.subscribe().unwrap();
    let (one, two) = (member("one", SLEEPER), member("two", "cat; exit 3"));
    let (first, second) = (one.create(&shim), two.create(&shim));
    let Happening::Created { pid } = next(&mut events, &first) else { panic!() };
    for ((_, _, name, _), shared) in kinds.iter().zip(&names) {
        let other = second.state().unwrap().pid.unwrap();
        assert_eq!(&link(&format!("/proc/{pid}/ns/{name}")), shared);
        assert_eq!(&link(&format!("/proc/{other}/ns/{name}")), shared);
    }
    for (kind, name) in kinds.iter().map(|kind| kind.0).zip(&names) {
        let given = shim.namespace(kind).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&given);
        assert_eq!(&link(&format!("/proc/self/fd/{number}")), name);
    }
    first.start().unwrap();
    second.start().unwrap();
    assert!(matches!(next(&mut events, &first), Happening::Started { .. }));
    let record = second.wait(Some(PATIENCE)).unwrap();
    assert_eq!(record.code, 3);
    assert_eq!(first.state().unwrap().status, Status::Running);
    let exits = [first.stop(Some(PATIENCE), None).unwrap(), record];
    assert_eq!(exits[0].code, 7);
    for (container, exit) in [&first, &second].into_iter().zip(&exits) {
        assert_eq!(
            caisson_shim::client::exit_record(&pod.pod_dir(), container.id()).as_ref(),
            Some(exit)
        );
    }
    assert_eq!(
        next(&mut events, &first),
        Happening::Exited { exit: exits[0].clone(), restarts: false }
    );
    // One goes and comes again under the same name; the other stays as it is.
    first.remove(false).unwrap();
    assert_eq!(next(&mut events, &first), Happening::Removed);
    assert!(caisson_shim::client::exit_record(&pod.pod_dir(), first.id()).is_none());
    assert!(first.state().is_err());
    let again = one.create(&shim);
    again.start().unwrap();
    assert_eq!(second.state().unwrap().exit.as_ref(), Some(&exits[1]));
    let refused = again.remove(false).unwrap_err();
    assert_eq!(refused.fault().unwrap().kind, FaultKind::WrongStatus);
    assert_eq!(shim.shutdown(false).unwrap_err().fault().unwrap().kind, FaultKind::WrongStatus);
    again.remove(true).unwrap();
    assert_eq!(shim.state().unwrap().containers.len(), 1);
    shim.shutdown(false).unwrap();
    assert_eq!(events_to_the_end(&mut events), Some(Happening::Removed));
    pod.await_clean();
}

fn events_to_the_end(events: &mut Events) -> Option<Happening> {
    let mut last = None;
    while let Some(event) = events.next(Some(PATIENCE)).unwrap() {
        last = Some(event.what);
    }
    last
}

#[test]
fn a_pid_namespace_is_shared_through_an_init() {
    needs_root!();
    let pod = Pod::empty();
    let shim = pod.launch_with(&LaunchFds::default()).unwrap().commit().unwrap();
    let mut init = Member::script(&pod, "init", SLEEPER);
    init.container["init"] = json!(true);
    let first = init.create(&shim);
    first.start().unwrap();
    let mut joining =
        Member::script(&pod, "joining", "cat /proc/1/comm; (sleep 0.01 &); exec sleep 1000");
    joining.container["share_pids_with"] = json!(first.id());
    let wrong = joining.try_create(&shim).unwrap_err().to_string();
    assert!(wrong.contains("PID namespace"), "{wrong}");
    joining.drop_namespace("pid");
    let second = joining.create(&shim);
    second.start().unwrap();
    joining.await_log("caisson-init");
    let pids = [&first, &second].map(|container| container.state().unwrap().pid.unwrap());
    let namespaces = pids.map(|pid| link(&format!("/proc/{pid}/ns/pid")));
    assert_eq!(namespaces[0], namespaces[1]);
    // Its end is its own; the init's is everybody's.
    let third = Member::script(&pod, "lost", "exit 0");
    assert!(second.stop(Some(Duration::ZERO), None).unwrap().signal.is_some());
    assert_eq!(first.state().unwrap().status, Status::Running);
    second.remove(false).unwrap();
    let second = joining.create(&shim);
    second.start().unwrap();
    first.signal(9, false).unwrap();
    assert_eq!(first.wait(Some(PATIENCE)).unwrap().signal, Some(9));
    assert_eq!(second.wait(Some(PATIENCE)).unwrap().signal, Some(9));
    let mut third = third;
    third.container["share_pids_with"] = json!(first.id());
    assert!(third.try_create(&shim).unwrap_err().to_string().contains("does not run"));
    shim.shutdown(true).unwrap();
}

#[test]
fn a_failed_creation_leaves_nothing_and_the_pod_goes_on() {
    needs_root!();
    let pod = Pod::empty();
    let shim = pod.launch_with(&LaunchFds::default()).unwrap().commit().unwrap();
    let good = Member::script(&pod, "good", SLEEPER);
    let running = good.create(&shim);
    running.start().unwrap();
    let mut bad = Member::script(&pod, "bad", "");
    bad.spec["process"]["args"] = json!(["/nonesuch"]);
    let error = bad.try_create(&shim).unwrap_err();
    assert_eq!(error.fault().unwrap().kind, FaultKind::NoProgram, "{error}");
    bad.container["rootfs"]["overlay"]["lowers"] = json!(["/no/such/layer", "/"]);
    let error = bad.try_create(&shim).unwrap_err().to_string();
    assert!(error.contains("/no/such/layer"), "{error}");
    let twice = good.try_create(&shim).unwrap_err().to_string();
    assert!(twice.contains("already"), "{twice}");
    let mut odd = Member::script(&pod, "odd", "");
    odd.container["id"] = json!("../x");
    assert!(odd.try_create(&shim).unwrap_err().to_string().contains("invalid id"));
    let left: Vec<_> = fs::read_dir(pod.pod_dir().join("containers")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(shim.state().unwrap().containers.len(), 1);
    assert_eq!(running.stop(Some(PATIENCE), None).unwrap().code, 7);
    shim.shutdown(true).unwrap();
}

#[test]
fn a_step_that_takes_too_long_is_ended_and_named() {
    needs_root!();
    let mut pod = Pod::empty();
    pod.config["step_limit_ms"] = json!(1500);
    let shim = pod.launch_with(&LaunchFds::default()).unwrap().commit().unwrap();
    let mut slow = Member::script(&pod, "slow", SLEEPER);
    slow.spec["hooks"] =
        json!({"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "30"]}]});
    let began = Instant::now();
    let waiting = {
        let (shim, slow) = (shim.clone(), slow.clone());
        std::thread::spawn(move || slow.try_create(&shim))
    };
    // Others are served meanwhile.
    std::thread::sleep(Duration::from_millis(300));
    let other = Member::script(&pod, "other", "exit 4").create(&shim);
    other.start().unwrap();
    assert_eq!(other.wait(Some(PATIENCE)).unwrap().code, 4);
    assert!(began.elapsed() < Duration::from_millis(1500));
    // Who waits for the end of what was never made hears so.
    let never = shim.container(slow.container["id"].as_str().unwrap()).wait(Some(PATIENCE));
    assert_eq!(never.unwrap_err().fault().unwrap().kind, FaultKind::NotFound);
    let error = waiting.join().unwrap().unwrap_err();
    assert_eq!(error.fault().unwrap().kind, FaultKind::TimedOut, "{error}");
    assert!(error.to_string().contains("make container"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(20));
    slow.spec["hooks"] = json!({});
    let container = slow.create(&shim);
    container.start().unwrap();
    container.remove(true).unwrap();
    // The same while it is started: then it has ended.
    slow.spec["hooks"] = json!({"poststart": [{"path": "/bin/sleep", "args": ["sleep", "30"]}]});
    let container = slow.create(&shim);
    let error = container.start().unwrap_err();
    assert_eq!(error.fault().unwrap().kind, FaultKind::TimedOut, "{error}");
    let record = container.wait(Some(PATIENCE)).unwrap();
    assert!(record.error.is_some_and(|why| why.contains("start container")));
    shim.shutdown(true).unwrap();
}

#[test]
fn events_tell_of_programs_and_memory() {
    needs_root!();
    let pod = Pod::empty();
    let shim = pod.launch_with(&LaunchFds::default()).unwrap().commit().unwrap();
    let mut member = Member::script(&pod, "one", "read x; tail /dev/zero; echo survived");
    member.container["stdin"] = json!("open");
    member.spec["linux"]["resources"] = json!({"memory": {"limit": 16 << 20, "swap": 16 << 20}});
    let container = member.create(&shim);
    container.start().unwrap();
    let (state, mut events) = shim.subscribe().unwrap();
    assert_eq!(state.containers[0].status, Status::Running);
    let started = container.exec(process(&["sh", "-c", "exit 3"]), ExecStdio::Null).unwrap();
    let (exec, pid) = (started.exec, started.pid);
    assert_eq!(next(&mut events, &container), Happening::ExecStarted { exec, pid });
    let Happening::ExecExited { exec: ended, exit } = next(&mut events, &container) else {
        panic!()
    };
    assert_eq!((ended, exit.code), (exec, 3));
    container.pause().unwrap();
    assert_eq!(next(&mut events, &container), Happening::Paused);
    container.resume().unwrap();
    assert_eq!(next(&mut events, &container), Happening::Resumed);
    let client = container.attach(crate::pod::follow(true)).unwrap();
    client.input.write(b"\n").unwrap();
    let mut told = false;
    loop {
        match next(&mut events, &container) {
            Happening::Oom => told = true,
            Happening::Exited { exit, .. } => break assert!(exit.oom && told, "{exit:?}"),
            other => panic!("{other:?}"),
        }
    }
    // The end of its input ends who reads it.
    let mut reader = Member::script(&pod, "reader", "cat; exit 6");
    reader.container["stdin"] = json!("open");
    let reading = reader.create(&shim);
    reading.start().unwrap();
    reading.attach(crate::pod::follow(true)).unwrap().input.write(b"all of it").unwrap();
    reading.close_stdin().unwrap();
    assert_eq!(reading.wait(Some(PATIENCE)).unwrap().code, 6);
    assert!(reader.log().contains("all of it"));
    shim.shutdown(true).unwrap();
}

#[test]
fn who_comes_again_finds_all_as_it_was() {
    needs_root!();
    let pod = Pod::empty();
    let first = pod.launch_with(&LaunchFds::default()).unwrap().commit().unwrap();
    let one = Member::script(&pod, "one", SLEEPER);
    let two = Member::script(&pod, "two", "exit 9");
    one.create(&first).start().unwrap();
    let ended = two.create(&first);
    ended.start().unwrap();
    ended.wait(Some(PATIENCE)).unwrap();
    drop((first, ended));
    let shim = connect(&pod.pod_dir()).unwrap();
    let (state, _events) = shim.subscribe().unwrap();
    let found: Vec<(Status, Option<u8>)> = state
        .containers
        .iter()
        .map(|state| (state.status, state.exit.as_ref().map(|exit| exit.code)))
        .collect();
    assert_eq!(found, [(Status::Running, None), (Status::Stopped, Some(9))]);
    shim.shutdown(true).unwrap();
}

#[test]
fn logs_are_each_containers_own_and_can_be_opened_anew() {
    needs_root!();
    let pod = Pod::empty();
    let shim = pod.launch_with(&LaunchFds::default()).unwrap().commit().unwrap();
    let text = "n=0; while read x; do n=$((n+1)); echo line $n; echo odd $n >&2; done";
    let mut members: Vec<Member> =
        ["one", "two"].iter().map(|name| Member::script(&pod, name, text)).collect();
    let containers: Vec<Container> = members
        .iter_mut()
        .map(|member| {
            member.container["log"]["driver"] = json!("k8s");
            member.container["stdin"] = json!("open");
            let container = member.create(&shim);
            container.start().unwrap();
            container
        })
        .collect();
    let say = |container: &Container| {
        container.attach(crate::pod::follow(true)).unwrap().input.write(b"\n").unwrap();
    };
    for (member, container) in members.iter().zip(&containers) {
        say(container);
        member.await_log(" stdout F line 1\n");
        member.await_log(" stderr F odd 1\n");
    }
    // As the kubelet does it.
    let log = members[0].log_path();
    let old = log.with_extension("old");
    fs::rename(&log, &old).unwrap();
    containers[0].reopen_log().unwrap();
    containers.iter().for_each(say);
    members[0].await_log("line 2");
    members[1].await_log("line 2");
    assert!(!members[0].log().contains("line 1"));
    assert!(fs::read_to_string(old).unwrap().contains("line 1"));
    assert!(members[1].log().contains("line 1"));
    shim.shutdown(true).unwrap();
}

#[test]
fn a_killed_supervisor_takes_all_its_containers_along() {
    needs_root!();
    let pod = Pod::empty();
    let shim = pod.launch_with(&LaunchFds::default()).unwrap().commit().unwrap();
    let members = ["one", "two", "done"]
        .map(|name| Member::script(&pod, name, if name == "done" { "exit 5" } else { SLEEPER }));
    let containers: Vec<Container> = members.iter().map(|member| member.create(&shim)).collect();
    containers.iter().for_each(|container| container.start().unwrap());
    let ended = containers[2].wait(Some(PATIENCE)).unwrap();
    let waiting = {
        let container = containers[0].clone();
        std::thread::spawn(move || container.wait(Some(PATIENCE)))
    };
    std::thread::sleep(Duration::from_millis(50));
    kill(shim.state().unwrap().shim_pid);
    pod.await_clean();
    let record = |container: &Container| {
        caisson_shim::client::exit_record(&pod.pod_dir(), container.id()).unwrap()
    };
    for lost in &containers[..2] {
        assert_eq!(record(lost).code, ExitRecord::LOST);
        assert!(record(lost).error.is_some());
        assert_eq!(lost.wait(Some(PATIENCE)).unwrap(), record(lost));
    }
    assert_eq!(record(&containers[2]), ended);
    let _ = waiting.join().unwrap();
}

#[test]
fn a_guard_is_replaced_and_both_dead_are_collected() {
    needs_root!();
    let pod = Pod::empty();
    let shim = pod.launch_with(&LaunchFds::default()).unwrap().commit().unwrap();
    for name in ["one", "two"] {
        Member::script(&pod, name, SLEEPER).create(&shim).start().unwrap();
    }
    let pid = shim.state().unwrap().shim_pid;
    let first = guard_of(pid).unwrap();
    kill(first);
    eventually("there is another", || guard_of(pid).is_some_and(|guard| guard != first));
    kill_process(Pid::from_raw(pid).unwrap(), Signal::STOP).unwrap();
    kill(guard_of(pid).unwrap());
    kill(pid);
    pod.await_gone();
    assert!(!pod.leftovers().is_empty());
    collect(Path::new(PROGRAM), &pod.pod_dir()).unwrap();
    pod.await_clean();
    let records = fs::read_dir(pod.pod_dir().join("exit")).unwrap().count();
    assert_eq!(records, 2);
}

#[test]
fn the_supervisor_goes_to_the_cgroup_that_it_is_told() {
    needs_root!();
    let mut pod = Pod::empty();
    let group = format!("/{}-supervisors", pod.id);
    pod.config["cgroup"] = json!(group);
    let shim = pod.launch_with(&LaunchFds::default()).unwrap().commit().unwrap();
    let pid = shim.state().unwrap().shim_pid;
    let member = Member::script(&pod, "one", SLEEPER);
    let container = member.create(&shim);
    container.start().unwrap();
    for (pid, there) in [
        (pid, true),
        (guard_of(pid).unwrap(), true),
        (container.state().unwrap().pid.unwrap(), false),
    ] {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        assert_eq!(groups.contains(&group), there, "{groups}");
    }
    shim.shutdown(true).unwrap();
    pod.await_gone();
    eventually("the guard has left", || {
        caisson_cgroup::remove_unused(&group);
        pod.leftovers().is_empty()
    });
}

#[test]
fn two_thousand_steps_leak_nothing() {
    needs_root!();
    let pod = Pod::empty();
    let shim = pod.launch_with(&LaunchFds::default()).unwrap().commit().unwrap();
    let members = ["one", "two"].map(|name| Member::script(&pod, name, SLEEPER));
    let containers = members.map(|member| member.create(&shim));
    containers.iter().for_each(|container| container.start().unwrap());
    let pid = shim.state().unwrap().shim_pid;
    let descriptors = || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let before = descriptors();
    for _ in 0..500 {
        for container in &containers {
            let started = container.exec(process(&["true"]), ExecStdio::Null).unwrap();
            container.wait_exec(started.exec, Some(PATIENCE)).unwrap();
        }
    }
    eventually("clients' connections are closed", || descriptors() <= before);
    for _ in 0..20 {
        let member = Member::script(&pod, "short", "exit 0");
        let container = member.create(&shim);
        container.start().unwrap();
        container.wait(Some(PATIENCE)).unwrap();
        container.remove(false).unwrap();
    }
    eventually("all else is closed", || descriptors() <= before);
    let states = await_state(&containers[0], "no exec is left", |state| state.execs == 0);
    assert_eq!(states.status, Status::Running);
    // It makes itself small when nothing has happened for a second.
    std::thread::sleep(Duration::from_millis(1500));
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let field = |name: &str| -> u64 {
        let line = rollup.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let (resident, own) = (field("Rss:"), field("Anonymous:"));
    eprintln!("with two containers after 1,040 runs: RSS {resident} kB, anonymous {own} kB");
    assert!(resident < 2048 || cfg!(debug_assertions), "{resident} kB");
    assert!(own < 1024, "{own} kB of its own");
    shim.shutdown(true).unwrap();
}
