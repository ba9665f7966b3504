//! inotify(7): who is told of what happens to files. What the host does to them is not
//! noticed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Weak};

use rustix::io::Errno;

use crate::syscalls::Call;
use crate::task::WaitQueue;
use crate::task::waiter::{Waiter, lock};

use super::directory_notice::DirectoryNotice;
use super::{Asks, Attributes, Entry, File, Kind, Node, OverlayNode, Ready};

/// Bits of `mask`.
pub mod event {
    #![allow(missing_docs, reason = "names of inotify(7)")]
    pub const ACCESS: u32 = 1;
    pub const MODIFY: u32 = 2;
    pub const ATTRIBUTES: u32 = 4;
    pub const CLOSE_WRITE: u32 = 8;
    pub const CLOSE_NO_WRITE: u32 = 0x10;
    pub const OPEN: u32 = 0x20;
    pub const MOVED_FROM: u32 = 0x40;
    pub const MOVED_TO: u32 = 0x80;
    pub const CREATE: u32 = 0x100;
    pub const DELETE: u32 = 0x200;
    pub const DELETE_SELF: u32 = 0x400;
    pub const MOVE_SELF: u32 = 0x800;
    pub const ALL: u32 = 0xfff;
    /// Within a directory: of which inotify(7) does not tell, but `F_NOTIFY`.
    pub const RENAMED: u32 = 0x800_0000;
    pub const OVERFLOW: u32 = 0x4000;
    pub const IGNORED: u32 = 0x8000;
    pub const IS_DIRECTORY: u32 = 0x4000_0000;
    pub const ONE_SHOT: u32 = 0x8000_0000;
    /// `IN_EXCL_UNLINK`
    pub const NAMED_ONLY: u32 = 0x0400_0000;
}

/// Events that wait at most, and watches that there may be.
const QUEUE: usize = 16_384;
const WATCHES: usize = 65_536;
/// Bytes of `struct inotify_event` without its name.
const HEAD: usize = 16;

pub(super) type Id = (u64, u64);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    watch: i32,
    mask: u32,
    cookie: u32,
    name: Vec<u8>,
}

impl Event {
    fn bytes(&self) -> Vec<u8> {
        let length = match self.name.len() {
            0 => 0,
            length => (length + 1).next_multiple_of(HEAD),
        };
        let mut bytes = self.watch.to_le_bytes().to_vec();
        for word in [self.mask, self.cookie, u32::try_from(length).unwrap_or(0)] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.name);
        bytes.resize(HEAD + length, 0);
        bytes
    }
}

#[derive(Debug, Default)]
struct State {
    last: i32,
    watched: BTreeMap<i32, Id>,
    queue: VecDeque<Event>,
    /// How often something happened.
    arrived: u64,
}

/// A set of watches.
#[derive(Debug, Default)]
pub struct Inotify {
    state: Mutex<State>,
    changed: WaitQueue,
}

/// Bits of a mask that say what happened.
const KINDS: u32 = event::ALL | event::RENAMED;

/// Who is told.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// A set, of its watch of this number.
    Set(Weak<Inotify>, i32),
    /// The owner of an open directory (`F_NOTIFY`), by a signal.
    Owner(Arc<DirectoryNotice>),
}

#[derive(Debug)]
pub(super) struct Watch {
    pub(super) told: Told,
    pub(super) mask: u32,
    /// What it is of, if that is the same only as long as it is there.
    pub(super) keeps: Option<Arc<OverlayNode>>,
}

impl Watch {
    fn is_of(&self, set: &Weak<Inotify>) -> bool {
        matches!(&self.told, Told::Set(own, _) if own.ptr_eq(set))
    }
}

/// All watches, by device and inode.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) files: Mutex<HashMap<Id, Vec<Watch>>>,
    /// How many there are: most guests have none.
    count: AtomicUsize,
}

pub(super) static WATCHED: LazyLock<Watched> = LazyLock::new(Watched::default);

fn id(entry: &Entry) -> Option<Id> {
    entry.node.identity()
}

impl Inotify {
    fn push(&self, event: Event) {
        let mut state = lock(&self.state);
        if state.queue.back() != Some(&event) {
            if state.queue.len() >= QUEUE {
                let (watch, mask, name) = (-1, event::OVERFLOW, Vec::new());
                let overflow = Event { watch, mask, cookie: 0, name };
                if state.queue.back() != Some(&overflow) {
                    state.queue.push_back(overflow);
                    state.arrived += 1;
                }
            } else {
                state.queue.push_back(event);
                state.arrived += 1;
            }
        }
        drop(state);
        self.changed.wake();
    }

