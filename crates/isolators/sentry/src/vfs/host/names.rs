//! What is known of the names in a directory.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::super::{Attributes, Kind, Listed, Time};
use super::ahead::Ahead;
use super::{HostNode, KNOWN_FOR, Since};

/// Names of a directory that are kept; a larger one is listed by the host.
pub(super) const MOST_NAMES: usize = 16_384;
/// Names of all directories that are kept.
const MOST_KEPT: usize = 65_536;
/// Names of a directory that are known to be missing.
const MOST_ABSENT: usize = 1024;

/// Names that are kept.
static KEPT: AtomicUsize = AtomicUsize::new(0);
/// Directories with such, the oldest first.
static OWNERS: Mutex<VecDeque<Weak<HostNode>>> = Mutex::new(VecDeque::new());

/// All names of a directory, in the order of a listing that can go on whatever happens.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    order: BTreeMap<u64, Listed>,
    places: HashMap<Vec<u8>, u64>,
    last: u64,
}

impl Names {
    pub(super) fn add(&mut self, name: &[u8], kind: u8, inode: u64) {
        self.take(name);
        self.last += 1;
        let listed = Listed { next: self.last, inode, kind, name: name.to_vec() };
        self.order.insert(self.last, listed);
        self.places.insert(name.to_vec(), self.last);
    }

    fn take(&mut self, name: &[u8]) {
        if let Some(place) = self.places.remove(name) {
            self.order.remove(&place);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.order.len()
    }

    /// Those after a position, not too many.
    pub(super) fn page(&self, position: u64) -> Vec<Listed> {
        const PAGE: usize = 1024;
        let from = position.saturating_add(1);
        self.order.range(from..).take(PAGE).map(|(_, listed)| listed.clone()).collect()
    }

    /// How many there are between two places.
    pub(super) fn between(&self, first: u64, last: u64) -> usize {
        self.order.range(first.saturating_add(1)..last).take(8).count()
    }

    /// A name, and those that come after it.
    fn from(&self, name: &[u8], count: usize) -> Vec<Vec<u8>> {
        let Some(place) = self.places.get(name) else { return Vec::new() };
        let names = self.order.range(*place..).map(|(_, listed)| &listed.name);
        names.filter(|name| !matches!(name.as_slice(), b"." | b"..")).take(count).cloned().collect()
    }
}

/// Knowledge of a directory.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Counts changes: what was asked before one and answered after it is not kept.
    generation: u64,
    /// Listings that are going on have it, too.
    names: Option<Arc<Mutex<Names>>>,
    /// There are too many to keep.
    pub(super) too_many: bool,
    absent: HashSet<Vec<u8>>,
    /// Times of the directory when this was known to be true, and when that was.
    stamp: Option<(Time, Time)>,
    checked: Option<Instant>,
    pub(super) ahead: Ahead,
}

impl Drop for Content {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Content {
    fn forget(&mut self) {
        KEPT.fetch_sub(self.count(), Ordering::Relaxed);
        self.names = None;
        self.ahead = Ahead::default();
        self.absent.clear();
        self.too_many = false;
    }

    fn keep(&mut self, names: Names) {
        self.forget();
        KEPT.fetch_add(names.count(), Ordering::Relaxed);
        self.names = Some(Arc::new(Mutex::new(names)));
    }

    fn count(&self) -> usize {
        self.names.as_ref().map_or(0, |names| lock(names).count())
    }

    /// How many are to be looked up with a name that is opened, itself among them.
    pub(super) fn follow(&mut self, name: &[u8]) -> usize {
        let Some(names) = &self.names else { return 0 };
        let names = lock(names);
        names.places.get(name).map_or(0, |place| self.ahead.follow(&names, *place))
    }

    /// A name of the listing, and those that come after it.
    pub(super) fn from(&self, name: &[u8], count: usize) -> Vec<Vec<u8>> {
        self.names.as_ref().map(|names| lock(names).from(name, count)).unwrap_or_default()
    }

