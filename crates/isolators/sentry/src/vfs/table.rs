//! File descriptors of a process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::OpenFile;
use super::locks::LOCKS;

/// Descriptors that a process may have (`RLIMIT_NOFILE`), unless it says otherwise.
pub const LIMIT: u32 = 1024;

#[derive(Clone, Debug)]
struct Slot {
    file: Arc<OpenFile>,
    close_on_exec: bool,
}

#[derive(Debug, Default)]
struct Numbers {
    slots: BTreeMap<u32, Slot>,
    /// Those that are promised.
    reserved: BTreeSet<u32>,
    /// None below is free.
    taken: u32,
}

/// Descriptors, by number.
#[derive(Debug, Default)]
pub struct FileTable {
    numbers: Mutex<Numbers>,
    /// One more than the limit that was set; 0 if none was.
    limit: AtomicU64,
}

impl Numbers {
    /// The lowest from `lowest` on, below `limit`, that is neither taken nor promised. It is taken
    /// then.
    fn find(&mut self, lowest: u32, limit: u32) -> Result<u32, Errno> {
        let from = lowest.max(self.taken);
        let mut number = from;
        // None is both.
        let mut taken = self.slots.range(from..).map(|(n, _)| *n).peekable();
        while taken.next_if_eq(&number).is_some() || self.reserved.contains(&number) {
            number += 1;
        }
        if number >= limit {
            return Err(Errno::MFILE);
        }
        if lowest <= self.taken {
            self.taken = number + 1;
        }
        Ok(number)
    }
}

impl Drop for FileTable {
    fn drop(&mut self) {
        let slots = std::mem::take(&mut lock(&self.numbers).slots);
        slots.values().for_each(|slot| self.closed(&slot.file));
    }
}

impl FileTable {
    /// Without any.
    #[must_use]
    pub fn empty() -> Arc<Self> {
        Arc::default()
    }

    /// A table of its own with the same files: for fork(2).
    #[must_use]
    pub fn copy(&self) -> Self {
        let slots = lock(&self.numbers).slots.clone();
        FileTable {
            numbers: Mutex::new(Numbers { slots, ..Numbers::default() }),
            limit: AtomicU64::new(self.limit.load(Ordering::SeqCst)),
        }
    }

    /// Sets how many descriptors there may be.
    pub fn set_limit(&self, limit: u32) {
        self.limit.store(u64::from(limit) + 1, Ordering::SeqCst);
    }

    /// How many there may be.
    #[must_use]
    pub fn limit(&self) -> u32 {
        match self.limit.load(Ordering::SeqCst) {
            0 => LIMIT,
            more => u32::try_from(more - 1).unwrap_or(u32::MAX),
        }
    }

    /// The file behind a number.
    ///
    /// # Errors
    /// `EBADF`
    pub fn get(&self, number: u32) -> Result<Arc<OpenFile>, Errno> {
        lock(&self.numbers).slots.get(&number).map(|s| Arc::clone(&s.file)).ok_or(Errno::BADF)
    }

    /// Adds a file under the lowest free number from `lowest` on.
    ///
    /// # Errors
    /// `EMFILE`
    pub fn add(&self, file: Arc<OpenFile>, lowest: u32, close_on_exec: bool) -> Result<u32, Errno> {
        let mut numbers = lock(&self.numbers);
        let number = numbers.find(lowest, self.limit())?;
        numbers.slots.insert(number, Slot { file, close_on_exec });
        Ok(number)
    }

    /// Keeps the lowest free number for what is to come.
    ///
    /// # Errors
    /// `EMFILE`
    pub(super) fn reserve(&self) -> Result<u32, Errno> {
        let mut numbers = lock(&self.numbers);
        let number = numbers.find(0, self.limit())?;
        numbers.reserved.insert(number);
        Ok(number)
    }

    /// What was to come under that number is there, or does not come.
    pub(super) fn end_reservation(&self, number: u32, file: Option<Arc<OpenFile>>) {
        let mut numbers = lock(&self.numbers);
        numbers.reserved.remove(&number);
        match file {
            Some(file) => drop(numbers.slots.insert(number, Slot { file, close_on_exec: true })),
            None => numbers.taken = numbers.taken.min(number),
        }
    }

