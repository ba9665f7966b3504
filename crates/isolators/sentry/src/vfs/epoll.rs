//! epoll(7): level and edge triggered, one-shot.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::task::waiter::{Waiter, lock};
use crate::task::{Thread, WaitQueue};

use super::{Attributes, File, OpenFile, Ready};

/// `EPOLL*`
mod flag {
    pub(super) const ONE_SHOT: u32 = 1 << 30;
    pub(super) const EDGE: u32 = 1 << 31;
}

/// Bits of `events` that are conditions.
const CONDITIONS: u32 = 0xffff;

struct Item {
    file: Weak<OpenFile>,
    events: u32,
    data: u64,
    /// A one-shot that has fired.
    disarmed: bool,
    /// Something happened since it was last looked at.
    touched: Arc<AtomicBool>,
    waiter: Arc<Waiter>,
}

/// A set of files to wait for.
#[derive(Default)]
pub struct Epoll {
    items: Mutex<BTreeMap<u32, Item>>,
    changed: Arc<WaitQueue>,
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

impl Epoll {
    /// Adds a file under its descriptor number.
    ///
    /// # Errors
    /// `EEXIST`
    pub fn add(
        &self,
        number: u32,
        file: &Arc<OpenFile>,
        events: u32,
        data: u64,
    ) -> Result<(), Errno> {
        let mut items = lock(&self.items);
        // The number may be another file's by now.
        if items.get(&number).and_then(|i| i.file.upgrade()).is_some_and(|f| Arc::ptr_eq(&f, file))
        {
            return Err(Errno::EXIST);
        }
        let touched = Arc::new(AtomicBool::new(true));
        let (flag, queue) = (Arc::clone(&touched), Arc::clone(&self.changed));
        let waiter = Arc::new(Waiter::forwarding(Box::new(move || {
            flag.store(true, Ordering::SeqCst);
            queue.wake();
        })));
        file.file.watch(&waiter);
        let file = Arc::downgrade(file);
        items.insert(number, Item { file, events, data, disarmed: false, touched, waiter });
        drop(items);
        self.changed.wake();
        Ok(())
    }

    /// The file that is in it under `number`, if it is the first one.
    #[must_use]
    pub fn file_of(&self, number: u32, skip: u32) -> Option<Arc<OpenFile>> {
        lock(&self.items).get(&number).filter(|_| skip == 0).and_then(|item| item.file.upgrade())
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
        let sets: Vec<_> = {
            let items = lock(&self.items);
            let files = items.values().filter_map(|item| item.file.upgrade());
            files.filter_map(|file| file.epoll.clone()).collect()
        };
        let (mut depth, mut ways) = (0, 1_usize);
        for set in sets {
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
    /// `ENOENT`
    pub fn modify(
        &self,
        number: u32,
        file: &Arc<OpenFile>,
        events: u32,
        data: u64,
    ) -> Result<(), Errno> {
        let mut items = lock(&self.items);
        let item = items.get_mut(&number).ok_or(Errno::NOENT)?;
        if !item.file.upgrade().is_some_and(|f| Arc::ptr_eq(&f, file)) {
            return Err(Errno::NOENT);
        }
        (item.events, item.data, item.disarmed) = (events, data, false);
        item.touched.store(true, Ordering::SeqCst);
        drop(items);
        self.changed.wake();
        Ok(())
    }

    /// Takes a file out.
    ///
    /// # Errors
    /// `ENOENT`
    pub fn remove(&self, number: u32, file: &Arc<OpenFile>) -> Result<(), Errno> {
        let mut items = lock(&self.items);
        let there = items.get(&number).and_then(|i| i.file.upgrade());
        if !there.is_some_and(|f| Arc::ptr_eq(&f, file)) {
            return Err(Errno::NOENT);
        }
        items.remove(&number);
        Ok(())
    }

    /// What is ready now: events and data of up to `most` files. With `take`, edges
    /// and one-shots count as told. Some files tell each thread something else.
    pub fn collect(&self, most: usize, take: bool, who: Option<&Thread>) -> Vec<(u32, u64)> {
        let mut found = Vec::new();
        lock(&self.items).retain(|_, item| {
            // Closed everywhere.
            let Some(file) = item.file.upgrade() else { return false };
            if item.disarmed || found.len() >= most {
                return true;
            }
            let edge = item.events & flag::EDGE != 0;
            if edge && !item.touched.load(Ordering::SeqCst) {
                return true;
            }
            // First listen, then look: what comes in between is told again.
            if item.touched.swap(false, Ordering::SeqCst) {
                file.file.watch(&item.waiter);
            }
            let always = u32::from((Ready::ERR | Ready::HUP).bits());
            let ready = match who {
                Some(thread) => file.file.ready_for(thread),
                None => file.file.ready(),
            };
            let ready = u32::from(ready.bits()) & (item.events & CONDITIONS | always);
            if ready != 0 {
                found.push((ready, item.data));
                if !take {
                    item.touched.store(true, Ordering::SeqCst);
                } else if item.events & flag::ONE_SHOT != 0 {
                    item.disarmed = true;
                }
            }
            true
        });
        found
    }

    /// Has a waiter called when something happens to a file of the set.
    pub fn join(&self, waiter: &Arc<Waiter>) {
        self.changed.join(waiter);
    }
}

/// The file that stands for a set.
pub struct EpollFile(pub Arc<Epoll>);

impl File for EpollFile {
    fn read(&self, _: &mut [u8], _: u64) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    fn ready(&self) -> Ready {
        if self.0.collect(1, false, None).is_empty() { Ready::empty() } else { Ready::IN }
    }

    fn ready_for(&self, thread: &Thread) -> Ready {
        let any = !self.0.collect(1, false, Some(thread)).is_empty();
        if any { Ready::IN } else { Ready::empty() }
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        self.0.join(waiter);
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(Attributes { device: 14, inode: 2, mode: 0o600, links: 1, ..Attributes::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::pipe;
    use super::*;

    #[test]
    fn levels_stay_edges_and_one_shots_are_told_once() {
        let (reader, writer) = pipe(1, (0, 0));
        let (reader, writer) = (OpenFile::stream(reader, 0), OpenFile::stream(writer, 1));
        let (level, edge, once) = (Epoll::default(), Epoll::default(), Epoll::default());
        level.add(3, &reader, 1, 7).unwrap();
        edge.add(3, &reader, 1 | flag::EDGE, 8).unwrap();
        once.add(3, &reader, 1 | flag::ONE_SHOT, 9).unwrap();
        assert_eq!(level.add(3, &reader, 1, 7), Err(Errno::EXIST));
        assert!(level.collect(8, true, None).is_empty() && edge.collect(8, true, None).is_empty());
        writer.file.write(b"x", 0, false).unwrap();
        for _ in 0..2 {
            assert_eq!(level.collect(8, true, None), [(1, 7)]);
        }
        assert_eq!(edge.collect(8, true, None), [(1, 8)]);
        assert_eq!(edge.collect(8, true, None), []);
        assert_eq!(once.collect(8, true, None), [(1, 9)]);
        assert_eq!(once.collect(8, true, None), []);
        // Another byte is another edge, although the first one was not read.
        writer.file.write(b"y", 0, false).unwrap();
        assert_eq!(edge.collect(8, true, None), [(1, 8)]);
        once.modify(3, &reader, 1 | flag::ONE_SHOT, 10).unwrap();
        assert_eq!(once.collect(8, true, None), [(1, 10)]);
        drop(writer);
        assert_eq!(level.collect(8, true, None), [(0x11, 7)]);
        drop(reader);
        assert_eq!(level.collect(8, true, None), []);
    }
}
