//! Where nothing happens, nothing is done.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod sandbox;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use sandbox::Sandbox;

/// Who sleeps uses no processor time, so nobody looks at how much it was, whatever timer is set.
#[test]
fn timers_of_who_sleeps_rest() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("threadclocks", &["-static", "-pthread"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_caisson-sentry"));
    command.args(["do", "--root"]).arg(sandbox.root()).args(["/bin/threadclocks", "sleeps"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    // How often all threads of its processes have slept.
    let slept = |pid: u32| {
        let below = |folder: &str| std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut processes = vec![pid.to_string()];
        let mut at = 0;
        while let Some(process) = processes.get(at).cloned() {
            for task in below(&format!("/proc/{process}/task")) {
                let children = std::fs::read_to_string(task.path().join("children"));
                processes
                    .extend(children.unwrap_or_default().split_whitespace().map(str::to_owned));
            }
            at += 1;
        }
        let tasks = processes.iter().flat_map(|process| below(&format!("/proc/{process}/task")));
        let counts = tasks.filter_map(|task| {
            let status = std::fs::read_to_string(task.path().join("status")).ok()?;
            let count = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))?;
            count.trim().parse::<u64>().ok()
        });
        counts.sum::<u64>()
    };
    std::thread::sleep(Duration::from_millis(300));
    let before = slept(child.id());
    std::thread::sleep(Duration::from_secs(2));
    let times = slept(child.id()) - before;
    child.kill().unwrap();
    child.wait().unwrap();
    // Each look was one: hundreds.
    assert!(before > 0 && times < 40, "{times} times after {before}: {line}");
}
