//! Programs that `exec` has started.

use std::collections::VecDeque;

use caisson_isolator::ExitStatus;

use crate::ExecExit;

/// So many that have ended are remembered.
const REMEMBERED: usize = 64;

/// Those that run, and the last that have ended.
#[derive(Debug, Default)]
pub(super) struct Execs {
    next: u64,
    running: Vec<(u64, Process)>,
    ended: VecDeque<(u64, ExecExit)>,
}

/// One that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    /// Inside of the container.
    pub(super) pid: i32,
    /// Our child, which ends as it does: mostly itself.
    pub(super) child: i32,
}

/// What is known of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It runs, as this process.
    Running(Process),
    /// It has ended.
    Ended(ExecExit),
}

impl Execs {
    /// A new one; its name.
    pub(super) fn add(&mut self, pid: i32, child: i32) -> u64 {
        self.next += 1;
        self.running.push((self.next, Process { pid, child }));
        self.next
    }

    pub(super) fn find(&self, exec: u64) -> Option<Found> {
        let running = self.running.iter().find(|(id, _)| *id == exec);
        let ended = || self.ended.iter().find(|(id, _)| *id == exec);
        running
            .map(|(_, process)| Found::Running(*process))
            .or_else(|| ended().map(|(_, exit)| Found::Ended(*exit)))
    }

    /// Whether this child is one that runs.
    pub(super) fn is_running(&self, child: i32) -> bool {
        self.running.iter().any(|(_, running)| running.child == child)
    }

    /// How many run.
    pub(super) fn running(&self) -> u32 {
        u32::try_from(self.running.len()).unwrap_or(u32::MAX)
    }

    /// A child was reaped; its name and status if it is one of them.
    pub(super) fn reaped(&mut self, child: i32, status: ExitStatus) -> Option<(u64, ExecExit)> {
        let at = self.running.iter().position(|(_, running)| running.child == child)?;
        let (exec, _) = self.running.swap_remove(at);
        let exit = exit_of(status);
        if self.ended.len() == REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back((exec, exit));
        Some((exec, exit))
    }
}

fn exit_of(status: ExitStatus) -> ExecExit {
    let signal = match status {
        ExitStatus::Code(_) => None,
        ExitStatus::Signal(signal) => Some(signal),
    };
    ExecExit { code: status.shell_code(), signal, finished_at: crate::now_nanos() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_remembered() {
        let mut execs = Execs::default();
        let first = execs.add(7, 100);
        assert_eq!(execs.find(first), Some(Found::Running(Process { pid: 7, child: 100 })));
        assert_eq!(execs.reaped(99, ExitStatus::Code(0)), None);
        let (exec, exit) = execs.reaped(100, ExitStatus::Signal(9)).unwrap();
        assert_eq!((exec, exit.code, exit.signal), (first, 137, Some(9)));
        assert_eq!(execs.find(first), Some(Found::Ended(exit)));
        for pid in 0..64 {
            execs.add(pid, pid);
            execs.reaped(pid, ExitStatus::Code(0));
        }
        assert_eq!((execs.find(first), execs.running()), (None, 0));
    }
}
