//! System V message queues (msgop(2)).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::task::Pid;
use crate::task::waiter::WaitQueue;
use crate::vfs::Time;

use super::objects::Objects;

/// `MSGMNI`
pub const MOST_QUEUES: usize = 32_000;
/// `MSGMAX`: bytes of a message.
pub const LARGEST: usize = 8192;
/// `MSGMNB`: bytes in a queue, unless root says otherwise.
pub const ROOM: u64 = 16_384;
/// Bytes that all queues of a sandbox hold at most, as they are in the sentry's memory.
const MOST_HELD: u64 = 64 << 20;
/// What a message costs beside its text.
const OVERHEAD: u64 = 64;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its type, which is positive.
    pub kind: i64,
    /// Its text.
    pub text: Vec<u8>,
}

/// Which message is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The first.
    Any,
    /// The first of this type.
    Kind(i64),
    /// The first of another type.
    Other(i64),
    /// The first of the lowest type up to this.
    UpTo(i64),
    /// The one at this place.
    At(u64),
}

/// A queue.
#[derive(Debug)]
pub struct Queue {
    messages: VecDeque<Message>,
    held: Arc<AtomicU64>,
    /// Bytes of all texts.
    pub bytes: u64,
    /// Bytes that it may hold.
    pub room: u64,
    /// Who sent last, and who received last.
    pub processes: (Pid, Pid),
    /// When something was sent, received and changed last, in seconds.
    pub times: [i64; 3],
    /// Who waits for a message, or for room.
    pub changed: Arc<WaitQueue>,
}

impl Drop for Queue {
    fn drop(&mut self) {
        let all = self.bytes + self.messages.len() as u64 * OVERHEAD;
        self.held.fetch_sub(all, Ordering::SeqCst);
    }
}

impl Queue {
    /// How many messages it holds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.messages.len()
    }

    /// Whether there is room for a message of so many bytes.
    #[must_use]
    pub fn fits(&self, length: usize) -> bool {
        self.bytes + length as u64 <= self.room && (self.messages.len() as u64) < self.room
    }

    /// Appends a message that fits.
    ///
    /// # Errors
    /// `ENOMEM` if all queues hold too much.
    pub fn push(&mut self, message: Message, sender: Pid) -> Result<(), Errno> {
        let length = message.text.len() as u64;
        let more = |held: u64| Some(held + length + OVERHEAD).filter(|held| *held <= MOST_HELD);
        let booked = self.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        booked.map_err(|_| Errno::NOMEM)?;
        self.messages.push_back(message);
        self.bytes += length;
        self.processes.0 = sender;
        self.times[0] = Time::now().seconds;
        Ok(())
    }

    fn place(&self, wanted: Wanted) -> Option<usize> {
        let first = |is: &dyn Fn(i64) -> bool| self.messages.iter().position(|m| is(m.kind));
        match wanted {
            Wanted::Any => first(&|_| true),
            Wanted::Kind(kind) => first(&|other| other == kind),
            Wanted::Other(kind) => first(&|other| other != kind),
            Wanted::UpTo(most) => {
                let kinds = self.messages.iter().map(|message| message.kind);
                let lowest = kinds.filter(|kind| *kind <= most).min()?;
                first(&|kind| kind == lowest)
            }
            Wanted::At(place) => {
                usize::try_from(place).ok().filter(|place| *place < self.messages.len())
            }
        }
    }

    /// A copy of a message, which stays; `None` if it is not there.
    #[must_use]
    pub fn copy(&self, wanted: Wanted) -> Option<Message> {
        self.place(wanted).and_then(|place| self.messages.get(place)).cloned()
    }

    /// Takes a message of at most `room` bytes, which is cut if `cuts`; `None` if there
    /// is none.
    ///
    /// # Errors
    /// `E2BIG` if it is longer.
    pub fn take(
        &mut self,
        wanted: Wanted,
        room: usize,
        cuts: bool,
        receiver: Pid,
    ) -> Result<Option<Message>, Errno> {
        let Some(place) = self.place(wanted) else { return Ok(None) };
        let long = self.messages.get(place).is_some_and(|message| message.text.len() > room);
        if long && !cuts {
            return Err(Errno::TOOBIG);
        }
        let Some(message) = self.messages.remove(place) else { return Ok(None) };
        let length = message.text.len() as u64;
        self.bytes -= length;
        self.held.fetch_sub(length + OVERHEAD, Ordering::SeqCst);
        self.processes.1 = receiver;
        self.times[1] = Time::now().seconds;
        Ok(Some(message))
    }
}

/// All queues.
#[derive(Debug, Default)]
pub struct Messages {
    /// The queues.
    pub queues: Mutex<Objects<Queue>>,
    held: Arc<AtomicU64>,
}

impl Messages {
    /// An empty queue.
    #[must_use]
    pub fn empty(&self) -> Queue {
        Queue {
            messages: VecDeque::new(),
            held: Arc::clone(&self.held),
            bytes: 0,
            room: ROOM,
            processes: (0, 0),
            times: [0, 0, Time::now().seconds],
            changed: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: i64, length: usize) -> Message {
        Message { kind, text: vec![1; length] }
    }

    fn kind(queue: &mut Queue, wanted: Wanted) -> Option<i64> {
        queue.take(wanted, LARGEST, false, 1).unwrap().map(|message| message.kind)
    }

    #[test]
    fn types_are_chosen_as_they_are_asked_for() {
        let all = Messages::default();
        let mut queue = all.empty();
        for number in [5, 3, 9, 3, 2] {
            queue.push(message(number, 10), 7).unwrap();
        }
        assert_eq!(queue.copy(Wanted::At(2)).map(|m| m.kind), Some(9));
        assert_eq!(queue.copy(Wanted::At(5)), None);
        assert_eq!(kind(&mut queue, Wanted::UpTo(4)), Some(2));
        assert_eq!(kind(&mut queue, Wanted::Other(5)), Some(3));
        assert_eq!(kind(&mut queue, Wanted::Kind(9)), Some(9));
        assert_eq!(kind(&mut queue, Wanted::Kind(9)), None);
        assert_eq!(queue.take(Wanted::Any, 9, false, 1), Err(Errno::TOOBIG));
        assert_eq!(queue.count(), 2);
        assert_eq!(kind(&mut queue, Wanted::Any), Some(5));
        assert_eq!(queue.bytes, 10);
        drop(queue);
        assert_eq!(all.held.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn room_has_an_end_in_a_queue_and_in_all() {
        let all = Messages::default();
        let mut queue = all.empty();
        queue.push(message(1, 16_000), 7).unwrap();
        assert!(queue.fits(384) && !queue.fits(385));
        queue.room = u64::MAX;
        let mut filled = 0;
        while queue.push(message(1, LARGEST), 7).is_ok() {
            filled += 1;
        }
        assert!((8000..8192).contains(&filled), "{filled}");
        assert_eq!(all.empty().push(message(1, LARGEST), 7), Err(Errno::NOMEM));
    }
}
