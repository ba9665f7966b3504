//! `F_NOTIFY` of fcntl(2): the owner of an open directory is told by a signal of what happens
//! in it.

use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::signal::owner::{Owner, What};
use crate::task::waiter::lock;

use super::inotify::{Id, Told, WATCHED, Watch, anybody, event};
use super::{FileTable, OpenFile};

/// `DN_*`, each with what it is of inotify's.
const EVENTS: [(u32, u32); 6] = [
    (1, event::ACCESS),
    (2, event::MODIFY),
    (4, event::CREATE | event::MOVED_TO),
    (8, event::DELETE | event::MOVED_FROM),
    (0x10, event::RENAMED),
    (0x20, event::ATTRIBUTES),
];
/// Watches of one directory, so that who tells of something has not much to do.
const MOST: usize = 1024;
/// `DN_MULTISHOT`
const AGAIN: u32 = 0x8000_0000;

/// What was asked for by one open directory, of one table of descriptors.
#[derive(Debug)]
pub(super) struct DirectoryNotice {
    file: Weak<OpenFile>,
    owner: Weak<Owner>,
    table: usize,
    /// The descriptor that is told of, and each `F_NOTIFY`'s events.
    asked: Mutex<(u32, Vec<u32>)>,
}

/// Of all that was asked for: events of inotify's.
fn mask_of(asked: &[u32]) -> u32 {
    let all = asked.iter().fold(0, |all, one| all | one);
    let wanted = EVENTS.iter().filter(|(own, _)| all & own != 0);
    wanted.fold(0, |mask, (_, events)| mask | events)
}

impl DirectoryNotice {
    fn is_of(&self, file: &OpenFile, table: usize) -> bool {
        std::ptr::eq(self.file.as_ptr(), file) && self.table == table
    }

    /// Tells the owner. What was asked for once is not told of again.
    pub(super) fn happened(self: &Arc<Self>, id: Id, mask: u32) {
        let wanted = |one: &u32| mask_of(&[*one]) & mask != 0;
        let stays = |one: &u32| !wanted(one) || one & AGAIN != 0;
        let (descriptor, all_stay) = {
            let asked = lock(&self.asked);
            if !asked.1.iter().any(wanted) {
                return;
            }
            (asked.0, asked.1.iter().all(stays))
        };
        if !all_stay && !self.was_for_once(id, wanted, stays) {
            return;
        }
        if let Some(owner) = self.owner.upgrade() {
            owner.is_due(What::Message(descriptor));
        }
    }

    /// What was asked for once goes; false if somebody else has told of it.
    fn was_for_once(
        self: &Arc<Self>,
        id: Id,
        wanted: impl Fn(&u32) -> bool,
        stays: impl Fn(&u32) -> bool,
    ) -> bool {
        let own = |watch: &Watch| matches!(&watch.told, Told::Owner(own) if Arc::ptr_eq(own, self));
        let mut files = lock(&WATCHED.files);
        let mut asked = lock(&self.asked);
        if !asked.1.iter().any(wanted) {
            return false;
        }
        asked.1.retain(stays);
        let watches = files.get_mut(&id).into_iter().flatten();
        for watch in watches.filter(|watch| own(watch)) {
            watch.mask = mask_of(&asked.1);
        }
        drop((files, asked));
        // Unless more was asked for meanwhile.
        WATCHED.forget(id, |watch| own(watch) && lock(&self.asked).1.is_empty());
        true
    }
}

/// Has the owner of an open directory told of events (`DN_*`), beside those that were asked for
/// before by the same table; with none, of nothing any more.
///
/// # Errors
/// `ENOTDIR`; `ENOSPC` if there are too many.
pub fn ask(
    file: &Arc<OpenFile>,
    (descriptor, table): (u32, &Arc<FileTable>),
    events: u32,
) -> Result<(), Errno> {
    if events & !AGAIN == 0 {
        closed(file, table);
        return Ok(());
    }
    let entry = file.entry.as_ref().filter(|_| file.directory.is_some()).ok_or(Errno::NOTDIR)?;
    let id = entry.node.id().ok_or(Errno::OPNOTSUPP)?;
    let (own_table, table) = (table, Arc::as_ptr(table).addr());
    let mut files = lock(&WATCHED.files);
    // Who closes it meanwhile empties its place first, and then looks for what was asked.
    if !own_table.get(descriptor).is_ok_and(|now| Arc::ptr_eq(&now, file)) {
        return Err(Errno::BADF);
    }
    for watch in files.get_mut(&id).into_iter().flatten() {
        let Told::Owner(notice) = &watch.told else { continue };
        if !notice.is_of(file, table) {
            continue;
        }
        let mut asked = lock(&notice.asked);
        asked.0 = descriptor;
        match asked.1.first_mut() {
            // They are one, which is for good if any was.
            Some(first) => *first |= events,
            None => asked.1.push(events),
        }
        let mask = mask_of(&asked.1);
        drop(asked);
        watch.mask = mask;
        return Ok(());
    }
    WATCHED.has_room()?;
    let watches = files.entry(id).or_default();
    if watches.len() >= MOST {
        return Err(Errno::NOSPC);
    }
    let asked = Mutex::new((descriptor, vec![events]));
    let (owner, file) = (Arc::downgrade(Owner::of(file)), Arc::downgrade(file));
    let told = Told::Owner(Arc::new(DirectoryNotice { file, owner, table, asked }));
    watches.push(Watch { told, mask: mask_of(&[events]), keeps: None });
    WATCHED.added();
    Ok(())
}

/// A descriptor of a table was closed.
pub(super) fn closed(file: &OpenFile, table: &FileTable) {
    if file.directory.is_none() || !anybody() {
        return;
    }
    let table = std::ptr::from_ref(table).addr();
    if let Some(id) = file.entry.as_ref().and_then(|entry| entry.node.id()) {
        WATCHED.forget(
            id,
            |watch| matches!(&watch.told, Told::Owner(notice) if notice.is_of(file, table)),
        );
    }
}