    /// Watches a file, or changes for what it is watched.
    ///
    /// # Errors
    /// `EEXIST` if it must be new; `ENOSPC` if there are too many.
    pub fn add(
        self: &Arc<Self>,
        entry: &Entry,
        mask: u32,
        (add, new): (bool, bool),
    ) -> Result<i32, Errno> {
        let id = id(entry).ok_or(Errno::OPNOTSUPP)?;
        let mut files = lock(&WATCHED.files);
        let this = Arc::downgrade(self);
        let mut watches = files.get_mut(&id).into_iter().flatten();
        if let Some(watch) = watches.find(|watch| watch.is_of(&this))
            && let Told::Set(_, number) = watch.told
        {
            if new {
                return Err(Errno::EXIST);
            }
            watch.mask = if add { watch.mask | mask } else { mask };
            return Ok(number);
        }
        WATCHED.has_room()?;
        let mut state = lock(&self.state);
        state.last += 1;
        let number = state.last;
        state.watched.insert(number, id);
        drop(state);
        let keeps =
            if let Node::Overlay(node) = &entry.node { Some(Arc::clone(node)) } else { None };
        files.entry(id).or_default().push(Watch { told: Told::Set(this, number), mask, keeps });
        WATCHED.added();
        Ok(number)
    }

    /// Ends a watch.
    ///
    /// # Errors
    /// `EINVAL` if there is no such one.
    pub fn remove(self: &Arc<Self>, number: i32) -> Result<(), Errno> {
        let id = lock(&self.state).watched.remove(&number).ok_or(Errno::INVAL)?;
        let this = Arc::downgrade(self);
        WATCHED.forget(id, |watch| {
            matches!(&watch.told, Told::Set(set, own) if *own == number && set.ptr_eq(&this))
        });
        let (mask, name) = (event::IGNORED, Vec::new());
        self.push(Event { watch: number, mask, cookie: 0, name });
        Ok(())
    }

    /// What `/proc/<pid>/fdinfo` tells of its watches.
    #[must_use]
    pub fn lines(self: &Arc<Self>) -> String {
        // In the order in which watches are made.
        let files = lock(&WATCHED.files);
        let watched = lock(&self.state).watched.clone();
        let this = Arc::downgrade(self);
        let line = |(number, id): (&i32, &Id)| {
            let watch = files.get(id)?.iter().find(|watch| watch.is_of(&this))?;
            let (device, inode) = watch.keeps.as_ref().map_or(*id, |node| node.id());
            let mask = watch.mask;
            let device = rustix::fs::major(device) << 20 | rustix::fs::minor(device);
            Some(format!(
                "inotify wd:{number:x} ino:{inode:x} sdev:{device:x} mask:{mask:x} ignored_mask:0 \n"
            ))
        };
        watched.iter().filter_map(line).collect()
    }
}

impl Watched {
    /// Whether there may be one more.
    pub(super) fn has_room(&self) -> Result<(), Errno> {
        let full = self.count.load(Ordering::SeqCst) >= WATCHES;
        if full { Err(Errno::NOSPC) } else { Ok(()) }
    }

