//! `kill`, as a caller sees it.

#![cfg(test)]

mod bundle;

use bundle::{Bundle, Census, eventually};

#[test]
fn kill_reaches_the_first_process_by_name_and_number() {
    let bundle = Bundle::script(
        "trap 'echo usr1' USR1; trap 'echo hup' HUP; trap 'exit 0' TERM; echo ready; \
         while :; do usleep 20000; done",
    );
    let created = bundle.started();
    eventually("ready", || created.stdout().contains("ready"));
    for (signal, word) in [("SIGUSR1", "usr1"), ("1", "hup")] {
        bundle.kill(signal).ok();
        eventually(word, || created.stdout().contains(word));
    }
    bundle.kill("NOSUCH").fails(1);
    bundle.call(&["kill", &bundle.id]).ok();
    bundle.await_status("stopped");
}

#[test]
fn kill_ends_all_processes_where_pids_are_shared() {
    let mut bundle = Bundle::script("sleep 999 & sleep 999 & wait");
    bundle.without_namespace("pid");
    let before = Census::take(&bundle);
    bundle.started();
    eventually("three processes", || {
        bundle.call(&["ps", &bundle.id]).ok().stdout().lines().count() == 4
    });
    bundle.kill("KILL").ok();
    bundle.await_status("stopped");
    bundle.delete().ok();
    assert_eq!(Census::take(&bundle), before);
}

#[test]
fn kill_ends_those_who_outlive_the_first_process() {
    let mut bundle = Bundle::script("sleep 999 & sleep 999 & wait");
    bundle.without_namespace("pid");
    let before = Census::take(&bundle);
    bundle.started();
    eventually("three processes", || {
        bundle.call(&["ps", &bundle.id]).ok().stdout().lines().count() == 4
    });
    let first = rustix::process::Pid::from_raw(bundle.pid()).unwrap();
    rustix::process::kill_process(first, rustix::process::Signal::KILL).unwrap();
    bundle.await_status("stopped");
    bundle.kill("TERM").refused(&["container not running"]);
    bundle.kill("KILL").ok();
    eventually("nobody left", || bundle.kill("KILL").code() == 1);
    bundle.kill("KILL").refused(&["container not running"]);
    bundle.delete().ok();
    assert_eq!(Census::take(&bundle), before);
}

#[test]
fn what_waits_for_its_start_can_be_terminated() {
    for signal in ["TERM", "INT", "QUIT"] {
        let bundle = Bundle::sleeper();
        bundle.create().ok();
        bundle.kill("USR1").ok();
        assert_eq!(bundle.status(), "created");
        bundle.kill(signal).ok();
        bundle.await_status("stopped");
    }
    // The program starts without handlers, so it is immune as PID 1.
    let bundle = Bundle::script("grep SigCgt /proc/self/status; exec sleep 999");
    let created = bundle.started();
    eventually("its line", || created.stdout().contains("SigCgt"));
    assert!(created.stdout().contains("SigCgt:\t0000000000000000"), "{}", created.stdout());
    bundle.kill("TERM").ok();
    assert_eq!(bundle.status(), "running");
}

#[test]
fn a_paused_container_can_be_killed() {
    let bundle = Bundle::sleeper();
    bundle.started();
    bundle.call(&["pause", &bundle.id]).ok();
    bundle.kill("KILL").ok();
    bundle.await_status("stopped");
    bundle.delete().ok();
}

#[test]
fn the_null_signal_asks_whether_there_is_somebody() {
    let bundle = Bundle::sleeper();
    bundle.started();
    bundle.kill("0").ok();
    assert_eq!(bundle.status(), "running");
    bundle.kill("KILL").ok();
    bundle.await_status("stopped");
    bundle.kill("0").refused(&["container not running"]);
    bundle.call(&["kill", "--all", &bundle.id, "0"]).ok();
}
