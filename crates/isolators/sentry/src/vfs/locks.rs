//! Locks of files: those of a process (fcntl), of an open file (`F_OFD_*`), of a whole file
//! (flock). They hold among the guest's processes; the host does not know them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::syscalls::{Call, Failure};
use crate::task::pid_namespace::{Pids, number_of};
use crate::task::waiter::{Woken, lock};
use crate::task::{Pid, Restart, WaitQueue};

use super::{FileTable, OpenFile};

/// Who holds a lock. Addresses are those of what is still alive: it gives its locks up when
/// it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A process, by its table of descriptors.
    Process(usize),
    /// An open file.
    File(usize),
}

impl Owner {
    /// Of an open file.
    #[must_use]
    pub fn of_file(file: &OpenFile) -> Self {
        Owner::File(std::ptr::from_ref(file).addr())
    }

    /// Of the process that has these descriptors.
    #[must_use]
    pub fn of_table(table: &FileTable) -> Self {
        Owner::Process(std::ptr::from_ref(table).addr())
    }
}

/// The process that took a lock or lease, which need not hold it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Taker(Option<(usize, Pid)>);

impl Taker {
    /// Nobody: of an open file's own.
    pub const NONE: Self = Taker(None);

    /// A process of a container.
    #[must_use]
    pub fn of(kernel: &Kernel, pid: Pid) -> Self {
        Taker(Some(kernel.tree_key(pid)))
    }

    /// Its number in a PID namespace of a container; -1 of nobody, and 0 if it has none there.
    #[must_use]
    pub fn number(self, kernel: &Kernel, pids: &Pids) -> Pid {
        let Some((_, pid)) = self.0 else { return -1 };
        let is_there = self == Taker::of(kernel, pid) && lock(&kernel.tree).is_used(pid);
        if is_there { number_of(pids, pid) } else { 0 }
    }
}

/// What is locked: ranges by fcntl(2), or the whole file by flock(2); these don't see each
/// other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// fcntl(2)
    Ranges,
    /// flock(2)
    Whole,
}

/// A lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Who holds it.
    pub owner: Owner,
    /// Who took it.
    pub taker: Taker,
    /// Which kind.
    pub space: Space,
    /// First byte.
    pub start: u64,
    /// Last byte.
    pub last: u64,
    /// Whether it excludes all others.
    pub exclusive: bool,
}

impl Lock {
    fn meets(&self, other: &Lock) -> bool {
        self.space == other.space && self.start <= other.last && other.start <= self.last
    }

    fn conflicts(&self, other: &Lock) -> bool {
        self.owner != other.owner && self.meets(other) && (self.exclusive || other.exclusive)
    }
}

/// What a file is by here (`Node::identity`), or its device and inode.
type Id = (u64, u64);

/// Locks of a file.
#[derive(Debug, Default)]
struct Locked {
    held: Vec<Lock>,
    /// Its device and inode as they were when one was taken, for `/proc/locks`.
    told: Id,
}

/// All locks.
#[derive(Debug, Default)]
pub struct Locks {
    files: Mutex<HashMap<Id, Locked>>,
    /// Who waits for whom: processes only, as an open file has no single owner.
    waiting: Mutex<Vec<(Owner, Owner)>>,
    changed: WaitQueue,
    /// Whether there ever was one: most guests lock nothing.
    used: AtomicBool,
}

/// The guest's.
pub static LOCKS: LazyLock<Locks> = LazyLock::new(Locks::default);

/// Locks that the guest may have.
const MOST: usize = 100_000;

impl Locks {
    /// The first lock that is in the way of this one.
    #[must_use]
    pub fn conflict(&self, id: Id, wanted: &Lock) -> Option<Lock> {
        let files = lock(&self.files);
        files.get(&id)?.held.iter().find(|held| held.conflicts(wanted)).copied()
    }

    /// Whether its owner has this very lock.
    #[must_use]
    pub fn holds(&self, id: Id, wanted: &Lock) -> bool {
        lock(&self.files).get(&id).is_some_and(|file| file.held.contains(wanted))
    }

