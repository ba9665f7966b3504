//! Children that have ended.

use caisson_isolator::ExitStatus;
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus, wait};

use super::client::Mode;
use super::state::Supervisor;
use super::unit::Unit;
use crate::{Happening, Response};

impl Supervisor {
    /// Reaps all that have ended: the container, programs of `exec`, workers,
    /// and whatever else was orphaned.
    pub(super) fn reap(&mut self) {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let pid = pid.as_raw_nonzero().get();
                    let Some(status) = exit_status(status) else { continue };
                    if !self.is_known(pid) {
                        // A short program may end before its worker's word
                        // was read; that has come, as its worker has ended.
                        self.hear_workers();
                    }
                    self.reaped(pid, status);
                }
                Err(Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn is_known(&self, pid: i32) -> bool {
        let of_unit = |unit: &Unit| unit.run.child == Some(pid) || unit.execs.is_running(pid);
        self.guard.is(pid) || self.units.iter().any(of_unit)
    }

    fn reaped(&mut self, pid: i32, status: ExitStatus) {
        if self.guard.is(pid) {
            return self.guard.renew(&self.pod);
        }
        let first = |unit: &&Unit| unit.run.child == Some(pid) && unit.run.ended.is_none();
        if let Some(key) = self.units.iter().find(first).map(|unit| unit.key) {
            return self.ended(key, status);
        }
        let ended = self.units.iter_mut().find_map(|unit| {
            unit.execs.reaped(pid, status).map(|(exec, exit)| (unit.key, exec, exit))
        });
        let Some((key, exec, exit)) = ended else { return };
        for client in &mut self.clients {
            if matches!(client.mode, Mode::AwaitsExec(of, awaited) if (of, awaited) == (key, exec))
            {
                client.answer(&Response::ExecExit(exit));
            }
        }
        self.tell(key, Happening::ExecExited { exec, exit });
    }
}

fn exit_status(status: WaitStatus) -> Option<ExitStatus> {
    let byte = |number: i32| u8::try_from(number & 0xff).unwrap_or(u8::MAX);
    let code = status.exit_status().map(|code| ExitStatus::Code(byte(code)));
    code.or_else(|| status.terminating_signal().map(|signal| ExitStatus::Signal(byte(signal))))
}
