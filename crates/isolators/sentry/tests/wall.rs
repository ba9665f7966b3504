//! The sentry's own wall, as the host's kernel sees it while a guest runs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod sandbox;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sandbox::{Sandbox, until};

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
    Command::new(env!("CARGO_BIN_EXE_caisson-sentry"))
        .args(["do", "--env", "PATH=/bin", "--root"])
        .arg(sandbox.root())
        .args(["/bin/sh", "-c", "echo up >/tmp/up.new; mv /tmp/up.new /tmp/up; read x; echo $x"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
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

/// What its kernel says of a confined process: nobody, behind one filter, in namespaces
/// and a root of its own.
fn is_confined(pid: u32, capabilities: &str) {
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
    for kind in ["pid", "net", "ipc", "uts", "mnt", "cgroup"] {
        let link = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        assert_ne!(link(&pid.to_string()), link("self"), "{kind} namespace of {pid}");
    }
    let root = Path::new("/proc").join(pid.to_string()).join("root");
    assert_eq!(std::fs::read_dir(root).unwrap().count(), 0, "the root of {pid} is empty");
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    assert_eq!(mounts.lines().count(), 1, "only the empty root of {pid} is mounted: {mounts}");
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
        is_confined(pid, "0000000000000000");
    }
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID
    is_confined(broker, "000000000000001b");
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
