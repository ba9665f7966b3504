//! Random system calls by several threads of several processes: the sandbox never
//! hangs, ends only by its own exit, and leaves no process behind. A host call
//! that is not in the table would end it, too.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod sandbox;

use std::time::{Duration, Instant};

use sandbox::Sandbox;

/// Makes at most `calls` calls in at most `seconds`; returns how many it made.
fn fuzz(seed: u64, calls: u64, seconds: u64) -> u64 {
    // Each run gets a file system of its own: the calls take it apart.
    let sandbox = Sandbox::new();
    sandbox.compile("fuzzer", &["-static", "-pthread"]);
    let script = format!("fuzzer {seed} {calls} {seconds}");
    let ended = sandbox.run(&["/bin/sh", "-c", &script]);
    assert_eq!(ended.code, 0, "{script}: {ended:?}");
    let made = ended.stdout.split(' ').next().and_then(|n| n.parse().ok());
    let root = sandbox.root().to_str().unwrap().to_owned();
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let left = processes_that_name(&root);
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{script}: left behind: {left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    made.unwrap_or_else(|| panic!("{script}: {ended:?}"))
}

/// Those with a word in their command line.
fn processes_that_name(word: &str) -> Vec<String> {
    let list = std::fs::read_dir("/proc").unwrap();
    list.filter_map(Result::ok)
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .filter(|line| line.contains(word))
        .collect()
}

#[test]
fn random_calls_end_nothing_and_leave_nothing() {
    if !sandbox::possible() {
        return;
    }
    let made = fuzz(1, 200_000, 3);
    assert!(made > 5_000, "{made} calls");
}

/// Two million calls, from a seed that is told if it fails.
#[test]
#[ignore = "takes long: make test-sentry"]
fn millions_of_random_calls_end_nothing_and_leave_nothing() {
    if !sandbox::possible() {
        return;
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let (mut seed, mut made) = (now.as_secs() % 1_000_000 * 1000, 0);
    let end = Instant::now() + Duration::from_secs(600);
    while made < 2_000_000 && Instant::now() < end {
        seed += 1000;
        made += fuzz(seed, 500_000, 15);
        println!("seed {seed}: {made} calls so far");
    }
    assert!(made >= 2_000_000, "{made} calls in 600 s");
}