    /// Whether [`Self::add`] would find a number, as it is now.
    ///
    /// # Errors
    /// `EMFILE`
    pub fn check_room(&self) -> Result<(), Errno> {
        let (numbers, limit) = (lock(&self.numbers), self.limit());
        let below = |most: usize| most + numbers.reserved.len() < limit as usize;
        // Some may be beyond a limit that was lowered.
        let room = below(numbers.slots.len()) || below(numbers.slots.range(..limit).count());
        if room { Ok(()) } else { Err(Errno::MFILE) }
    }

    /// Puts a file at a number, in place of what is there.
    ///
    /// # Errors
    /// `EBADF` if the number is too high, `EBUSY` if it is promised.
    pub fn put(&self, number: u32, file: Arc<OpenFile>, close_on_exec: bool) -> Result<(), Errno> {
        if let Some(old) = self.exchange(number, file, close_on_exec)? {
            self.closed(&old);
        }
        Ok(())
    }

    /// The same, but that what was there is handed over, for [`Self::closed`].
    ///
    /// # Errors
    /// `EBADF` if the number is too high, `EBUSY` if it is promised.
    pub fn exchange(
        &self,
        number: u32,
        file: Arc<OpenFile>,
        close_on_exec: bool,
    ) -> Result<Option<Arc<OpenFile>>, Errno> {
        if number >= self.limit() {
            return Err(Errno::BADF);
        }
        let mut numbers = lock(&self.numbers);
        if numbers.reserved.contains(&number) {
            return Err(Errno::BUSY);
        }
        let old = numbers.slots.insert(number, Slot { file, close_on_exec });
        drop(numbers);
        Ok(old.map(|old| old.file))
    }

    /// Takes one out.
    ///
    /// # Errors
    /// `EBADF`
    pub fn remove(&self, number: u32) -> Result<Arc<OpenFile>, Errno> {
        let slot = {
            let mut numbers = lock(&self.numbers);
            numbers.taken = numbers.taken.min(number);
            numbers.slots.remove(&number)
        };
        let file = slot.map(|s| s.file).ok_or(Errno::BADF)?;
        self.closed(&file);
        Ok(file)
    }

    /// Whoever closes any descriptor of a file gives up the locks that fcntl(2) gave the
    /// process, and the notice that mq_notify(2) promised it.
    pub fn closed(&self, file: &OpenFile) {
        LOCKS.closed(file, self);
        super::queue_file::closed(file, self);
        super::directory_notice::closed(file, self);
    }

    /// Whether a number is closed on exec.
    ///
    /// # Errors
    /// `EBADF`
    pub fn close_on_exec(&self, number: u32) -> Result<bool, Errno> {
        lock(&self.numbers).slots.get(&number).map(|s| s.close_on_exec).ok_or(Errno::BADF)
    }

    /// Sets that.
    ///
    /// # Errors
    /// `EBADF`
    pub fn set_close_on_exec(&self, number: u32, on: bool) -> Result<(), Errno> {
        lock(&self.numbers).slots.get_mut(&number).map(|s| s.close_on_exec = on).ok_or(Errno::BADF)
    }

    /// Closes what is to be closed on exec.
    pub fn execute(&self) {
        let mut gone = Vec::new();
        let mut numbers = lock(&self.numbers);
        numbers.taken = 0;
        numbers.slots.retain(|_, slot| {
            if slot.close_on_exec {
                gone.push(Arc::clone(&slot.file));
            }
            !slot.close_on_exec
        });
        drop(numbers);
        gone.iter().for_each(|file| self.closed(file));
    }

    /// Closes, or marks, a range of numbers.
    pub fn close_range(&self, range: std::ops::RangeInclusive<u32>, only_mark: bool) {
        let mut gone = Vec::new();
        let mut numbers = lock(&self.numbers);
        if only_mark {
            numbers.slots.range_mut(range).for_each(|(_, slot)| slot.close_on_exec = true);
            return;
        }
        numbers.taken = 0;
        let all: Vec<u32> = numbers.slots.range(range).map(|(n, _)| *n).collect();
        gone.extend(all.iter().filter_map(|n| numbers.slots.remove(n)));
        drop(numbers);
        gone.iter().for_each(|slot: &Slot| self.closed(&slot.file));
    }

    /// All numbers.
    #[must_use]
    pub fn numbers(&self) -> Vec<u32> {
        lock(&self.numbers).slots.keys().copied().collect()
    }
}
