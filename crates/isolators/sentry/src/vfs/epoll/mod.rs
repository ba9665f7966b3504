//! epoll(7): level and edge triggered, one-shot, exclusive.
//!
//! Files to which something happened stand in a list, by their order; who asks looks at those
//! alone. One that is level triggered and ready stands at its end then, so that each has its
//! turn. All others come into it when they call.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::task::waiter::{Waiter, lock};
use crate::task::{Thread, WaitQueue};

use super::{OpenFile, Ready};

mod file;
mod list;

pub use file::EpollFile;
use list::List;

/// `EPOLL*`
pub mod flag {
    /// `EPOLLEXCLUSIVE`
    pub const EXCLUSIVE: u32 = 1 << 28;
    pub(super) const ONE_SHOT: u32 = 1 << 30;
    /// `EPOLLET`
    pub const EDGE: u32 = 1 << 31;
}

/// Bits of `events` that are conditions.
const CONDITIONS: u32 = 0xffff;
/// Files in all sets of all containers, each once for each set (`fs.epoll.max_user_watches`).
const MOST: usize = 1 << 19;
static WATCHED: AtomicUsize = AtomicUsize::new(0);

/// A file in a set: the descriptor's number, and where the open file is.
type Key = (u32, usize);

struct Item {
    file: Weak<OpenFile>,
    events: u32,
    data: u64,
    /// A one-shot that has fired.
    disarmed: bool,
    /// It called since it was last listened to.
    called: Arc<AtomicBool>,
    /// Its place in the list; none is zero, and the last one means that it gets none. Changed
    /// under the list's lock.
    place: Arc<AtomicU64>,
    waiter: Arc<Waiter>,
}

