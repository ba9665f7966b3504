//! Pausing: by signals, not by the cgroup's freezer, which waits for each thread. A
//! guest's thread whose call is being served sleeps until it is answered; no freezer can
//! have that, and it does no harm: the sentry, which would answer, is stopped.

use std::time::{Duration, Instant};

use caisson_foreign::step::Context as _;
use caisson_isolator::SandboxError;
use caisson_sys::process_stat::ProcessStat;
use rustix::process::Pid;

use crate::platform::signal_first_thread;

const SIGSTOP: i32 = 19;
const SIGCONT: i32 = 18;
/// How long stopping may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the sandbox whose first process is `sentry` is paused.
pub(super) fn is_paused(sentry: i32) -> bool {
    ProcessStat::read(sentry).is_some_and(ProcessStat::is_stopped)
}

/// Stops the sentry, then what it can't add to any more. Returns once nothing runs.
pub(super) fn pause(
    sentry: i32,
    processes: &dyn Fn() -> Result<Vec<Pid>, SandboxError>,
) -> Result<(), SandboxError> {
    let end = Instant::now() + PATIENCE;
    send(sentry, SIGSTOP)?;
    wait(&[sentry], end)?;
    let mut stopped: Vec<i32> = vec![sentry];
    loop {
        let all = processes()?;
        let all = all.iter().map(|pid| pid.as_raw_nonzero().get());
        let others: Vec<i32> = all.filter(|pid| !stopped.contains(pid)).collect();
        if others.is_empty() {
            return Ok(());
        }
        for pid in &others {
            send(*pid, SIGSTOP)?;
        }
        wait(&others, end)?;
        // One that was being made is seen next; a sandbox with several containers goes on
        // for the others, so its sentry is not among these.
        stopped.extend(others);
    }
}

/// Lets all go on, the sentry last.
pub(super) fn resume(sentry: i32, processes: &[Pid]) -> Result<(), SandboxError> {
    let others = processes.iter().map(|pid| pid.as_raw_nonzero().get());
    for pid in others.filter(|pid| *pid != sentry) {
        send(pid, SIGCONT)?;
    }
    send(sentry, SIGCONT)
}

fn send(pid: i32, signal: i32) -> Result<(), SandboxError> {
    // To its first thread, so that the sentry does not take it for one to pass on.
    signal_first_thread(pid, signal).context(|| format!("send signal {signal} to process {pid}"))
}

fn wait(pids: &[i32], end: Instant) -> Result<(), SandboxError> {
    let runs = |pid: &&i32| {
        let stat = ProcessStat::read(**pid);
        stat.is_some_and(|s| !(s.is_stopped() || s.is_deep_asleep() || s.is_dead()))
    };
    while let Some(pid) = pids.iter().find(runs) {
        if Instant::now() > end {
            let cause = format!("process {pid} still runs {} s later", PATIENCE.as_secs());
            return Err(SandboxError::step("pause the container", cause));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
