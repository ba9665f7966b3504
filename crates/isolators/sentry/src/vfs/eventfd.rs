//! eventfd(2): a counter that can be waited for.

use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::task::WaitQueue;
use crate::task::waiter::{Waiter, lock};

use super::{Attributes, File, Ready};

/// A counter.
pub struct EventFd {
    count: Mutex<u64>,
    /// Reads take one instead of all.
    semaphore: bool,
    changed: WaitQueue,
}

impl EventFd {
    /// That starts at `count`.
    #[must_use]
    pub fn new(count: u64, semaphore: bool) -> Self {
        EventFd { count: Mutex::new(count), semaphore, changed: WaitQueue::default() }
    }

    /// What a read would take.
    pub(super) fn count(&self) -> u64 {
        *lock(&self.count)
    }

    /// Counts something that does not wait for room: what is too much shows as an error, and
    /// as the largest number.
    pub fn count_one(&self) {
        let mut count = lock(&self.count);
        *count = count.saturating_add(1);
        drop(count);
        self.changed.wake();
    }
}

impl File for EventFd {
    fn read(&self, into: &mut [u8], _: u64) -> Result<usize, Errno> {
        let room = into.get_mut(..8).ok_or(Errno::INVAL)?;
        let mut count = lock(&self.count);
        if *count == 0 {
            return Err(Errno::AGAIN);
        }
        let taken = if self.semaphore { 1 } else { *count };
        *count -= taken;
        drop(count);
        room.copy_from_slice(&taken.to_le_bytes());
        self.changed.wake();
        Ok(8)
    }

    fn write(&self, from: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        let added = from.first_chunk().copied().map(u64::from_le_bytes).ok_or(Errno::INVAL)?;
        if added == u64::MAX {
            return Err(Errno::INVAL);
        }
        let mut count = lock(&self.count);
        *count = count.checked_add(added).filter(|c| *c < u64::MAX).ok_or(Errno::AGAIN)?;
        drop(count);
        self.changed.wake();
        Ok(8)
    }

    fn ready(&self) -> Ready {
        let count = *lock(&self.count);
        let mut ready = Ready::empty();
        ready.set(Ready::IN, count > 0);
        ready.set(Ready::OUT, count < u64::MAX - 1);
        ready.set(Ready::ERR, count == u64::MAX);
        ready
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        self.changed.join(waiter);
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(Attributes { device: 14, inode: 1, mode: 0o600, links: 1, ..Attributes::default() })
    }

    fn own(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_tells_when_it_would_wait() {
        let event = EventFd::new(2, true);
        let mut word = [0; 8];
        assert_eq!(event.read(&mut word, 0), Ok(8));
        assert_eq!(u64::from_le_bytes(word), 1);
        assert_eq!(event.read(&mut word, 0), Ok(8));
        assert_eq!(event.read(&mut word, 0), Err(Errno::AGAIN));
        assert_eq!(event.write(&(u64::MAX - 1).to_le_bytes(), 0, false), Ok(8));
        assert_eq!(event.write(&1_u64.to_le_bytes(), 0, false), Err(Errno::AGAIN));
        assert_eq!(event.write(&u64::MAX.to_le_bytes(), 0, false), Err(Errno::INVAL));
        assert_eq!(event.read(&mut word[..4], 0), Err(Errno::INVAL));
        event.count_one();
        assert_eq!(event.ready(), Ready::IN | Ready::ERR);
    }
}
