//! A guest that takes all that it can get: it is told so with Linux's errors, the sandbox
//! lives on, and does not grow beyond what it may.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod container;
mod sandbox;

use container::Container;
use sandbox::Sandbox;
use serde_json::json;

/// Seconds; all of them take a few on a machine that has nothing else to do.
const LONGEST: u64 = 180;

fn exhausts(what: &str, says: &str) {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("exhaust", &["-static", "-pthread"]);
    let script = format!("/bin/exhaust {what}; echo alive; ls / >/dev/null && echo sound");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_caisson-sentry"));
    command.args(["do", "--env", "PATH=/bin", "--root"]).arg(sandbox.root());
    command.args(["--mount", "type=tmpfs,dst=/tmp", "/bin/sh", "-c", &script]);
    let ended = sandbox::finish_within(&mut command, LONGEST);
    let expected = format!("{says}done\nalive\nsound\n");
    assert_eq!((ended.stdout.as_str(), ended.code), (expected.as_str(), 0), "{what}: {ended:?}");
}

#[test]
fn descriptors_and_what_is_behind_them() {
    exhausts(
        "descriptors",
        "files: many 1 error EMFILE\nmemory files: many 1\nevents: many 1 error EMFILE\n\
         pipes: many 1\nsockets: many 1\n",
    );
}

#[test]
fn watches_folders_and_sets_in_sets() {
    exhausts("watches", "sets: 1 error EMFILE\nwatches 1000\noverflow 1\n");
    exhausts("nesting", "sets in sets end 1\nfolders 1\n");
}

#[test]
fn objects_of_ipc() {
    exhausts(
        "objects",
        "segments: many 1 error ENOSPC\nsemaphores: many 1 error ENOSPC\nmessage ENOMEM\n\
         message queues: many 1\nnamed queues: some 1 error EMFILE\n",
    );
}

#[test]
fn mounts_signals_timers_and_threads() {
    exhausts("mounts", "mounts: many 1 error ENOSPC\nstat 0\nagain 0\n");
    exhausts(
        "signals",
        "signals: many 1 error EAGAIN\ngot 1\ntimers: some 1 error EAGAIN\nfired 100\n",
    );
    exhausts("threads", "threads 1\njoined\n");
}

#[test]
fn areas_of_memory() {
    exhausts("areas", "areas: many 1 error ENOMEM\nunmap 0\nhuge 1\npart 0\n");
}

/// What a program says in a container with limits, which it does not end.
fn limited(program: &str, what: &str, resources: &serde_json::Value, says: &str) {
    if !sandbox::possible() {
        return;
    }
    let script = format!("/bin/{program} {what}; echo alive");
    let container = Container::new(&["/bin/sh", "-c", &script], |config| {
        config["linux"]["resources"] = resources.clone();
    });
    container.sandbox.compile(program, &["-static", "-pthread"]);
    let ended = sandbox::finish_within(&mut container.command(&["run"], &[]), LONGEST);
    let expected = format!("{says}done\nalive\n");
    assert_eq!((ended.stdout.as_str(), ended.code), (&*expected, 0), "{ended:?}");
}

/// More processes than the container may have: the sentry's own threads are among them.
#[test]
fn processes_under_a_limit() {
    let says = "processes: some 1 error EAGAIN\ngone\nagain 3\n";
    limited("exhaust", "bomb", &json!({"pids": {"limit": 100}}), says);
}

/// A program that finds no room is told so. What has ended is no hindrance, though the host
/// takes a while to take it away.
#[test]
fn programs_under_a_limit_of_processes() {
    let says = "full 1\nexecute 11\nbad 0\n";
    limited("crowded", "", &json!({"pids": {"limit": 60}}), says);
}

/// More memory than the container may have: who takes it is killed, and nobody else.
#[test]
fn memory_under_a_limit() {
    limited("exhaust", "memory", &json!({"memory": {"limit": 96 << 20}}), "killed 9\n");
}
