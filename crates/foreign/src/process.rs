//! Processes as the host's procfs shows them.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use caisson_isolator::SandboxError;
use caisson_sys::process_stat::ProcessStat;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, Dir, Mode, OFlags, openat, readlinkat};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, pidfd_send_signal, waitpid,
};
use rustix::time::Timespec;
use serde::{Deserialize, Serialize};

use crate::step::Context;

/// A process, told apart from later ones with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its number.
    pub pid: i32,
    /// When it was started, in ticks since the machine was.
    pub start_time: u64,
}

impl Identity {
    /// That of a child of the caller's, which is not reaped.
    #[must_use]
    pub fn of_child(pid: Pid) -> Option<Self> {
        let pid = pid.as_raw_nonzero().get();
        let start_time = ProcessStat::read(pid)?.start_time;
        Some(Self { pid, start_time })
    }

    /// A handle of it, if that very process still runs.
    pub fn open_live(self) -> Result<Option<OwnedFd>, SandboxError> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(None) };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            // EINVAL: the number now is a thread's.
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error).context(|| "open the first process"),
        };
        match ProcessStat::read(self.pid) {
            Some(stat) if !stat.is_dead() && stat.start_time == self.start_time => Ok(Some(pidfd)),
            _ => Ok(None),
        }
    }

    /// Kills it and waits for its end, so long; whether it has ended.
    pub fn kill(self, patience: Duration) -> Result<bool, SandboxError> {
        let Some(pidfd) = self.open_live()? else { return Ok(true) };
        match pidfd_send_signal(&pidfd, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => return Err(error).context(|| format!("kill process {}", self.pid)),
        }
        let mut wanted = [PollFd::new(&pidfd, PollFlags::IN)];
        let ended = retry_on_intr(|| poll(&mut wanted, timespec(patience).as_ref()));
        Ok(ended.context(|| format!("wait for the end of process {}", self.pid))? > 0)
    }
}

/// The caller's number.
pub fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// The processes in the PID namespace of `first`, and `first` alone if that is
/// the caller's own. Those in namespaces that it has made are not among them.
pub fn namespace_members(first: i32) -> Vec<i32> {
    let namespace = |pid: i32| readlinkat(CWD, format!("/proc/{pid}/ns/pid"), Vec::new()).ok();
    let wanted = namespace(first);
    if wanted.is_none() || wanted == namespace(own_pid()) {
        return vec![first];
    }
    // Others' can't be read, and some are gone by now.
    all_processes().filter(|pid| namespace(*pid) == wanted).collect()
}

fn all_processes() -> impl Iterator<Item = i32> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = openat(CWD, "/proc", flags, Mode::empty());
    let entries = proc.and_then(Dir::read_from).ok().into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str().ok()?.parse().ok())
}

/// The caller's children. Not every kernel has a list of them, so all
/// processes are looked at.
pub fn children() -> Vec<i32> {
    let own = own_pid();
    all_processes()
        .filter(|pid| ProcessStat::read(*pid).is_some_and(|stat| stat.parent == own))
        .collect()
}

/// Kills and reaps all children of the caller's, with those that become its
/// children by that, except those in `spared`. Whether none is left.
pub fn end_children_except(spared: &[i32], patience: Duration) -> bool {
    let until = Instant::now() + patience;
    loop {
        let mut left = children();
        left.retain(|pid| !spared.contains(pid));
        if left.is_empty() {
            return true;
        }
        for pid in left.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            // They are ours and not reaped, so the numbers are still theirs.
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// `duration` as poll(2) takes it.
pub fn timespec(duration: Duration) -> Option<Timespec> {
    Timespec::try_from(duration).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_was_given_anew_is_another_process() {
        let pid = own_pid();
        let start_time = ProcessStat::read(pid).unwrap().start_time;
        assert!(Identity { pid, start_time }.open_live().unwrap().is_some());
        assert!(Identity { pid, start_time: start_time - 1 }.open_live().unwrap().is_none());
    }
}
