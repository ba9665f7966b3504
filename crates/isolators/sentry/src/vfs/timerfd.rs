//! timerfd_create(2): a timer that can be read.

use std::any::Any;
use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::WaitQueue;
use crate::task::waiter::{Waiter, lock};
use crate::time::{Source, Timer};

use super::{Attributes, File, Ready};

/// What the timer's side and the readers' share.
#[derive(Default)]
struct Fired {
    times: Mutex<u64>,
    changed: WaitQueue,
}

/// A timer that can be read.
pub struct TimerFd {
    /// The timer.
    pub timer: Arc<Timer>,
    /// Its clock's number.
    pub clock: i32,
    fired: Arc<Fired>,
    kernel: Weak<Kernel>,
}

impl TimerFd {
    /// That is not set.
    #[must_use]
    pub fn new(kernel: &Arc<Kernel>, clock: i32) -> Self {
        let fired = Arc::new(Fired::default());
        let theirs = Arc::clone(&fired);
        let fire = move |_: &Arc<Kernel>, times: u64| {
            let mut all = lock(&theirs.times);
            *all = all.saturating_add(times);
            drop(all);
            theirs.changed.wake();
        };
        let timer = Timer::new(Source::Wall, Box::new(fire));
        TimerFd { timer, clock, fired, kernel: Arc::downgrade(kernel) }
    }

    /// Forgets what was not read: it is set anew.
    pub fn reset(&self) {
        *lock(&self.fired.times) = 0;
    }
}

impl File for TimerFd {
    fn read(&self, into: &mut [u8], _: u64) -> Result<usize, Errno> {
        let room = into.get_mut(..8).ok_or(Errno::INVAL)?;
        if let Some(kernel) = self.kernel.upgrade() {
            self.timer.catch_up(&kernel);
        }
        let times = std::mem::take(&mut *lock(&self.fired.times));
        if times == 0 {
            return Err(Errno::AGAIN);
        }
        room.copy_from_slice(&times.to_le_bytes());
        Ok(8)
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    fn ready(&self) -> Ready {
        if *lock(&self.fired.times) > 0 { Ready::IN } else { Ready::empty() }
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        self.fired.changed.join(waiter);
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(Attributes { device: 14, inode: 3, mode: 0o600, links: 1, ..Attributes::default() })
    }

    fn own(&self) -> Option<&dyn Any> {
        Some(self)
    }
}