    /// One more is there.
    pub(super) fn added(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn forget(&self, id: Id, is_gone: impl Fn(&Watch) -> bool) {
        let mut files = lock(&self.files);
        let Some(watches) = files.get_mut(&id) else { return };
        let gone: Vec<Watch> = watches.extract_if(.., |watch| is_gone(watch)).collect();
        self.count.fetch_sub(gone.len(), Ordering::SeqCst);
        if watches.is_empty() {
            files.remove(&id);
        }
        // What they keep may be the last of a file.
        drop(files);
        drop(gone);
    }

    fn tell(&self, id: Id, mask: u32, name: &[u8], cookie: u32) {
        self.tell_but(id, mask, (name, cookie), 0);
    }

    /// The same, but not those who have this bit in their mask.
    fn tell_but(&self, id: Id, mask: u32, (name, cookie): (&[u8], u32), not: u32) {
        let told: Vec<(Told, bool)> = {
            let files = lock(&self.files);
            let watches = files.get(&id).into_iter().flatten();
            let wanted =
                watches.filter(|watch| watch.mask & mask & KINDS != 0 && watch.mask & not == 0);
            wanted.map(|watch| (watch.told.clone(), watch.mask & event::ONE_SHOT != 0)).collect()
        };
        for (told, once) in told {
            match told {
                Told::Set(set, watch) => {
                    let Some(set) = set.upgrade() else { continue };
                    set.push(Event { watch, mask, cookie, name: name.to_vec() });
                    if once {
                        // It may be gone by now.
                        let _ = set.remove(watch);
                    }
                }
                Told::Owner(notice) => notice.happened(id, mask),
            }
        }
    }
}

/// Whether anybody watches anything.
pub(super) fn anybody() -> bool {
    WATCHED.count.load(Ordering::SeqCst) != 0
}

/// Tells of what happened to a file: whoever watches it, or the directory that it is in.
pub(super) fn happened(entry: &Entry, what: u32) {
    if !anybody() {
        return;
    }
    let is_directory = if entry.kind() == Kind::Directory { event::IS_DIRECTORY } else { 0 };
    if let Some(parent) = entry.parent()
        && let Some(id) = id(&parent)
    {
        let nameless = entry.nameless.load(Ordering::SeqCst);
        let not = if nameless { event::NAMED_ONLY } else { 0 };
        WATCHED.tell_but(id, what | is_directory, (&entry.name(), 0), not);
    }
    if let Some(id) = id(entry) {
        WATCHED.tell(id, what | is_directory, b"", 0);
    }
}

/// Tells whoever watches a directory of what happened to a name in it.
pub(super) fn in_directory(
    parent: &Entry,
    name: &[u8],
    what: u32,
    is_directory: bool,
    cookie: u32,
) {
    if !anybody() {
        return;
    }
    if let Some(id) = id(parent) {
        let is_directory = if is_directory { event::IS_DIRECTORY } else { 0 };
        WATCHED.tell(id, what | is_directory, name, cookie);
    }
}

/// Tells whoever watches a file itself; that it is gone ends all watches.
pub(super) fn to_itself(entry: &Entry, what: u32) {
    if !anybody() {
        return;
    }
    let Some(id) = id(entry) else { return };
    WATCHED.tell(id, what, b"", 0);
    if what & event::DELETE_SELF == 0 {
        return;
    }
    let sets: Vec<(Arc<Inotify>, i32)> = {
        let files = lock(&WATCHED.files);
        let watches = files.get(&id).into_iter().flatten();
        let told = watches.filter_map(|watch| match &watch.told {
            Told::Set(set, number) => Some((set.upgrade()?, *number)),
            Told::Owner(_) => None,
        });
        told.collect()
    };
    for (set, number) in sets {
        let _ = set.remove(number);
    }
}

/// A number that joins both halves of a rename.
pub(super) fn cookie() -> u32 {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    u32::try_from((LAST.fetch_add(1, Ordering::SeqCst) + 1) & 0xffff_ffff).unwrap_or(1)
}

/// A set that is open.
pub struct InotifyFile(pub Arc<Inotify>);

/// `fs.inotify.max_user_instances`
const MOST_SETS: usize = 128;
static SETS: AtomicUsize = AtomicUsize::new(0);

impl InotifyFile {
    /// Without watches.
    ///
    /// # Errors
    /// `EMFILE` if there are too many.
    pub fn new() -> Result<Self, Errno> {
        if SETS.fetch_add(1, Ordering::SeqCst) >= MOST_SETS {
            SETS.fetch_sub(1, Ordering::SeqCst);
            return Err(Errno::MFILE);
        }
        Ok(InotifyFile(Arc::default()))
    }
}

impl Drop for InotifyFile {
    fn drop(&mut self) {
        SETS.fetch_sub(1, Ordering::SeqCst);
        let watched = std::mem::take(&mut lock(&self.0.state).watched);
        let this = Arc::downgrade(&self.0);
        for id in watched.into_values() {
            WATCHED.forget(id, |watch| watch.is_of(&this));
        }
    }
}

impl File for InotifyFile {
    fn read(&self, into: &mut [u8], _: u64) -> Result<usize, Errno> {
        let mut state = lock(&self.0.state);
        if state.queue.is_empty() {
            return Err(Errno::AGAIN);
        }
        let mut done = 0;
        while let Some(event) = state.queue.front() {
            let bytes = event.bytes();
            let Some(room) = into.get_mut(done..done + bytes.len()) else { break };
            room.copy_from_slice(&bytes);
            done += bytes.len();
            state.queue.pop_front();
        }
        if done == 0 { Err(Errno::INVAL) } else { Ok(done) }
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::BADF)
    }

    fn ready(&self) -> Ready {
        if lock(&self.0.state).queue.is_empty() { Ready::empty() } else { Ready::IN }
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        self.0.changed.join(waiter);
    }

    fn asks(&self) -> Asks {
        Asks::Owner
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(Attributes { device: 13, inode: 1, mode: 0o600, links: 1, ..Attributes::default() })
    }

    fn control(&self, call: &Call<'_>, request: u32, argument: u64) -> Result<i64, Errno> {
        const FIONREAD: u32 = 0x541b;
        if request != FIONREAD {
            return Err(Errno::NOTTY);
        }
        let bytes: usize = lock(&self.0.state).queue.iter().map(|event| event.bytes().len()).sum();
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        call.thread.memory().write(argument, &bytes.to_le_bytes())?;
        Ok(0)
    }

    fn arrived(&self) -> u64 {
        lock(&self.0.state).arrived
    }

    fn label(&self) -> Option<String> {
        Some("anon_inode:inotify".to_owned())
    }

    fn inotify(&self) -> Option<&Arc<Inotify>> {
        Some(&self.0)
    }
}
