//! Signalling all processes of the cgroup.

use crate::cgroup::Cgroup;
use crate::error::FileError;
use crate::freeze::FreezeError;
use crate::layout::LayoutKind;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

/// Why not all processes could be signalled.
#[derive(Debug, thiserror::Error)]
pub enum KillError {
    /// The list of members can't be read, or `cgroup.kill` not written.
    #[error("can't signal the processes of the cgroup: {0}")]
    File(#[from] FileError),
    /// The freezer failed.
    #[error("can't signal the processes of the cgroup: {0}")]
    Freeze(#[from] FreezeError),
    /// A process refused.
    #[error("can't send signal {signal} to process {pid}: {errno}")]
    Refused {
        /// The signal's number.
        signal: i32,
        /// The process.
        pid: i32,
        /// The kernel's answer.
        errno: Errno,
    },
}

impl Cgroup {
    /// Sends a signal to every process in the cgroup and its child cgroups.
    ///
    /// SIGKILL on v2 is one write to `cgroup.kill` (Linux 5.14). Otherwise the
    /// cgroup is frozen meanwhile, so that no member forks past the list; its
    /// own frozen state is restored, except after SIGKILL, which on v1 takes
    /// effect only when the cgroup is thawed.
    pub fn kill_all(&self, signal: Signal) -> Result<(), KillError> {
        if self.is_none() {
            return Ok(());
        }
        if signal == Signal::KILL
            && self.kind == LayoutKind::Unified
            && let Some(dir) = self.main_dir()
        {
            match dir.write("cgroup.kill", "1") {
                Ok(()) => return Ok(()),
                // An older kernel, or a threaded cgroup, or gone.
                Err(error) if matches!(error.errno, Errno::NOENT | Errno::OPNOTSUPP) => {}
                Err(error) if error.errno == Errno::NODEV => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        if signal == Signal::KILL && self.kind == LayoutKind::Hybrid && self.kill_in_v2_tree() {
            return Ok(());
        }
        if !self.exists() {
            return Ok(());
        }
        let was_frozen = self.is_frozen().unwrap_or(false);
        let froze = !was_frozen && self.freeze().is_ok();
        let sent = self.signal_members(signal, !froze && !was_frozen);
        if froze || (was_frozen && signal == Signal::KILL) {
            self.thaw()?;
        }
        sent
    }

    /// Hybrid: the v2 tree, which has all members, too, kills them with one
    /// write. `false` if some are left that are not in it; processes that are
    /// killed but not gone yet count, so this may say `false` needlessly, and the
    /// slow way repeats the kill. A frozen v1 cgroup has to be thawed first.
    fn kill_in_v2_tree(&self) -> bool {
        let Some(node) = self.unified_node() else { return false };
        if self.is_frozen().unwrap_or(true) || self.dir_of(node).write("cgroup.kill", "1").is_err()
        {
            return false;
        }
        self.pids(true).is_ok_and(|pids| pids.is_empty())
    }

    fn signal_members(&self, signal: Signal, unfrozen: bool) -> Result<(), KillError> {
        // Without a freezer members may fork meanwhile; SIGKILL is repeated
        // until no new one shows up, a bounded number of times.
        let rounds = if unfrozen && signal == Signal::KILL { 10 } else { 1 };
        let mut known: Vec<Pid> = Vec::new();
        for _ in 0..rounds {
            let pids = self.pids(true)?;
            let before = known.len();
            for pid in pids {
                if known.contains(&pid) {
                    continue;
                }
                known.push(pid);
                match kill_process(pid, signal) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(errno) => {
                        return Err(KillError::Refused {
                            signal: signal.as_raw(),
                            pid: pid.as_raw_nonzero().get(),
                            errno,
                        });
                    }
                }
            }
            if known.len() == before {
                break;
            }
        }
        Ok(())
    }
}
