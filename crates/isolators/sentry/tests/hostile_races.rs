//! Guests that change memory while calls are made with it, forge what signals return to, and
//! send more signals than anybody can take: only they are harmed, and no host call is made
//! that is in no table, which would end the sandbox.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod sandbox;

use std::path::Path;

use sandbox::{Sandbox, finish_within};

/// Runs a program of `tests/programs` beside a sound process of the same sandbox, which must not
/// notice; returns what it said.
fn attack(name: &str, words: &str, seconds: u64) -> String {
    let sandbox = Sandbox::new();
    sandbox.compile(name, &["-static", "-pthread"]);
    let script = format!(
        "(while [ ! -e /tmp/over ]; do /bin/true || exit 1; sleep 0.1; done; echo sound) & \
         {name} {words}; code=$?; touch /tmp/over; wait $! && exit $code"
    );
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_caisson-sentry"));
    command.args(["do", "--env", "PATH=/bin", "--root"]).arg(sandbox.root());
    let ended = finish_within(command.args(["/bin/sh", "-c", &script]), seconds);
    assert!(!Path::new("/caisson-sentry-escaped").exists(), "{words} made a file on the host");
    let said = ended.stdout.replace("sound\n", "");
    assert_ne!(said, ended.stdout, "{name} {words}: the other process: {ended:?}");
    assert_eq!(ended.code, 0, "{name} {words}: {ended:?}");
    said
}

/// Vectors, messages, addresses, sets, actions, futexes, times, requests, arguments of programs
/// and of clone3, paths and buffers, by reported and posted calls.
#[test]
fn what_changes_under_a_call_harms_nobody() {
    if sandbox::possible() {
        assert_eq!(attack("flips", "200", 150), "done\n");
    }
}

#[test]
fn forged_frames_of_signals_harm_nobody_else() {
    if sandbox::possible() {
        assert_eq!(attack("wild", "frames 120", 150), "frames 120\n");
    }
}

/// Signals that come all the time take and give nothing to the calls in the middle of which they
/// come.
#[test]
fn calls_have_their_results_in_a_storm_of_signals() {
    if sandbox::possible() {
        assert_eq!(attack("wild", "storm 1500", 150), "storm wrong 0 caught 1\n");
    }
}

#[test]
fn signals_at_ends_and_starts_of_programs_leave_nobody_hanging() {
    if sandbox::possible() {
        assert_eq!(attack("wild", "ends 1500", 150), "ends bad 0\n");
    }
}

/// The same for longer, by another seed each time.
#[test]
#[ignore = "takes long: make test-sentry"]
fn long_races_harm_nobody() {
    if !sandbox::possible() {
        return;
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = now.as_secs();
    println!("seed {seed}");
    assert_eq!(attack("flips", &format!("8000 {seed}"), 600), "done\n");
    assert_eq!(attack("wild", &format!("frames 3000 {seed}"), 600), "frames 3000\n");
    assert_eq!(attack("wild", &format!("storm 30000 {seed}"), 600), "storm wrong 0 caught 1\n");
    assert_eq!(attack("wild", &format!("ends 30000 {seed}"), 600), "ends bad 0\n");
}
