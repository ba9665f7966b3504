//! What is said of the kernel's own bugs, and of what it does not serve.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod container;
mod sandbox;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use caisson_sentry::panic_report::STATUS;
use container::Container;
use sandbox::{Sandbox, until};
use serde_json::json;

/// Has debug builds of the sentry panic when a guest makes call 4999.
const PROVOKED: &str = "CAISSON_SENTRY_PROVOKED_PANIC";

/// Whether the sentry is built so that tests can have it panic.
fn possible() -> bool {
    cfg!(debug_assertions) && sandbox::possible()
}

fn is_a_report(said: &str, whose: &str) {
    let expected = [
        &format!("caisson-sentry: the kernel of {whose} has panicked, and ends with status 70."),
        "This is a bug of Caisson's",
        "The host and other sandboxes are not affected.\n",
        "  what: a test has asked?for it\n",
        "  where: crates/isolators/sentry/src/panic_report.rs:",
        ", serving call 4999 (one without a name) of process ",
        &format!("  version: {}\n", env!("CARGO_PKG_VERSION")),
    ];
    for part in expected {
        assert_eq!(said.matches(part).count(), 1, "{part}: {said}");
    }
}

fn status_of(child: &mut std::process::Child) -> Option<i32> {
    until("it ends", || child.try_wait().unwrap()).code()
}

#[test]
fn a_panic_is_reported_and_ends_the_sandbox_with_a_known_status() {
    if !possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("unserved", &["-static"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_caisson-sentry"));
    command.args(["do", "--env", "PATH=/bin", "--root"]).arg(sandbox.root());
    command.args(["/bin/sh", "-c", "unserved 4999; echo went on"]);
    let ended = sandbox::finish(command.env(PROVOKED, "1"));
    assert_eq!((ended.stdout.as_str(), ended.code), ("", STATUS.into()), "{ended:?}");
    is_a_report(&ended.stderr, "this sandbox");
    // Nobody can ask for it from inside.
    let ended =
        sandbox.run(&["/bin/sh", "-c", "export CAISSON_SENTRY_PROVOKED_PANIC=1; unserved 4999"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    // Who does not read does not keep it from ending.
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_caisson-sentry"));
    command.args(["do", "--env", "PATH=/bin", "--root"]).arg(sandbox.root());
    let fill = "(yes >&2) & sleep 1; exec unserved 4999";
    let begin = Instant::now();
    let mut child = command.args(["/bin/sh", "-c", fill]).env(PROVOKED, "1").stderr(writer).spawn();
    drop(command);
    assert_eq!(status_of(child.as_mut().unwrap()), Some(STATUS.into()));
    assert!(begin.elapsed() < Duration::from_secs(60));
    drop(reader);
}

/// A pod whose sandbox panics, and a container beside it.
#[test]
fn a_panic_ends_the_containers_of_its_sandbox_and_no_other() {
    if !possible() {
        return;
    }
    const WAIT: &str = "echo up >/up; while :; do sleep 1; done";
    let other = Container::new(&["sh", "-c", WAIT], |_| {});
    let script = "echo up >/up; while [ ! -e /go ]; do sleep 0.1; done; unserved 4999; sleep 60";
    let pod = Container::new(&["sh", "-c", script], |config| {
        config["annotations"] = json!({"io.kubernetes.cri.container-type": "sandbox"});
    });
    pod.sandbox.compile("unserved", &["-static"]);
    let stderr = pod.bundle.path().join("stderr");
    for (container, armed) in [(&other, false), (&pod, true)] {
        let mut create = container.command(&["create"], &[]);
        create.stdin(Stdio::null()).stdout(Stdio::null());
        create.stderr(std::fs::File::create(container.bundle.path().join("stderr")).unwrap());
        if armed {
            create.env(PROVOKED, "1");
        }
        assert!(create.status().unwrap().success());
        container.does(&["start"], &[]);
        until("it runs", || container.sandbox.path("up").exists().then_some(()));
    }
    let network = format!("/proc/{}/ns/net", pod.state()["pid"]);
    let member = Container::new(&["sh", "-c", WAIT], |config| {
        config["annotations"] = json!({
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.sandbox-id": pod.id,
        });
        for namespace in config["linux"]["namespaces"].as_array_mut().unwrap() {
            if namespace["type"] == "network" {
                namespace["path"] = json!(network);
            }
        }
    });
    let member = member.beside(&pod);
    let mut run = member.command(&["run"], &[]).stdin(Stdio::null()).spawn().unwrap();
    until("it runs", || member.sandbox.path("up").exists().then_some(()));
    let mut exec = pod.command(&["exec"], &["sleep", "100"]).stdin(Stdio::null()).spawn().unwrap();
    until("it runs", || pod.exec(&["ps"]).stdout.contains("sleep 100").then_some(()));

    std::fs::write(pod.sandbox.path("go"), "").unwrap();
    until("it has stopped", || (pod.status() == "stopped").then_some(()));
    is_a_report(&std::fs::read_to_string(stderr).unwrap(), &format!("container {}", pod.id));
    // What a sandbox leaves was killed.
    assert_eq!((status_of(&mut run), status_of(&mut exec)), (Some(137), Some(137)));
    for gone in [&member, &pod] {
        gone.call(&["delete"], &[]);
        assert!(gone.state().is_null() && gone.cgroups().is_empty());
    }
    assert_eq!(other.status(), "running");
    assert_eq!(other.exec(&["echo", "alive"]).stdout, "alive\n");
    assert_eq!(std::fs::read_to_string(other.bundle.path().join("stderr")).unwrap(), "");
    assert!(Path::new(&format!("/proc/{}", other.state()["pid"])).exists());
}

#[test]
fn what_is_not_served_is_logged_once_with_its_name_and_the_programs() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("unserved", &["-static"]);
    let ended = sandbox.run(&["/bin/sh", "-c", "unserved; unserved; dmesg"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let log = &ended.stdout;
    for call in [
        "250 (keyctl): ENOSYS",
        "321 (bpf): ENOSYS",
        "169 (reboot): EPERM",
        "4242 (unknown to Linux): ENOSYS",
    ] {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(call)).collect();
        let [line] = lines[..] else { panic!("{call}: {log}") };
        assert!(
            line.contains(" unserved[") && line.ends_with(&format!("]: call {call}")),
            "{line}"
        );
    }
    assert!(!log.contains("rseq"), "{log}");
}
