//! What a process has started, as far as it still descends from it or is in its
//! session.

use std::os::fd::OwnedFd;

use caisson_sys::process_stat::ProcessStat;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::processes::children;

/// Most that are looked for.
const LIMIT: usize = 4096;

/// A process that was seen as a descendant.
#[derive(Debug)]
pub(super) struct Descendant {
    pidfd: OwnedFd,
}

impl Descendant {
    pub(super) fn kill(&self) {
        // It may have ended meanwhile.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }
}

/// The descendants of `pid`. Each was still a child of one of the others after
/// its handle was taken, so that a number that was given anew is not hit.
pub(super) fn of(pid: i32) -> Vec<Descendant> {
    let mut found = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            let pidfd = Pid::from_raw(child).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
            let Some(Ok(pidfd)) = pidfd else { continue };
            if !children(parent).contains(&child) || found.len() >= LIMIT {
                continue;
            }
            found.push(Descendant { pidfd });
            parents.push(child);
        }
    }
    found
}

/// Those of `candidates` that live in the session that `leader` has begun. The
/// session keeps its number for as long as anybody is in it.
pub(super) fn in_session(leader: i32, candidates: &[i32]) -> Vec<Descendant> {
    let belongs = |pid: i32| {
        ProcessStat::read(pid).is_some_and(|stat| stat.session == leader && !stat.is_dead())
    };
    candidates
        .iter()
        .filter_map(|&pid| {
            let pidfd = Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()))?;
            // Again, now that the number can't be given anew unnoticed.
            belongs(pid).then_some(Descendant { pidfd: pidfd.ok()? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufRead as _;

    #[test]
    fn grandchildren_are_found() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "sh -c 'sleep 60 & echo up; wait' ; true"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = shell.stdout.take().unwrap();
        std::io::BufReader::new(out).read_line(&mut line).unwrap();
        let found = of(i32::try_from(shell.id()).unwrap());
        assert_eq!(found.len(), 2);
        for descendant in &found {
            descendant.kill();
        }
        assert!(shell.wait().unwrap().success());
    }
}
