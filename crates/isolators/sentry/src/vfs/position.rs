//! Where an open file is read and written next.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::task::waiter::lock;

/// The position of an open file, which who reads or writes holds until it is done.
#[derive(Debug, Default)]
pub struct Position {
    held: Mutex<u64>,
    /// As it was when nobody held it, for who only tells of it.
    told: AtomicU64,
}

/// The position, held.
#[derive(Debug)]
pub struct HeldPosition<'a> {
    held: MutexGuard<'a, u64>,
    told: &'a AtomicU64,
}

impl Position {
    /// Holds it, once nobody else does.
    pub fn lock(&self) -> HeldPosition<'_> {
        HeldPosition { held: lock(&self.held), told: &self.told }
    }

    /// What it is, or was before a call that goes on.
    #[must_use]
    pub fn told(&self) -> u64 {
        self.told.load(Ordering::SeqCst)
    }
}

impl Deref for HeldPosition<'_> {
    type Target = u64;

    fn deref(&self) -> &u64 {
        &self.held
    }
}

impl DerefMut for HeldPosition<'_> {
    fn deref_mut(&mut self) -> &mut u64 {
        &mut self.held
    }
}

impl Drop for HeldPosition<'_> {
    fn drop(&mut self) {
        self.told.store(*self.held, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_tells_of_it_does_not_wait() {
        let position = Position::default();
        *position.lock() = 7;
        let mut held = position.lock();
        *held += 5;
        assert_eq!(position.told(), 7);
        drop(held);
        assert_eq!(position.told(), 12);
    }
}
