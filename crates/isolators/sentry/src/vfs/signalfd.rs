//! signalfd(2): signals that are read.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::signal::{self, Info};
use crate::syscalls::{Call, Failure};
use crate::task::Process;
use crate::task::waiter::{Waiter, lock};

use super::{Attributes, File, Ready};

/// Bytes of `struct signalfd_siginfo`.
const SIZE: usize = 128;

/// Reads signals of a set: those of the process that reads.
pub struct SignalFd {
    kernel: Weak<Kernel>,
    /// Who made it: whose signals poll(2) tells of.
    process: Weak<Process>,
    set: Mutex<u64>,
    /// Taken by a read that is about to give them away.
    taken: Mutex<VecDeque<Info>>,
}

impl SignalFd {
    /// Of a set.
    #[must_use]
    pub fn new(kernel: &Arc<Kernel>, process: &Arc<Process>, set: u64) -> Self {
        SignalFd {
            kernel: Arc::downgrade(kernel),
            process: Arc::downgrade(process),
            set: Mutex::new(set),
            taken: Mutex::default(),
        }
    }

    /// Changes the set.
    pub fn change(&self, set: u64) {
        *lock(&self.set) = set;
        if let Some(kernel) = self.kernel.upgrade() {
            kernel.signals.wake();
        }
    }
}

/// As the file tells a signal.
fn told(info: &Info) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    let own = info.bytes();
    // Number, error, cause; then process and user, or timer and overrun; status, value,
    // times.
    let parts = [(0, 0, 12), (16, 12, 8), (24, 40, 4), (24, 44, 4), (24, 48, 8), (32, 56, 16)];
    for (from, to, length) in parts {
        if let (Some(from), Some(to)) =
            (own.get(from..from + length), bytes.get_mut(to..to + length))
        {
            to.copy_from_slice(from);
        }
    }
    if info.code() == signal::SI_TIMER {
        for (from, to) in [(16, 24), (20, 32)] {
            if let (Some(from), Some(to)) = (own.get(from..from + 4), bytes.get_mut(to..to + 4)) {
                to.copy_from_slice(from);
            }
        }
    }
    bytes
}

impl File for SignalFd {
    fn read(&self, into: &mut [u8], _: u64) -> Result<usize, Errno> {
        if into.len() < SIZE {
            return Err(Errno::INVAL);
        }
        let mut taken = lock(&self.taken);
        let mut done = 0;
        for room in into.chunks_exact_mut(SIZE) {
            let Some(info) = taken.pop_front() else { break };
            room.copy_from_slice(&told(&info));
            done += SIZE;
        }
        if done == 0 { Err(Errno::AGAIN) } else { Ok(done) }
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    fn admit(&self, call: &Call<'_>, what: Ready, _: bool) -> Result<Option<usize>, Failure> {
        const MOST: usize = 16;
        if what == Ready::IN && call.arg(2) >= SIZE as u64 {
            let set = *lock(&self.set);
            let mut taken = lock(&self.taken);
            while taken.len() < MOST
                && let Some(info) = signal::take(call.thread, set)
            {
                taken.push_back(info);
            }
        }
        Ok(None)
    }

    fn ready(&self) -> Ready {
        let set = *lock(&self.set);
        let waits = || {
            let (kernel, process) = (self.kernel.upgrade()?, self.process.upgrade()?);
            let own = lock(&process.pending).set();
            let threads = kernel.threads_of(process.pid);
            let all = threads.iter().fold(own, |all, t| all | lock(&t.signals).pending.set());
            Some(all & set != 0)
        };
        let any = !lock(&self.taken).is_empty() || waits() == Some(true);
        if any { Ready::IN } else { Ready::empty() }
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        if let Some(kernel) = self.kernel.upgrade() {
            kernel.signals.join(waiter);
        }
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(Attributes { device: 14, inode: 4, mode: 0o600, links: 1, ..Attributes::default() })
    }

    fn own(&self) -> Option<&dyn Any> {
        Some(self)
    }
}
