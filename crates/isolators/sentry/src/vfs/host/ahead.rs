//! Files of a directory that are looked up ahead: who opens one after the other of a listing
//! mostly opens all.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::super::broker::{BrokerClient, Found, MOST_FOUND, Opens};
use super::names::Names;
use super::{Changes, HostNode};

/// The directory that has files that were looked up ahead. One at a time has: they are
/// descriptors that perhaps nobody asks for.
static OWNER: Mutex<Weak<HostNode>> = Mutex::new(Weak::new());

/// Which files of a directory are opened, and those that were found before they were asked for.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The place in the listing of what was opened last.
    last: u64,
    /// How many in turn.
    run: u32,
    found: Vec<Early>,
}

/// A file that was found early.
#[derive(Debug)]
struct Early {
    name: Vec<u8>,
    found: Found,
    /// Where copies are counted as long as this is here.
    _counted: Arc<Changes>,
    /// The count of copies before it was opened.
    copies: u64,
}

impl Ahead {
    /// Keeps none of those that were found early.
    pub(super) fn let_go(&mut self) {
        self.found.clear();
    }

    /// The file of a name, if it is there and as it should be.
    fn take(&mut self, name: &[u8], is: impl FnOnce(&Found) -> bool) -> Option<Early> {
        let place = self.found.iter().position(|early| early.name == name)?;
        Some(self.found.remove(place)).filter(|early| is(&early.found))
    }

    /// How many are to be looked up if the one at a place is: the more, the more came in turn.
    pub(super) fn follow(&mut self, names: &Names, place: u64) -> usize {
        /// Directories and such are left out by who reads files.
        const LEFT_OUT: usize = 2;
        let in_turn = place > self.last && names.between(self.last, place) <= LEFT_OUT;
        self.last = place;
        self.run = if in_turn { self.run.saturating_add(1) } else { 0 };
        MOST_FOUND.min(1 << self.run.min(8))
    }
}

impl HostNode {
    /// Looks up a name of this directory, which stood for `file`, to open it, and perhaps those
    /// after it in the listing. With it comes the count of copies before it was opened.
    ///
    /// # Errors
    /// `ENOENT` if it stands for something else now; as openat2(2).
    pub(super) fn look_up(
        self: &Arc<Self>,
        broker: &BrokerClient,
        name: &[u8],
        file: &HostNode,
    ) -> Result<(Found, u64), Errno> {
        let is = |found: &Found| file.is(&found.attributes);
        let mut names = Vec::new();
        if !self.is_shared() {
            let mut content = lock(&self.content);
            let count = content.follow(name);
            if let Some(early) = content.ahead.take(name, is) {
                return Ok((early.found, early.copies));
            }
            if count > 1 {
                names = content.from(name, count);
            }
        }
        if names.len() > 1
            && let Ok(found) = self.look_up_all(broker, names)
            && let Some(early) = self.keep_early(found, name, is)
        {
            return Ok((early.found, early.copies));
        }
        let copies = file.changes.copies.load(Ordering::SeqCst);
        let found = broker.lookup(self.handle(broker)?, name, Opens::Any)?;
        if is(&found) { Ok((found, copies)) } else { Err(Errno::NOENT) }
    }

    fn look_up_all(&self, broker: &BrokerClient, names: Vec<Vec<u8>>) -> Result<Vec<Early>, Errno> {
        let altered = self.fs.altered.load(Ordering::SeqCst);
        let found = broker.lookup_all(self.handle(broker)?, &names)?;
        let early = names.into_iter().zip(found).filter_map(|(name, found)| {
            let found = found?;
            let changes = self.fs.changes_of((found.attributes.device, found.attributes.inode));
            let copies = changes.copies.load(Ordering::SeqCst);
            Some(Early { name, found, _counted: changes, copies })
        });
        let early = early.collect();
        // Then the counts may be those from after a copy.
        let altered = self.fs.altered.load(Ordering::SeqCst) != altered;
        if altered { Err(Errno::AGAIN) } else { Ok(early) }
    }

    /// Keeps all but the one that is named, which is returned if it is as it should be.
    fn keep_early(
        self: &Arc<Self>,
        found: Vec<Early>,
        name: &[u8],
        is: impl FnOnce(&Found) -> bool,
    ) -> Option<Early> {
        // Held until they are kept, so that who comes next finds them.
        let mut owner = lock(&OWNER);
        let before = std::mem::replace(&mut *owner, Arc::downgrade(self)).upgrade();
        let before = before.filter(|before| !Arc::ptr_eq(before, self));
        if let Some(before) = &before {
            lock(&before.content).ahead.let_go();
        }
        let wanted = {
            let mut content = lock(&self.content);
            content.ahead.found = found;
            content.ahead.take(name, is)
        };
        drop(owner);
        wanted
    }
}