    /// Takes a lock in place of what its owner had there; returns what is in the way.
    fn try_take(&self, id: Id, told: Id, wanted: Lock) -> Result<Option<Lock>, Errno> {
        let mut files = lock(&self.files);
        if files.values().map(|file| file.held.len()).sum::<usize>() >= MOST {
            return Err(Errno::NOLCK);
        }
        let file = files.entry(id).or_default();
        file.told = told;
        let held = &mut file.held;
        if let Some(other) = held.iter().find(|held| held.conflicts(&wanted)) {
            return Ok(Some(*other));
        }
        cut(held, &wanted);
        let mut wanted = wanted;
        // Neighbours of one kind are one.
        held.retain(|lock| {
            let alike = lock.owner == wanted.owner
                && lock.space == wanted.space
                && lock.exclusive == wanted.exclusive
                && lock.start <= wanted.last.saturating_add(1)
                && wanted.start <= lock.last.saturating_add(1);
            if alike {
                wanted.start = wanted.start.min(lock.start);
                wanted.last = wanted.last.max(lock.last);
            }
            !alike
        });
        put(held, wanted);
        drop(files);
        // It may have been exclusive before.
        self.changed.wake();
        Ok(None)
    }

    /// Takes a lock; waits for it if `waits`.
    ///
    /// # Errors
    /// `EAGAIN`; `EDEADLK` if the others wait for the caller.
    pub fn take(
        &self,
        call: &Call<'_>,
        file: &Arc<OpenFile>,
        wanted: Lock,
        waits: bool,
    ) -> Result<(), Failure> {
        self.used.store(true, Ordering::SeqCst);
        let told = file.device_and_inode()?;
        let id = *file.locked.get_or_init(|| file.own_identity().unwrap_or(told));
        loop {
            self.changed.join(call.waiter());
            // Who is killed may have closed his files already.
            let killed = || call.thread.doomed.load(Ordering::SeqCst);
            if killed() {
                return Err(Errno::INTR.into());
            }
            let Some(other) = self.try_take(id, told, wanted)? else {
                if killed() && matches!(wanted.owner, Owner::Process(_)) {
                    self.free(id, &wanted);
                }
                return Ok(());
            };
            if !waits {
                return Err(Errno::AGAIN.into());
            }
            self.wait_for(wanted.owner, other.owner)?;
            let woken = call.waiter().wait(None);
            self.waits_no_more(wanted.owner, other.owner);
            if woken == Woken::Interrupted {
                return Err(Failure::Interrupted(Restart::IfAsked));
            }
        }
    }

    /// Notes that one waits for another, unless that one waits for the first.
    fn wait_for(&self, who: Owner, whom: Owner) -> Result<(), Errno> {
        let mut waiting = lock(&self.waiting);
        if matches!(who, Owner::Process(_)) {
            let mut at = whom;
            for _ in 0..waiting.len() {
                let Some((_, next)) = waiting.iter().find(|(waits, _)| *waits == at) else { break };
                if *next == who {
                    return Err(Errno::DEADLK);
                }
                at = *next;
            }
            waiting.push((who, whom));
        }
        Ok(())
    }

    /// Of a process one thread may wait for this, another one for that.
    fn waits_no_more(&self, who: Owner, whom: Owner) {
        let mut waiting = lock(&self.waiting);
        if let Some(at) = waiting.iter().position(|pair| *pair == (who, whom)) {
            waiting.swap_remove(at);
        }
    }

    /// Gives up what is locked in a range.
    pub fn free(&self, id: Id, range: &Lock) {
        let mut files = lock(&self.files);
        if let Some(file) = files.get_mut(&id) {
            cut(&mut file.held, range);
            if file.held.is_empty() {
                files.remove(&id);
            }
        }
        drop(files);
        self.changed.wake();
    }

