//! Who waits on which word, without a thread of the sentry's for each.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::mm::{Backing, Space};
use crate::task::waiter::lock;
use crate::task::{Pid, Restart, Thread};

use super::super::{Call, Failure, Outcome, value};

/// What a word is: the same for all who share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// Space and address.
    Private(usize, u64),
    /// Shared memory and offset.
    Shared(u64, u64),
    /// Device, inode and offset.
    File(u64, u64, u64),
}

/// The key of a word.
pub(super) fn key(space: &Arc<Space>, address: u64) -> Key {
    let areas = lock(&space.areas);
    let private = Key::Private(Arc::as_ptr(space).addr(), address);
    let Some((start, area)) = areas.at(address) else { return private };
    let distance = address - start;
    match &area.backing {
        Backing::Shared(object, offset) => Key::Shared(*object, offset + distance),
        Backing::File { id, offset, shared: true, .. } => Key::File(id.0, id.1, offset + distance),
        _ => private,
    }
}

/// A thread whose call has not been answered. No thread of the sentry waits with
/// it: whoever ends the wait answers.
pub(super) struct Waiting {
    kernel: Arc<Kernel>,
    pub(super) thread: Arc<Thread>,
    /// Its memory, and where in it a lock is that it is to get.
    pub(super) space: Arc<Space>,
    pub(super) address: u64,
    /// Names the answer.
    id: u64,
    /// How a signal makes the call go on.
    restart: Restart,
    /// It waits for a lock now, and not on a word any more.
    pub(super) moved: AtomicBool,
    /// Set by the one who answers.
    over: AtomicBool,
    /// Its queues; changes under the table's lock.
    pub(super) keys: Mutex<Vec<Key>>,
    alarm: Mutex<Option<crate::time::Key>>,
    /// It is one of those counted in [`Table::mixed`].
    mixed: bool,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("thread", &self.thread.tid).finish_non_exhaustive()
    }
}

impl Waiting {
    /// For a call, which a signal interrupts; `address` is that of a lock to get.
    pub(super) fn new(call: &Call<'_>, address: u64, restart: Restart, mixed: bool) -> Arc<Self> {
        let waiting = Arc::new(Waiting {
            kernel: Arc::clone(call.kernel),
            thread: Arc::clone(call.thread),
            space: call.thread.space(),
            address,
            id: call.id,
            restart,
            moved: AtomicBool::new(false),
            over: AtomicBool::new(false),
            keys: Mutex::default(),
            alarm: Mutex::new(None),
            mixed,
        });
        if mixed {
            call.kernel.futexes.mixed.fetch_add(1, Ordering::SeqCst);
        }
        let interrupted = Arc::clone(&waiting);
        *lock(&call.thread.parked) = Some(Box::new(move || interrupted.interrupt()));
        waiting
    }

    /// Claims the right to answer, which only one gets.
    pub(super) fn claim(&self) -> bool {
        if self.over.swap(true, Ordering::SeqCst) {
            return false;
        }
        if self.mixed {
            self.kernel.futexes.mixed.fetch_sub(1, Ordering::SeqCst);
        }
        drop(lock(&self.thread.parked).take());
        if let Some(alarm) = lock(&self.alarm).take() {
            self.kernel.alarms.cancel(alarm);
        }
        true
    }

    /// Answers, by right of [`Self::claim`].
    pub(super) fn tell(&self, value: i64) {
        self.kernel.listener.answer(self.id, value);
    }

    /// Answers if nobody did.
    pub(super) fn answer(&self, value: i64) -> bool {
        let claimed = self.claim();
        if claimed {
            self.tell(value);
        }
        claimed
    }

    /// A signal is to be handled first.
    fn interrupt(self: &Arc<Self>) {
        if self.claim() {
            self.kernel.futexes.remove(self);
            let failure = if self.moved.load(Ordering::SeqCst) {
                Failure::Errno(Errno::AGAIN)
            } else {
                Failure::Interrupted(self.restart)
            };
            self.tell(value(Err(failure), &self.thread));
        }
    }