    fn change(&mut self, f: impl FnOnce(&mut Names)) {
        self.generation += 1;
        if let Some(names) = &self.names {
            let mut names = lock(names);
            KEPT.fetch_sub(names.count(), Ordering::Relaxed);
            f(&mut names);
            KEPT.fetch_add(names.count(), Ordering::Relaxed);
        }
    }
}

/// What a directory's knowledge says of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// It is not there.
    Absent,
    /// It is in a listing: its neighbours will be asked for, too.
    Listed,
    /// Nothing; the count of changes is to be given to [`HostNode::note_absent`].
    Nothing(u64),
}

impl HostNode {
    /// Times of the directory now.
    fn stamp(&self) -> Option<(Time, Time)> {
        let stat = rustix::fs::fstat(self.held()?).ok()?;
        let now = Attributes::from_host(&stat);
        Some((now.modified, now.changed))
    }

    /// Forgets what others may have made untrue: looks at the directory's times once in a while.
    fn settle(&self, content: &mut Content) {
        if content.checked.is_some_and(|at| at.elapsed() < KNOWN_FOR) {
            return;
        }
        self.compare(content);
    }

    fn compare(&self, content: &mut Content) {
        const TICK: i64 = 20_000_000;
        content.checked = Some(Instant::now());
        let stamp = self.stamp();
        if stamp.is_none() || content.stamp != stamp {
            content.forget();
            content.generation += 1;
            self.outside.fetch_add(1, Ordering::SeqCst);
        }
        // Another change in the same tick of the host's clock would not be seen.
        let now = Time::now();
        let age = |time: Time| {
            let seconds = now.seconds.saturating_sub(time.seconds).saturating_mul(1_000_000_000);
            seconds + i64::from(now.nanoseconds) - i64::from(time.nanoseconds)
        };
        content.stamp = stamp.filter(|(_, changed)| age(*changed) > TICK);
    }

    /// The guest is about to change a name here: what others did before is not to be hidden by
    /// that.
    pub fn expect_change(&self) {
        let mut content = lock(&self.content);
        // What is removed is not to be kept by who only may be asked for it.
        content.ahead.let_go();
        if content.stamp.is_some() && !self.is_shared() {
            self.compare(&mut content);
        }
    }

    /// The guest has changed attributes of the directory itself, which changes no name.
    pub fn has_changed_itself(&self) {
        if self.kind() == Kind::Directory && !self.is_shared() {
            let mut content = lock(&self.content);
            if content.checked.is_some() {
                content.stamp = self.stamp();
            }
        }
    }

    /// The guest has changed a name here.
    fn have_changed(&self, f: impl FnOnce(&mut Content)) {
        self.fs.named.fetch_add(1, Ordering::SeqCst);
        self.touch();
        let mut content = lock(&self.content);
        f(&mut content);
        if content.checked.is_some() && !self.is_shared() {
            content.stamp = self.stamp();
        }
    }

    /// How often others were found to have changed names here; that is looked for once in a
    /// while.
    #[must_use]
    pub fn outside(&self) -> u64 {
        self.settle(&mut lock(&self.content));
        self.outside.load(Ordering::SeqCst)
    }

    /// What is known of a name. Only for a directory that is not shared.
    #[must_use]
    pub fn says(&self, name: &[u8]) -> Says {
        let mut content = lock(&self.content);
        self.settle(&mut content);
        if content.absent.contains(name) {
            return Says::Absent;
        }
        match &content.names {
            Some(names) if lock(names).places.contains_key(name) => Says::Listed,
            Some(_) => Says::Absent,
            None => Says::Nothing(content.generation),
        }
    }

    /// The host has said that a name is missing, which [`Self::says`] knew nothing of.
    pub fn note_absent(&self, name: &[u8], generation: u64) {
        let mut content = lock(&self.content);
        if content.generation == generation && !self.is_shared() {
            if content.absent.len() >= MOST_ABSENT {
                content.absent.clear();
            }
            content.absent.insert(name.to_vec());
        }
    }

    /// A name of a listing and those after it, to be asked for at once.
    #[must_use]
    pub fn neighbours(&self, name: &[u8], count: usize) -> Vec<Vec<u8>> {
        lock(&self.content).from(name, count)
    }