    /// Gives up all that an owner has of a file.
    pub fn release(&self, id: Id, owner: Owner) {
        let mut files = lock(&self.files);
        if let Some(file) = files.get_mut(&id) {
            file.held.retain(|lock| lock.owner != owner);
            if file.held.is_empty() {
                files.remove(&id);
            }
        }
        drop(files);
        self.changed.wake();
    }

    /// A process closes a descriptor: whatever it locked of that file by fcntl(2) is free.
    pub fn closed(&self, file: &OpenFile, table: &FileTable) {
        if !self.used.load(Ordering::SeqCst) || !file.seekable {
            return;
        }
        let id = file.locked.get().copied().or_else(|| file.identity().ok());
        if let Some(id) = id {
            self.release(id, Owner::of_table(table));
        }
    }

    /// All locks with their files, for `/proc/locks`.
    #[must_use]
    pub fn all(&self) -> Vec<(Id, Lock)> {
        let files = lock(&self.files);
        let all = files.values();
        all.flat_map(|file| file.held.iter().map(|lock| (file.told, *lock))).collect()
    }
}

/// Adds one: those of an owner stand together, the first byte first, and owners in the order in
/// which they came. So who asks is told of the first that is in the way.
fn put(held: &mut Vec<Lock>, lock: Lock) {
    let behind = |other: &Lock| other.owner == lock.owner && other.start > lock.start;
    let own = |other: &Lock| other.owner == lock.owner;
    let at = held.iter().position(behind);
    let at = at.or_else(|| held.iter().rposition(own).map(|last| last + 1));
    held.insert(at.unwrap_or(held.len()), lock);
}

/// Takes a range out of what its owner holds.
fn cut(held: &mut Vec<Lock>, range: &Lock) {
    let parts = |lock: &Lock| {
        if lock.owner != range.owner || !lock.meets(range) {
            return [Some(*lock), None];
        }
        let front = Lock { last: range.start.saturating_sub(1), ..*lock };
        let back = Lock { start: range.last.saturating_add(1), ..*lock };
        [(lock.start < range.start).then_some(front), (lock.last > range.last).then_some(back)]
    };
    *held = held.iter().flat_map(parts).flatten().collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(owner: usize, start: u64, last: u64, exclusive: bool) -> Lock {
        let owner = Owner::Process(owner);
        Lock { owner, taker: Taker(Some((0, 1))), space: Space::Ranges, start, last, exclusive }
    }

    #[test]
    fn ranges_are_cut_and_joined() {
        let locks = Locks::default();
        let id = (1, 2);
        assert_eq!(locks.try_take(id, id, range(1, 0, 99, true)), Ok(None));
        assert_eq!(
            locks.try_take(id, id, range(2, 50, 60, false)).unwrap().unwrap().taker,
            Taker(Some((0, 1)))
        );
        locks.free(id, &range(1, 40, 69, true));
        assert_eq!(locks.try_take(id, id, range(2, 50, 60, false)), Ok(None));
        assert_eq!(locks.try_take(id, id, range(3, 50, 55, false)), Ok(None));
        assert!(locks.try_take(id, id, range(3, 50, 55, true)).unwrap().is_some());
        assert!(locks.conflict(id, &range(3, 69, 70, true)).is_some_and(|l| l.start == 70));
        assert_eq!(locks.try_take(id, id, range(1, 40, 45, true)), Ok(None));
        assert!(locks.all().iter().any(|(_, l)| (l.start, l.last) == (0, 45)));
        locks.release(id, Owner::Process(1));
        locks.release(id, Owner::Process(2));
        locks.release(id, Owner::Process(3));
        assert!(locks.all().is_empty());
    }

    #[test]
    fn circles_are_noticed() {
        let locks = Locks::default();
        let [a, b, c] = [1, 2, 3].map(Owner::Process);
        assert_eq!(locks.wait_for(a, b), Ok(()));
        assert_eq!(locks.wait_for(b, c), Ok(()));
        assert_eq!(locks.wait_for(c, a), Err(Errno::DEADLK));
    }
}
