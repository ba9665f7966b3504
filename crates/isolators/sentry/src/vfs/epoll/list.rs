//! Which files of a set are to be looked at.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::task::waiter::lock;

use super::Key;

#[derive(Default)]
struct Rows {
    last: u64,
    keys: BTreeMap<u64, Key>,
}

/// What is to be looked at, in that order.
#[derive(Default)]
pub(super) struct List(Mutex<Rows>);

impl List {
    /// Puts a file at the end, unless it has a place.
    pub(super) fn push(&self, key: Key, place: &AtomicU64) {
        let mut rows = lock(&self.0);
        if place.load(Ordering::SeqCst) == 0 {
            rows.last += 1;
            let last = rows.last;
            place.store(last, Ordering::SeqCst);
            rows.keys.insert(last, key);
        }
    }

    /// Puts a file back where it was, unless it has a place by now.
    pub(super) fn put_back(&self, key: Key, place: &AtomicU64, at: u64) {
        let mut rows = lock(&self.0);
        if place.load(Ordering::SeqCst) == 0 {
            place.store(at, Ordering::SeqCst);
            rows.keys.insert(at, key);
        }
    }

    pub(super) fn remove(&self, place: &AtomicU64) {
        let mut rows = lock(&self.0);
        let at = place.swap(0, Ordering::SeqCst);
        rows.keys.remove(&at);
    }

    /// Of a file that is in the set no more: it gets no other place.
    pub(super) fn retire(&self, place: &AtomicU64) {
        let mut rows = lock(&self.0);
        let at = place.swap(u64::MAX, Ordering::SeqCst);
        rows.keys.remove(&at);
    }

    pub(super) fn last(&self) -> u64 {
        lock(&self.0).last
    }

    /// The next place behind `after`, up to `last`.
    pub(super) fn next(&self, after: u64, last: u64) -> Option<(u64, Key)> {
        let rows = lock(&self.0);
        let next = rows.keys.range(after + 1..).next();
        next.map(|(at, key)| (*at, *key)).filter(|(at, _)| *at <= last)
    }
}

#[cfg(test)]
impl List {
    pub(super) fn len(&self) -> usize {
        lock(&self.0).keys.len()
    }
}
