//! Signals that wait.

use std::collections::VecDeque;
use std::sync::Arc;

use rustix::io::Errno;

use crate::task::queued::{Account, Charge};

use super::{Info, SI_USER, bit};

/// The first real-time signal.
const REAL_TIME: i32 = 32;

/// One that waits with what it tells.
#[derive(Debug)]
struct Entry {
    info: Info,
    charge: Arc<Charge>,
}

/// For whom one is counted.
#[derive(Debug)]
pub enum Counted<'a> {
    /// For who gets it.
    New(&'a Account),
    /// It is a timer's, which has a place for one as long as it is there, and counts how often
    /// it has fired more.
    Timer(&'a Arc<Charge>, i32),
}

/// Signals that wait.
#[derive(Debug, Default)]
pub struct Pending {
    /// Which ones: also those for whose entries there was no room.
    set: u64,
    queue: VecDeque<Entry>,
    /// Places of those that nobody takes any more.
    kept: Vec<Arc<Charge>>,
}

impl Pending {
    /// Adds one. A standard signal that waits already is not added again; a real-time one is. If
    /// there is no room for what it tells, the signal alone is kept, where that is allowed.
    ///
    /// # Errors
    /// `EAGAIN` where it isn't: a real-time signal that tells more than who sent it.
    pub fn add(&mut self, info: Info, counted: &Counted<'_>) -> Result<(), Errno> {
        let signal = info.signal();
        if bit(signal) == 0 {
            // A guest's stub reports what it likes.
            return Ok(());
        }
        let charge = match counted {
            Counted::Timer(charge, more) => {
                let same = |entry: &&mut Entry| Arc::ptr_eq(&entry.charge, charge);
                if let Some(entry) = self.queue.iter_mut().find(same) {
                    entry.info.fired_more(*more);
                    return Ok(());
                }
                Some(Arc::clone(charge))
            }
            Counted::New(_) if signal < REAL_TIME && self.set & bit(signal) != 0 => return Ok(()),
            Counted::New(account) => account.charge(signal < REAL_TIME && info.code() >= SI_USER),
        };
        if charge.is_none() && signal >= REAL_TIME && info.code() != SI_USER {
            return Err(Errno::AGAIN);
        }
        self.set |= bit(signal);
        self.queue.extend(charge.map(|charge| Entry { info, charge }));
        Ok(())
    }

    /// What is told of those that wait, in their order.
    #[must_use]
    pub fn all(&self) -> Vec<Info> {
        self.queue.iter().map(|entry| entry.info).collect()
    }

    /// Which ones wait.
    #[must_use]
    pub fn set(&self) -> u64 {
        self.set
    }

    /// Takes the first of `wanted`: the lowest number first, as Linux.
    pub fn take(&mut self, wanted: u64) -> Option<Info> {
        let lowest = self.set & wanted;
        if lowest == 0 {
            return None;
        }
        let signal = i32::try_from(lowest.trailing_zeros()).unwrap_or(0) + 1;
        let is_one = |entry: &Entry| entry.info.signal() == signal;
        let at = self.queue.iter().position(is_one);
        let info = at.and_then(|at| self.queue.remove(at)).map(|entry| entry.info);
        if !self.queue.iter().skip(at.unwrap_or(0)).any(is_one) {
            self.set &= !bit(signal);
        }
        Some(info.unwrap_or_else(|| Info::new(signal, SI_USER)))
    }

    /// Nobody takes those of `other` any more, but they count as long as this is there.
    pub fn bury(&mut self, other: Pending) {
        let Pending { queue, kept, .. } = other;
        self.kept.extend(queue.into_iter().map(|entry| entry.charge).chain(kept));
    }

    /// They count no longer.
    pub fn forget_buried(&mut self) {
        self.kept.clear();
    }

    /// Forgets those of `set`.
    pub fn discard(&mut self, set: u64) {
        self.set &= !set;
        self.queue.retain(|entry| bit(entry.info.signal()) & set == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SI_QUEUE: i32 = -1;

    fn taken(pending: &mut Pending) -> Vec<(i32, i32)> {
        let next = || pending.take(u64::MAX).map(|info| (info.signal(), info.code()));
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn standard_signals_wait_once_and_real_time_ones_queue() {
        let (mut pending, account) = (Pending::default(), Account::with_room(9));
        for signal in [40, 10, 40, 10, 2] {
            assert_eq!(pending.add(Info::new(signal, SI_USER), &Counted::New(&account)), Ok(()));
        }
        assert_eq!(account.count(), 4);
        assert_eq!(taken(&mut pending), [(2, 0), (10, 0), (40, 0), (40, 0)]);
        assert_eq!(account.count(), 0);
    }

    #[test]
    fn only_wanted_ones_are_taken() {
        let (mut pending, account) = (Pending::default(), Account::with_room(9));
        pending.add(Info::new(2, SI_USER), &Counted::New(&account)).unwrap();
        assert!(pending.take(bit(3)).is_none());
        pending.discard(bit(2));
        assert_eq!((pending.set(), account.count()), (0, 0));
    }

    /// What Linux does with each kind.
    #[test]
    fn without_room_some_tell_nothing_and_some_fail() {
        let (mut pending, account) = (Pending::default(), Account::with_room(1));
        let mut add =
            |signal, code| pending.add(Info::new(signal, code), &Counted::New(&account)).is_ok();
        assert!(add(40, SI_QUEUE) && !add(40, SI_QUEUE) && add(41, SI_USER));
        assert!(add(10, SI_QUEUE) && add(12, SI_USER) && add(17, 1));
        assert_eq!(account.count(), 3);
        assert_eq!(taken(&mut pending), [(10, 0), (12, 0), (17, 1), (40, SI_QUEUE), (41, 0)]);
    }

    #[test]
    fn a_timers_place_is_its_own() {
        let (mut pending, account) = (Pending::default(), Account::with_room(2));
        let [one, two] = [account.charge(false).unwrap(), account.charge(false).unwrap()];
        let mut info = Info::new(10, super::super::SI_TIMER);
        info.set_timer(1, 0, 0);
        for charge in [&one, &two, &one] {
            assert_eq!(pending.add(info, &Counted::Timer(charge, 3)), Ok(()));
        }
        assert_eq!(account.count(), 2);
        drop(one);
        assert_eq!(account.count(), 2, "its signal waits");
        let first = pending.take(u64::MAX).map(|info| info.overrun());
        assert_eq!((first, pending.set(), account.count()), (Some(3), bit(10), 1));
        assert_eq!(pending.take(u64::MAX).map(|info| info.overrun()), Some(0));
        assert_eq!(account.count(), 1, "the timer is there");
    }
}
