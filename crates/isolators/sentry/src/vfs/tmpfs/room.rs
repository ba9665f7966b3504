//! How much a file system in memory may hold, and what of it is taken: exactly, whoever else
//! takes and gives at the same time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

/// Bytes of a page: what space is counted in.
pub(super) const PAGE: u64 = 4096;
/// What a file, or a further name of one, takes of the room that files and their extended
/// attributes have in common (`BOGO_INODE_SIZE`).
pub(super) const FILE: u64 = 1024;

/// Bytes that a file takes in whole pages.
pub(super) fn pages(length: u64) -> u64 {
    length.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX)
}

/// Room of which parts are taken.
#[derive(Debug)]
pub(super) struct Room {
    most: u64,
    taken: AtomicU64,
}

impl Room {
    /// So much, of which nothing is taken.
    pub(super) fn new(most: u64) -> Self {
        Room { most, taken: AtomicU64::new(0) }
    }

    /// How much there is in all.
    pub(super) fn most(&self) -> u64 {
        self.most
    }

    /// How much of it is taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::SeqCst)
    }

    /// Whether there is an end to it.
    pub(super) fn is_limited(&self) -> bool {
        self.most != u64::MAX
    }

    /// Takes so much more, or nothing. Nothing more is there always, also if more is taken than
    /// there is.
    ///
    /// # Errors
    /// `ENOSPC`
    pub(super) fn take(&self, more: u64) -> Result<(), Errno> {
        let fits =
            |taken: u64| taken.checked_add(more).filter(|sum| more == 0 || *sum <= self.most);
        let done = self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits);
        done.map(drop).map_err(|_| Errno::NOSPC)
    }

    /// Takes up to so much more, in whole pages; returns how much.
    pub(super) fn take_pages(&self, more: u64) -> u64 {
        let mut got = 0;
        let fits = |taken: u64| {
            got = more.min(self.most.saturating_sub(taken) / PAGE * PAGE);
            taken.checked_add(got)
        };
        match self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits) {
            Ok(_) => got,
            Err(_) => 0,
        }
    }

    /// Counts what is there already, room or not.
    pub(super) fn exceed(&self, more: u64) {
        self.taken.fetch_add(more, Ordering::SeqCst);
    }

    /// Gives back what was taken.
    pub(super) fn give(&self, less: u64) {
        self.taken.fetch_sub(less, Ordering::SeqCst);
    }
}

/// Extended attributes of a file.
pub(super) type Extended = BTreeMap<Vec<u8>, Vec<u8>>;

/// What an extended attribute takes of the room of files, as Linux counts.
pub(super) fn extended_room(name: &[u8], value: &[u8]) -> u64 {
    40 + (name.len() + value.len()) as u64
}

/// The same for all of a file.
pub(super) fn all_extended(all: &Extended) -> u64 {
    all.iter().map(|(name, value)| extended_room(name, value)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_more_is_there_always() {
        let room = Room::new(PAGE);
        room.exceed(3 * PAGE);
        assert_eq!(
            (room.take(0), room.take(1), room.take_pages(1)),
            (Ok(()), Err(Errno::NOSPC), 0)
        );
    }

    #[test]
    fn what_is_taken_never_exceeds_what_there_is() {
        let room = Room::new(10 * PAGE);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let got = room.take_pages(3 * PAGE);
                        let one = room.take(PAGE).is_ok();
                        assert!(room.taken() <= room.most());
                        room.give(got + if one { PAGE } else { 0 });
                    }
                });
            }
        });
        assert_eq!((room.taken(), room.take(11 * PAGE)), (0, Err(Errno::NOSPC)));
        assert_eq!((room.take_pages(11 * PAGE), room.take_pages(1)), (10 * PAGE, 0));
    }
}