impl Item {
    fn stays(&self) -> bool {
        self.events & flag::EDGE == 0
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        WATCHED.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Who is called when something happens to a file of a set.
#[derive(Default)]
struct Calls {
    /// Who waits in epoll_wait(2).
    waiting: WaitQueue,
    /// Who waits otherwise: poll(2), and sets that it is in, in which perhaps nobody waits.
    others: WaitQueue,
}

impl Calls {
    /// Calls all; whether anybody waits for this set alone.
    fn wake(&self) -> bool {
        self.others.wake();
        self.waiting.wake()
    }
}

/// A set of files to wait for.
#[derive(Default)]
pub struct Epoll {
    items: Mutex<BTreeMap<Key, Item>>,
    list: Arc<List>,
    calls: Arc<Calls>,
    /// Files that nobody has open any more. Told while whatever lock is held.
    closed: Mutex<Vec<Key>>,
    /// Sets that this one is in, once for each time.
    above: Mutex<Vec<Weak<Epoll>>>,
}

/// Sets are put into each other one at a time: together two could close a circle.
static NESTING: Mutex<()> = Mutex::new(());
/// `EP_MAX_NESTS`: how often a set may be in a set.
const DEEPEST: usize = 4;
/// Ways that lead through a set, from those that it is in to those in it: a look at the
/// outermost goes them all.
const MOST_WAYS: usize = 1000;

fn key(number: u32, file: &Arc<OpenFile>) -> Key {
    (number, Arc::as_ptr(file).addr())
}

impl Epoll {
    /// Adds a file under its descriptor number.
    ///
    /// # Errors
    /// `EEXIST`; `ENOSPC` if sets have too many.
    pub fn add(
        self: &Arc<Self>,
        number: u32,
        file: &Arc<OpenFile>,
        events: u32,
        data: u64,
    ) -> Result<(), Errno> {
        let key = key(number, file);
        let mut items = self.items();
        if items.contains_key(&key) {
            return Err(Errno::EXIST);
        }
        if WATCHED.fetch_add(1, Ordering::SeqCst) >= MOST {
            WATCHED.fetch_sub(1, Ordering::SeqCst);
            return Err(Errno::NOSPC);
        }
        let (called, place) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let own = (Arc::clone(&called), Arc::clone(&place));
        let (list, calls) = (Arc::clone(&self.list), Arc::clone(&self.calls));
        let forward = move || {
            own.0.store(true, Ordering::SeqCst);
            list.push(key, &own.1);
            calls.wake()
        };
        let waiter = Arc::new(if events & flag::EXCLUSIVE != 0 {
            Waiter::exclusive(Box::new(forward))
        } else {
            Waiter::forwarding(Box::new(move || {
                forward();
            }))
        });
        let weak = Arc::downgrade(file);
        let item = Item { file: weak, events, data, disarmed: false, called, place, waiter };
        // First listen, then look.
        file.file.watch(&item.waiter);
        let wakes = self.enter(key, &item, file);
        items.insert(key, item);
        // Before anybody can take it out again.
        let mut sets = lock(&file.sets);
        // Now and then: those that are gone.
        if sets.len() >= 16 && sets.len().is_power_of_two() {
            sets.retain(|(set, _)| set.strong_count() > 0);
        }
        sets.push((Arc::downgrade(self), number));
        drop(sets);
        drop(items);
        if wakes {
            self.calls.wake();
        }
        Ok(())
    }

    /// Puts a file into the list that may be ready; whether it is.
    fn enter(&self, key: Key, item: &Item, file: &OpenFile) -> bool {
        let may = file.file.is_personal() || wanted(item, file.file.ready()) != 0;
        if may {
            self.list.push(key, &item.place);
        }
        may
    }

    /// All files, without those that were closed.
    fn items(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Item>> {
        let mut items = lock(&self.items);
        for key in std::mem::take(&mut *lock(&self.closed)) {
            if items.get(&key).is_some_and(|item| item.file.strong_count() == 0)
                && let Some(item) = items.remove(&key)
            {
                self.list.retire(&item.place);
            }
        }
        items
    }

    /// Nobody has the file open any more that is in it under that number.
    pub(super) fn forget(&self, number: u32, file: &OpenFile) {
        lock(&self.closed).push((number, std::ptr::from_ref(file).addr()));
    }

    /// The file that is in it under `number`, after so many others that are, too.
    #[must_use]
    pub fn file_of(&self, number: u32, skip: u32) -> Option<Arc<OpenFile>> {
        let items = self.items();
        let mut all = items.range((number, 0)..=(number, usize::MAX));
        all.nth(usize::try_from(skip).ok()?).and_then(|(_, item)| item.file.upgrade())
    }

    /// Adds another set, whose file this is.
    ///
    /// # Errors
    /// `EEXIST`; `EINVAL` for the set itself, or if there are too many ways through it;
    /// `ELOOP` if it would be in itself, or too deep.
    pub fn add_set(
        self: &Arc<Self>,
        number: u32,
        (file, other): (&Arc<OpenFile>, &Arc<Epoll>),
        events: u32,
        data: u64,
    ) -> Result<(), Errno> {
        if Arc::ptr_eq(self, other) {
            return Err(Errno::INVAL);
        }
        let _one = lock(&NESTING);
        let (below, ways_below) = other.sets_in_it(self)?;
        let (above, ways_above) = self.sets_around_it();
        if below + 1 + above > DEEPEST {
            return Err(Errno::LOOP);
        }
        if ways_below.saturating_mul(ways_above) > MOST_WAYS {
            return Err(Errno::INVAL);
        }
        self.add(number, file, events, data)?;
        let mut sets = lock(&other.above);
        sets.retain(|set| set.strong_count() > 0);
        sets.push(Arc::downgrade(self));
        Ok(())
    }

    /// Takes a set out.
    ///
    /// # Errors
    /// `ENOENT`
    pub fn remove_set(
        self: &Arc<Self>,
        number: u32,
        (file, other): (&Arc<OpenFile>, &Arc<Epoll>),
    ) -> Result<(), Errno> {
        let _one = lock(&NESTING);
        self.remove(number, file)?;
        let mut sets = lock(&other.above);
        let this = Arc::downgrade(self);
        if let Some(at) = sets.iter().position(|set| Weak::ptr_eq(set, &this)) {
            sets.swap_remove(at);
        }
        Ok(())
    }

    /// How deep sets are in it, and by how many ways one comes to them or stays.
    fn sets_in_it(self: &Arc<Self>, outer: &Arc<Epoll>) -> Result<(usize, usize), Errno> {
        if Arc::ptr_eq(self, outer) {
            return Err(Errno::LOOP);
        }
        let mut files = Vec::new();
        files.extend(self.items().values().filter_map(|item| item.file.upgrade()));
        let (mut depth, mut ways) = (0, 1_usize);
        for set in files.iter().filter_map(|file| file.epoll.as_ref()) {
            let (below, through) = set.sets_in_it(outer)?;
            depth = depth.max(below + 1);
            ways = ways.saturating_add(through);
        }
        Ok((depth, ways))
    }

    /// The same of the sets that it is in.
    fn sets_around_it(&self) -> (usize, usize) {
        let sets: Vec<_> = lock(&self.above).iter().filter_map(Weak::upgrade).collect();
        let (mut depth, mut ways) = (0, 1_usize);
        for set in sets {
            let (above, through) = set.sets_around_it();
            depth = depth.max(above + 1);
            ways = ways.saturating_add(through);
        }
        (depth, ways)
    }

    /// Changes what a file is waited for.
    ///
    /// # Errors
    /// `ENOENT`; `EINVAL` of one that is waited for exclusively.
    pub fn modify(
        &self,
        number: u32,
        file: &Arc<OpenFile>,
        events: u32,
        data: u64,
    ) -> Result<(), Errno> {
        let key = key(number, file);
        let mut items = self.items();
        let item = items.get_mut(&key).ok_or(Errno::NOENT)?;
        if item.events & flag::EXCLUSIVE != 0 {
            return Err(Errno::INVAL);
        }
        (item.events, item.data, item.disarmed) = (events, data, false);
        if item.called.swap(false, Ordering::SeqCst) {
            file.file.watch(&item.waiter);
        }
        let wakes = self.enter(key, item, file);
        drop(items);
        if wakes {
            self.calls.wake();
        }
        Ok(())
    }

    /// Takes a file out.
    ///
    /// # Errors
    /// `ENOENT`
    pub fn remove(self: &Arc<Self>, number: u32, file: &Arc<OpenFile>) -> Result<(), Errno> {
        let mut items = self.items();
        let item = items.remove(&key(number, file)).ok_or(Errno::NOENT)?;
        // Whoever has the items finds none in the list that is not among them.
        self.list.retire(&item.place);
        drop(items);
        let this = Arc::downgrade(self);
        let mut sets = lock(&file.sets);
        if let Some(at) = sets.iter().position(|(set, n)| *n == number && set.ptr_eq(&this)) {
            sets.swap_remove(at);
        }
        Ok(())
    }

    /// What is ready now: events and data of up to `most` files. With `take`, edges
    /// and one-shots count as told, and others stand at the end of the list. Some files tell
    /// each thread something else.
    pub fn collect(&self, most: usize, take: bool, who: Option<&Thread>) -> Vec<Told> {
        // Closed, if they are, once nothing is locked any more.
        let mut files = Vec::new();
        let mut found = Vec::new();
        let mut items = self.items();
        // Not before: who looked meanwhile may have put files at the end.
        let (last, mut at) = (self.list.last(), 0);
        while found.len() < most
            && let Some((next, key)) = self.list.next(at, last)
        {
            at = next;
            let Some(item) = items.get_mut(&key) else { continue };
            self.list.remove(&item.place);
            let Some(file) = item.file.upgrade().filter(|_| !item.disarmed) else { continue };
            // First listen, then look: what comes in between is told again.
            if item.called.swap(false, Ordering::SeqCst) {
                file.file.watch(&item.waiter);
            }
            let ready = match who {
                Some(thread) => file.file.ready_for(thread),
                None => file.file.ready(),
            };
            let ready = wanted(item, ready);
            if ready != 0 {
                found.push(Told { events: ready, data: item.data, key, at });
            }
            if !take && ready != 0 {
                self.list.put_back(key, &item.place, at);
            } else if ready != 0 && item.events & flag::ONE_SHOT != 0 {
                item.disarmed = true;
            } else if item.stays() && (ready != 0 || file.file.is_personal()) {
                self.list.push(key, &item.place);
            }
            files.push(file);
        }
        drop(items);
        found
    }

    /// Some of what was taken reached nobody: it is ready as before.
    pub fn put_back(&self, untold: &[Told]) {
        let mut items = self.items();
        for told in untold {
            if let Some(item) = items.get_mut(&told.key) {
                item.disarmed = false;
                self.list.remove(&item.place);
                self.list.put_back(told.key, &item.place, told.at);
            }
        }
        drop(items);
        if !untold.is_empty() {
            self.calls.wake();
        }
    }

    /// Has who waits for this set alone called when something happens to a file of it.
    pub fn join(&self, waiter: &Arc<Waiter>) {
        self.calls.waiting.join(waiter);
    }

    /// The waiter waits no more.
    pub fn leave(&self, waiter: &Arc<Waiter>) {
        self.calls.waiting.leave(waiter);
    }
}

/// A file that is told of as ready.
pub struct Told {
    /// Of what it is.
    pub events: u32,
    /// What the guest knows it by.
    pub data: u64,
    key: Key,
    /// Where it stood in the list.
    at: u64,
}

/// What of `ready` a file is waited for.
fn wanted(item: &Item, ready: Ready) -> u32 {
    let always = u32::from((Ready::ERR | Ready::HUP).bits());
    u32::from(ready.bits()) & (item.events & CONDITIONS | always)
}

#[cfg(test)]
mod tests;