    /// The host has said that a name is there already: made by a call that has not come to
    /// [`Self::appeared`] yet, or by others. Gives back what the host said.
    pub fn is_there(&self, name: &[u8], said: Errno) -> Errno {
        if said == Errno::EXIST {
            let mut content = lock(&self.content);
            content.generation += 1;
            content.absent.remove(name);
            let known = content.names.as_ref();
            if known.is_some_and(|names| !lock(names).places.contains_key(name)) {
                content.forget();
            }
        }
        said
    }

    /// A name was made here, or stands for another file now.
    pub fn appeared(&self, name: &[u8], kind: Kind, inode: u64) {
        self.have_changed(|content| {
            content.absent.remove(name);
            content.change(|names| names.add(name, kind.entry_type(), inode));
            if content.count() > MOST_NAMES {
                content.forget();
            }
        });
    }

    /// A name is gone.
    pub fn vanished(&self, name: &[u8]) {
        self.have_changed(|content| {
            content.change(|names| names.take(name));
            if content.names.is_none() && content.absent.len() < MOST_ABSENT {
                content.absent.insert(name.to_vec());
            }
        });
    }

    /// This directory was just made in `parent`, and is empty, unless somebody has found it and
    /// made something in it: if nothing else was changed since `before`.
    pub fn is_new(self: &Arc<Self>, parent: &HostNode, before: Since) {
        if self.fs.now().names != before.names + 1 {
            return;
        }
        let mut names = Names::default();
        names.add(b".", Kind::Directory.entry_type(), self.id().1);
        names.add(b"..", Kind::Directory.entry_type(), parent.id().1);
        self.keep(names, None);
    }

    fn keep(self: &Arc<Self>, names: Names, generation: Option<u64>) -> Option<Arc<Mutex<Names>>> {
        let kept = {
            let mut content = lock(&self.content);
            if generation.is_some_and(|before| before != content.generation) {
                return Some(Arc::new(Mutex::new(names)));
            }
            if generation.is_none() && content.generation != 0 {
                return None;
            }
            content.keep(names);
            if generation.is_none() {
                content.checked = Some(Instant::now());
                content.stamp = self.stamp();
            }
            content.names.clone()
        };
        let mut owners = lock(&OWNERS);
        owners.push_back(Arc::downgrade(self));
        let mut old = Vec::new();
        let mut kept_by_all = KEPT.load(Ordering::Relaxed);
        while kept_by_all > MOST_KEPT && owners.len() > 1 {
            let Some(owner) = owners.pop_front().and_then(|owner| owner.upgrade()) else {
                continue;
            };
            kept_by_all = kept_by_all.saturating_sub(lock(&owner.content).count());
            old.push(owner);
        }
        drop(owners);
        for owner in old.iter().filter(|owner| !Arc::ptr_eq(owner, self)) {
            lock(&owner.content).forget();
        }
        kept
    }

    /// All names, if they are known.
    pub(super) fn known_names(&self) -> Option<Arc<Mutex<Names>>> {
        let mut content = lock(&self.content);
        self.settle(&mut content);
        content.names.clone()
    }

    /// All names, if they are known or can be: `read` asks the host for them; `None` if there
    /// are too many.
    pub(super) fn names(
        self: &Arc<Self>,
        read: impl FnOnce() -> Result<Option<Names>, Errno>,
    ) -> Result<Option<Arc<Mutex<Names>>>, Errno> {
        let generation = {
            let mut content = lock(&self.content);
            self.settle(&mut content);
            if content.too_many || content.names.is_some() {
                return Ok(content.names.clone());
            }
            content.generation
        };
        let Some(names) = read()? else {
            lock(&self.content).too_many = true;
            return Ok(None);
        };
        Ok(self.keep(names, Some(generation)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_goes_on_whatever_happens() {
        let mut names = Names::default();
        for name in [&b"a"[..], b"b", b"c"] {
            names.add(name, 8, 1);
        }
        let first = names.page(0);
        assert_eq!(first.len(), 3);
        names.take(b"a");
        names.add(b"d", 8, 2);
        names.add(b"b", 8, 3);
        let rest: Vec<Vec<u8>> = names.page(first[1].next).into_iter().map(|l| l.name).collect();
        assert_eq!(rest, [b"c", b"d", b"b"]);
        assert_eq!(names.from(b"c", 2), [b"c", b"d"]);
        assert!(names.from(b"none", 2).is_empty());
    }
}
