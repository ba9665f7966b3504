//! Children that have ended.

use caisson_isolator::ExitStatus;
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus, wait};

use super::client::Mode;
use super::state::Supervisor;
use crate::Response;

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
        self.run.pid == Some(pid) || self.guard.is(pid) || self.execs.is_running(pid)
    }

    /// Hears all workers that have something to say.
    pub(super) fn hear_workers(&mut self) {
        let mut index = 0;
        while let Some((purpose, worker)) = self.workers.get_mut(index) {
            if !worker.is_ready() {
                index += 1;
                continue;
            }
            let purpose = *purpose;
            if let Some(outcome) = worker.read() {
                self.workers.swap_remove(index);
                self.settle(purpose, outcome);
                // What that led to may have changed the list.
                index = 0;
            }
        }
    }

    fn reaped(&mut self, pid: i32, status: ExitStatus) {
        if self.run.pid == Some(pid) && self.run.ended.is_none() {
            self.ended(status);
        } else if let Some((exec, exit)) = self.execs.reaped(pid, status) {
            for client in &mut self.clients {
                if matches!(client.mode, Mode::AwaitsExec(awaited) if awaited == exec) {
                    client.answer(&Response::ExecExit(exit));
                }
            }
        } else if self.guard.is(pid) {
            self.guard.renew(&self.pod);
        }
    }
}

fn exit_status(status: WaitStatus) -> Option<ExitStatus> {
    let byte = |number: i32| u8::try_from(number & 0xff).unwrap_or(u8::MAX);
    let code = status.exit_status().map(|code| ExitStatus::Code(byte(code)));
    code.or_else(|| status.terminating_signal().map(|signal| ExitStatus::Signal(byte(signal))))
}
