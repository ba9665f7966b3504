//! Sets of semaphores (semop(2)).

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

use crate::task::Pid;
use crate::task::waiter::{WaitQueue, lock};
use crate::vfs::Time;

use super::objects::Objects;

/// `SEMMNI`, `SEMMSL`, `SEMOPM`, `SEMVMX`
pub const MOST_SETS: usize = 32_000;
#[allow(missing_docs, reason = "named above")]
pub const MOST_IN_SET: usize = 32_000;
#[allow(missing_docs, reason = "named above")]
pub const MOST_OPERATIONS: usize = 500;
#[allow(missing_docs, reason = "named above")]
pub const LARGEST_VALUE: i32 = 32_767;

/// Semaphores that all sets of a sandbox have at most, as they are in the sentry's memory.
pub const MOST_IN_ALL: usize = 1 << 20;

/// One operation: `struct sembuf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Which semaphore of the set.
    pub number: u16,
    /// What is added; 0: to wait for zero.
    pub add: i16,
    /// Whether it is not to wait.
    pub no_wait: bool,
    /// Whether it is taken back.
    pub undo: bool,
}

/// Why operations can't be made now: which one has to wait, for zero or for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Which semaphore.
    pub number: u16,
    /// Whether it is to become zero.
    pub for_zero: bool,
    /// Whether the operation was not to wait.
    pub no_wait: bool,
}

/// A semaphore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Semaphore {
    /// Its value.
    pub value: u16,
    /// Who changed it last.
    pub process: Pid,
}

/// A set.
#[derive(Debug)]
pub struct Set {
    /// Its semaphores.
    pub semaphores: Vec<Semaphore>,
    /// When an operation was last made, and when it was changed, in seconds.
    pub times: [i64; 2],
}

impl Set {
    /// With values of zero.
    ///
    /// # Errors
    /// `EINVAL` for none or too many.
    pub fn new(count: usize) -> Result<Self, Errno> {
        if !(1..=MOST_IN_SET).contains(&count) {
            return Err(Errno::INVAL);
        }
        let times = [0, Time::now().seconds];
        Ok(Self { semaphores: vec![Semaphore::default(); count], times })
    }

    /// Makes all operations, or none.
    ///
    /// # Errors
    /// `EFBIG`, `ERANGE`; inside, which one has to wait.
    pub fn operate(
        &mut self,
        operations: &[Operation],
        process: Pid,
    ) -> Result<Result<(), Blocked>, Errno> {
        if operations.iter().any(|o| usize::from(o.number) >= self.semaphores.len()) {
            return Err(Errno::FBIG);
        }
        let mut after = self.semaphores.clone();
        for operation in operations {
            let Operation { number, add, no_wait, .. } = *operation;
            let semaphore = after.get_mut(usize::from(number)).ok_or(Errno::FBIG)?;
            let value = i32::from(semaphore.value) + i32::from(add);
            if value < 0 || (add == 0 && value != 0) {
                return Ok(Err(Blocked { number, for_zero: add == 0, no_wait }));
            }
            if value > LARGEST_VALUE {
                return Err(Errno::RANGE);
            }
            semaphore.value = u16::try_from(value).unwrap_or(0);
            semaphore.process = process;
        }
        self.semaphores = after;
        self.times[0] = Time::now().seconds;
        Ok(Ok(()))
    }
}

/// A list of what is taken back, by whoever has it last: threads share them (`CLONE_SYSVSEM`).
#[derive(Debug)]
pub struct UndoList(u64);

impl Default for UndoList {
    fn default() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        UndoList(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

/// What is in one: by set and number of the semaphore.
type Undo = HashMap<(i32, u16), i32>;

/// All sets.
#[derive(Debug, Default)]
pub struct Semaphores {
    /// The sets.
    pub sets: Mutex<Objects<Set>>,
    /// Who waits for any of them.
    pub queue: WaitQueue,
    /// What each waits for: set, semaphore, whether for zero.
    pub waiting: Mutex<Vec<(i32, u16, bool)>>,
    undo: Mutex<HashMap<u64, Undo>>,
}

impl Semaphores {
    /// Notes operations that are to be taken back.
    pub fn remember(&self, list: &UndoList, set: i32, operations: &[Operation]) {
        let mut undo = lock(&self.undo);
        for operation in operations.iter().filter(|o| o.undo && o.add != 0) {
            let all = undo.entry(list.0).or_default();
            *all.entry((set, operation.number)).or_default() -= i32::from(operation.add);
        }
    }

    /// Forgets them, for a semaphore whose value was set, or a set that is gone.
    pub fn forget(&self, set: i32, number: Option<u16>) {
        for all in lock(&self.undo).values_mut() {
            all.retain(|(of, at), _| *of != set || number.is_some_and(|number| number != *at));
        }
    }

    /// Takes back what is in a list; `process`: who is left that had it.
    pub fn take_back(&self, list: &UndoList, process: Pid) {
        let Some(undo) = lock(&self.undo).remove(&list.0) else { return };
        let mut sets = lock(&self.sets);
        for ((id, number), add) in undo {
            let Ok(set) = sets.find(id) else { continue };
            if let Some(semaphore) = set.content.semaphores.get_mut(usize::from(number)) {
                let value = (i32::from(semaphore.value) + add).clamp(0, LARGEST_VALUE);
                semaphore.value = u16::try_from(value).unwrap_or(0);
                semaphore.process = process;
            }
        }
        drop(sets);
        self.queue.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::objects::flag::CREATE;
    use crate::task::Credentials;

    fn operation(number: u16, add: i16) -> Operation {
        Operation { number, add, no_wait: false, undo: true }
    }

    #[test]
    fn operations_are_made_all_or_none() {
        let mut set = Set::new(2).unwrap();
        let blocked = Blocked { number: 1, for_zero: false, no_wait: false };
        let both = [operation(0, 5), operation(1, -1)];
        assert_eq!(set.operate(&both, 7), Ok(Err(blocked)));
        assert_eq!(set.semaphores, [Semaphore::default(); 2]);
        assert_eq!(set.operate(&[operation(1, 1), operation(0, 5)], 7), Ok(Ok(())));
        assert_eq!(set.operate(&both, 8), Ok(Ok(())));
        assert_eq!(set.semaphores[0], Semaphore { value: 10, process: 8 });
        let zero = Blocked { number: 0, for_zero: true, no_wait: false };
        assert_eq!(set.operate(&[operation(0, 0)], 7), Ok(Err(zero)));
        assert_eq!(set.operate(&[operation(0, i16::MAX)], 7), Err(Errno::RANGE));
        assert_eq!(set.operate(&[operation(2, 0)], 7), Err(Errno::FBIG));
        assert!(Set::new(0).is_err() && Set::new(MOST_IN_SET + 1).is_err());
    }

    #[test]
    fn the_end_of_a_process_takes_back_what_it_did() {
        let all = Semaphores::default();
        let who = Credentials::of(0, 0, Vec::new());
        let made = || Set::new(2);
        let id = lock(&all.sets).get((3, CREATE), &who, 9, |_| Ok(()), made).unwrap();
        let operations = [operation(0, 3), operation(1, 4)];
        lock(&all.sets).find(id).unwrap().content.operate(&operations, 5).unwrap().unwrap();
        let list = UndoList::default();
        all.remember(&list, id, &operations);
        all.forget(id, Some(1));
        all.take_back(&list, 5);
        let values = lock(&all.sets).find(id).unwrap().content.semaphores.clone();
        assert_eq!([values[0].value, values[1].value], [0, 4]);
        all.take_back(&list, 5);
    }
}