    /// The call does not wait: it ends with `outcome`, if nothing else ended it.
    pub(super) fn instead(&self, outcome: Outcome) -> Outcome {
        if self.claim() { outcome } else { Err(Failure::Answered) }
    }

    /// It stands in its queues: sees to its time, and to a signal that came before it could
    /// be told.
    pub(super) fn stay(self: &Arc<Self>, call: &Call<'_>, deadline: Option<Instant>) -> Outcome {
        if let Some(end) = deadline {
            let late = Arc::clone(self);
            let action = Box::new(move |kernel: &Arc<Kernel>| {
                if late.answer(-i64::from(Errno::TIMEDOUT.raw_os_error())) {
                    kernel.futexes.remove(&late);
                }
            });
            let alarm = call.kernel.alarms.set(call.kernel, end, action);
            *lock(&self.alarm) = Some(alarm);
            if self.over.load(Ordering::SeqCst) {
                call.kernel.alarms.cancel(alarm);
            }
        }
        if call.waiter().is_interrupted() {
            self.interrupt();
        }
        Err(Failure::Answered)
    }
}

/// A place in the queue of a word.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) waiting: Arc<Waiting>,
    pub(super) bits: u32,
    /// What the call returns if it is woken here.
    pub(super) answer: i64,
    /// The lock that it is to wait for next.
    pub(super) target: Option<Key>,
}

/// A lock with those who wait for it.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) owner: Pid,
    pub(super) waiting: VecDeque<Arc<Waiting>>,
}

#[derive(Debug, Default)]
pub(super) struct Queues {
    /// On words.
    pub(super) words: HashMap<Key, Vec<Place>>,
    /// On locks whose word names the holder.
    pub(super) locks: HashMap<Key, Held>,
}

/// Who waits for what. Its lock is held while a word is compared, and while
/// sleepers are woken, so a wake is not lost in between.
#[derive(Debug, Default)]
pub struct Table {
    pub(super) queues: Mutex<Queues>,
    /// Waits here on private words, which the host is asked to wake.
    pub(super) mixed: AtomicUsize,
}

impl Queues {
    /// Adds a place at a word.
    pub(super) fn add(&mut self, key: Key, place: Place) {
        lock(&place.waiting.keys).push(key);
        self.words.entry(key).or_default().push(place);
    }

    /// Takes whoever was answered out of its queues.
    pub(super) fn remove(&mut self, waiting: &Arc<Waiting>) {
        for key in std::mem::take(&mut *lock(&waiting.keys)) {
            if let Some(queue) = self.words.get_mut(&key) {
                queue.retain(|place| !Arc::ptr_eq(&place.waiting, waiting));
                if queue.is_empty() {
                    self.words.remove(&key);
                }
            }
            if let Some(held) = self.locks.get_mut(&key) {
                held.waiting.retain(|other| !Arc::ptr_eq(other, waiting));
                if held.waiting.is_empty() {
                    self.locks.remove(&key);
                }
            }
        }
    }

    /// Wakes those at a word who wait for any of `bits`.
    pub(super) fn wake(&mut self, key: Key, most: u32, bits: u32) -> u32 {
        let Some(queue) = self.words.get_mut(&key) else { return 0 };
        let mut woken = Vec::new();
        let mut elsewhere = Vec::new();
        queue.retain(|place| {
            let chosen = woken.len() < usize::try_from(most).unwrap_or(usize::MAX)
                && place.bits & bits != 0
                && place.target.is_none();
            if chosen && place.waiting.answer(place.answer) {
                woken.push(());
                if lock(&place.waiting.keys).len() > 1 {
                    elsewhere.push(Arc::clone(&place.waiting));
                }
            }
            !chosen
        });
        if queue.is_empty() {
            self.words.remove(&key);
        }
        elsewhere.iter().for_each(|waiting| self.remove(waiting));
        u32::try_from(woken.len()).unwrap_or(u32::MAX)
    }
}

impl Table {
    fn remove(&self, waiting: &Arc<Waiting>) {
        lock(&self.queues).remove(waiting);
    }

    pub(super) fn wake(&self, key: Key, most: u32, bits: u32) -> u32 {
        lock(&self.queues).wake(key, most, bits)
    }
}
