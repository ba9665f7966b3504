//! signalfd(2): signals that are read.

use std::any::Any;
use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::signal::{self, Info};
use crate::syscalls::Call;
use crate::task::waiter::{Waiter, lock};
use crate::task::{Process, Thread};

use super::{Attributes, File, Ready};

/// Bytes of `struct signalfd_siginfo`.
const SIZE: usize = 128;

/// Reads signals of a set: those of the thread that reads, and of its process.
pub struct SignalFd {
    kernel: Weak<Kernel>,
    /// Who made it: whose signals it tells of where nobody asks.
    process: Weak<Process>,
    set: Mutex<u64>,
}

impl SignalFd {
    /// Of a set.
    #[must_use]
    pub fn new(kernel: &Arc<Kernel>, process: &Arc<Process>, set: u64) -> Self {
        SignalFd {
            kernel: Arc::downgrade(kernel),
            process: Arc::downgrade(process),
            set: Mutex::new(set),
        }
    }

    /// Changes the set.
    pub fn change(&self, set: u64) {
        *lock(&self.set) = set;
        if let Some(kernel) = self.kernel.upgrade() {
            kernel.signals.wake();
        }
    }

    fn among(&self, pending: u64) -> Ready {
        if pending & *lock(&self.set) == 0 { Ready::empty() } else { Ready::IN }
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
    fn read(&self, _: &mut [u8], _: u64) -> Result<usize, Errno> {
        // Nobody in particular has signals.
        Err(Errno::INVAL)
    }

    fn read_for(&self, call: &Call<'_>, into: &mut [u8], _: u64) -> Result<usize, Errno> {
        if into.len() < SIZE {
            return Err(Errno::INVAL);
        }
        let set = *lock(&self.set);
        let mut done = 0;
        for room in into.chunks_exact_mut(SIZE) {
            let Some(info) = signal::take(call.thread, set) else { break };
            room.copy_from_slice(&told(&info));
            done += SIZE;
        }
        if done == 0 { Err(Errno::AGAIN) } else { Ok(done) }
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    fn ready(&self) -> Ready {
        let waits = || {
            let (kernel, process) = (self.kernel.upgrade()?, self.process.upgrade()?);
            let own = lock(&process.pending).set();
            let threads = kernel.threads_of(process.pid);
            Some(threads.iter().fold(own, |all, t| all | lock(&t.signals).pending.set()))
        };
        self.among(waits().unwrap_or(0))
    }

    fn ready_for(&self, thread: &Thread) -> Ready {
        let own = lock(&thread.signals).pending.set();
        self.among(own | lock(&thread.process.pending).set())
    }

    fn is_personal(&self) -> bool {
        true
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
