//! A file of the host's.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Instant;

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::super::broker::{BrokerClient, Found};
use super::super::file_use::Uses;
use super::super::{Attributes, Kind};
use super::names::Content;
use super::{Changes, HostFs, Id, KNOWN_FOR, Since};

/// Handles that there are.
static HANDLES: AtomicUsize = AtomicUsize::new(0);
/// With more of them the cache of names is to let some go.
static MOST_HANDLES: AtomicUsize = AtomicUsize::new(4096);

/// The sentry may have so many descriptors: no more than a quarter of them are for handles.
pub fn limit_handles(descriptors: u64) {
    let quarter = usize::try_from(descriptors / 4).unwrap_or(usize::MAX);
    MOST_HANDLES.fetch_min(quarter, Ordering::Relaxed);
}

/// How many handles there may be before some are let go.
#[must_use]
pub(in super::super) fn most_handles() -> usize {
    MOST_HANDLES.load(Ordering::Relaxed)
}

/// Whether there are so many handles that some are to be let go.
#[must_use]
pub(in super::super) fn many_handles() -> bool {
    HANDLES.load(Ordering::Relaxed) > most_handles()
}

/// A file of the host's.
#[derive(Debug)]
pub struct HostNode {
    handle: OnceLock<Arc<OwnedFd>>,
    /// Where it is as long as there is no handle; `None` if its name was taken away before
    /// anybody had opened it.
    place: Mutex<Option<(Arc<HostNode>, Vec<u8>)>>,
    /// What it is in.
    pub fs: Arc<HostFs>,
    id: Id,
    kind: Kind,
    pub(super) changes: Arc<Changes>,
    uses: OnceLock<Arc<Uses>>,
    known: Mutex<Known>,
    /// Of a directory: what is known of its names.
    pub(super) content: Mutex<Content>,
    /// How often others were found to have changed names in it.
    pub(super) outside: AtomicU64,
    /// Held while descriptors of it, which may have one position, are moved and read.
    pub(super) reading: Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    attributes: Option<Seen>,
    target: Option<Vec<u8>>,
    /// A descriptor to read, and the count of copies before it was opened.
    reader: Option<(u64, Arc<OwnedFd>)>,
    /// The extended attribute with capabilities, if it has one, and when that was asked.
    caps: Option<(u64, Instant, Option<Vec<u8>>)>,
}

/// Attributes, the count of changes before they were asked, and when that was.
#[derive(Debug)]
struct Seen {
    count: u64,
    at: Instant,
    attributes: Attributes,
}

/// Files with a descriptor to read, the oldest first.
static READERS: Mutex<VecDeque<Weak<HostNode>>> = Mutex::new(VecDeque::new());
/// How many there are at most.
const MOST_READERS: usize = 512;

impl Drop for HostNode {
    fn drop(&mut self) {
        if self.handle.get().is_some() {
            HANDLES.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl HostNode {
    fn make(fs: &Arc<HostFs>, attributes: &Attributes) -> Self {
        let id = (attributes.device, attributes.inode);
        HostNode {
            handle: OnceLock::new(),
            place: Mutex::default(),
            fs: Arc::clone(fs),
            id,
            kind: attributes.kind(),
            changes: fs.changes_of(id),
            uses: OnceLock::new(),
            known: Mutex::default(),
            content: Mutex::default(),
            outside: AtomicU64::new(0),
            reading: Mutex::default(),
        }
    }

    fn hold(&self, handle: Arc<OwnedFd>) {
        if matches!(self.kind, Kind::Regular | Kind::Directory) {
            lock(&self.fs.disks).entry(self.id.0).or_insert_with(|| Arc::clone(&handle));
        }
        if self.handle.set(handle).is_ok() {
            HANDLES.fetch_add(1, Ordering::Relaxed);
        }
        *lock(&self.place) = None;
    }

    /// The root of a folder that is served, or a file of its own.
    ///
    /// # Errors
    /// What the host says.
    pub fn root(handle: OwnedFd, fs: &Arc<HostFs>) -> Result<Self, Errno> {
        let attributes = Attributes::from_host(&rustix::fs::fstat(&handle)?);
        let node = HostNode::make(fs, &attributes);
        node.hold(Arc::new(handle));
        Ok(node)
    }

    /// A file in the same folder without a name.
    ///
    /// # Errors
    /// What the host says.
    pub fn beside(&self, handle: OwnedFd) -> Result<Self, Errno> {
        HostNode::root(handle, &self.fs)
    }

    /// A file of this folder that the broker found; `since` is [`Self::now`] before it was asked.
    #[must_use]
    pub fn found(&self, found: Found, since: Since) -> Self {
        let node = HostNode::make(&self.fs, &found.attributes);
        node.see(&found.attributes, since);
        let copies = node.changes.copies.load(Ordering::SeqCst);
        node.take_over(found, copies);
        node
    }

    /// Holds what was found from now on; the count of copies is that before it was opened.
    fn take_over(&self, found: Found, copies: u64) {
        let handle = Arc::new(found.handle);
        if found.reads {
            lock(&self.known).reader = Some((copies, Arc::clone(&handle)));
        }
        self.hold(handle);
    }

    /// A file of this directory of which only the attributes were asked.
    #[must_use]
    pub fn told(self: &Arc<Self>, name: &[u8], attributes: &Attributes, since: Since) -> Self {
        let node = HostNode::make(&self.fs, attributes);
        node.see(attributes, since);
        *lock(&node.place) = Some((Arc::clone(self), name.to_vec()));
        node
    }

    /// Before something is asked of the folder.
    #[must_use]
    pub fn now(&self) -> Since {
        Since { outside: self.outside.load(Ordering::SeqCst), ..self.fs.now() }
    }

    /// Whether names may have changed since then.
    #[must_use]
    pub fn was_renamed(&self, since: Since) -> bool {
        self.fs.now().names != since.names
    }

    /// Takes over attributes, if nothing was changed since they were asked.
    pub fn see(&self, attributes: &Attributes, since: Since) {
        let count = self.changes.attributes.load(Ordering::SeqCst);
        if self.fs.now().attributes == since.attributes {
            let seen = Seen { count, at: Instant::now(), attributes: *attributes };
            lock(&self.known).attributes = Some(seen);
        }
    }

    /// Whether names in it may change behind our back.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.fs.is_shared()
    }

    /// Whether the broker found the same file again.
    #[must_use]
    pub fn is(&self, attributes: &Attributes) -> bool {
        self.id == (attributes.device, attributes.inode) && self.kind == attributes.kind()
    }

    /// Device and inode.
    #[must_use]
    pub fn id(&self) -> (u64, u64) {
        self.id
    }

    /// Who uses it.
    pub fn uses(&self) -> &Arc<Uses> {
        self.uses.get_or_init(|| Uses::of_host(self.id))
    }

    /// The type of file.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The handle, which is asked for when it is first needed.
    ///
    /// # Errors
    /// `ENOENT` if the name was taken away before; what the host says.
    pub fn handle(&self, broker: &BrokerClient) -> Result<BorrowedFd<'_>, Errno> {
        if let Some(handle) = self.held() {
            return Ok(handle);
        }
        let place = lock(&self.place).clone();
        if let Some((directory, name)) = place {
            let (mut found, copies) = directory.look_up(broker, &name, self)?;
            // Where others write, who opens it later opens it anew.
            found.reads &= !self.is_shared();
            self.take_over(found, copies);
        }
        self.held().ok_or(Errno::NOENT)
    }

    /// The handle, if there is one.
    pub(super) fn held(&self) -> Option<BorrowedFd<'_>> {
        self.handle.get().map(|handle| handle.as_fd())
    }

    /// Its name is about to be taken away: whoever holds it needs a handle from here on.
    pub fn leave_place(&self, broker: &BrokerClient, is_held: bool) {
        if is_held {
            let _ = self.handle(broker);
        }
        *lock(&self.place) = None;
    }

    /// Attributes, if they are known.
    #[must_use]
    pub fn known_attributes(&self) -> Option<Attributes> {
        if self.is_shared() || !self.changes.is_quiet() {
            return None;
        }
        let count = self.changes.attributes.load(Ordering::SeqCst);
        let known = lock(&self.known);
        let seen = known.attributes.as_ref()?;
        let good = seen.count == count && seen.at.elapsed() < KNOWN_FOR;
        good.then_some(seen.attributes)
    }

    /// Whether a look at it needs the broker, and would not if its directory were asked.
    #[must_use]
    pub fn is_far(&self) -> bool {
        self.handle.get().is_none() && self.known_attributes().is_none()
    }

    /// Attributes now.
    ///
    /// # Errors
    /// What the host says.
    pub fn attributes(&self, broker: &BrokerClient) -> Result<Attributes, Errno> {
        match self.known_attributes() {
            Some(known) => Ok(known),
            None => self.look(self.handle(broker)?),
        }
    }

    /// The same of a file that has a handle.
    ///
    /// # Errors
    /// `ENOENT` if it has none; what the host says.
    pub fn now_there(&self) -> Result<Attributes, Errno> {
        self.known_attributes().map_or_else(|| self.look(self.held().ok_or(Errno::NOENT)?), Ok)
    }

    /// The same through a descriptor of the file.
    pub(super) fn attributes_of(&self, fd: BorrowedFd<'_>) -> Result<Attributes, Errno> {
        self.known_attributes().map_or_else(|| self.look(fd), Ok)
    }

    fn look(&self, fd: BorrowedFd<'_>) -> Result<Attributes, Errno> {
        let count = self.changes.attributes.load(Ordering::SeqCst);
        let at = Instant::now();
        let attributes = Attributes::from_host(&rustix::fs::fstat(fd)?);
        if !self.is_shared() && self.changes.is_quiet() {
            lock(&self.known).attributes = Some(Seen { count, at, attributes });
        }
        Ok(attributes)
    }

    /// Whether its content changes by nothing but calls that are counted.
    pub(super) fn may_be_believed(&self) -> bool {
        !self.is_shared() && !self.changes.mapped.load(Ordering::SeqCst)
    }

    /// Something of its attributes is new.
    pub fn touch(&self) {
        self.fs.changed.fetch_add(1, Ordering::SeqCst);
        self.changes.attributes.fetch_add(1, Ordering::SeqCst);
    }

    /// The same, and an overlay may have made a copy of it.
    pub fn alter(&self) {
        self.changes.copies.fetch_add(1, Ordering::SeqCst);
        self.fs.altered.fetch_add(1, Ordering::SeqCst);
        self.touch();
    }

    /// It is about to be read: that sets the time of access, unless it is set already as
    /// `relatime` has it.
    pub(super) fn is_read(&self) {
        let known = lock(&self.known).attributes.as_ref().map(|seen| seen.attributes);
        let set = |known: Attributes| {
            let after = |time: super::super::Time| {
                (known.accessed.seconds, known.accessed.nanoseconds)
                    > (time.seconds, time.nanoseconds)
            };
            after(known.modified) && after(known.changed)
        };
        if !known.is_some_and(set) {
            self.touch();
        }
    }

    /// Where a link leads, which never changes.
    ///
    /// # Errors
    /// `EINVAL` if it is none.
    pub fn target(&self, broker: &BrokerClient) -> Result<Vec<u8>, Errno> {
        if let Some(target) = &lock(&self.known).target {
            return Ok(target.clone());
        }
        match rustix::fs::readlinkat(self.handle(broker)?, "", Vec::new()) {
            Ok(target) => {
                let target = target.into_bytes();
                lock(&self.known).target = Some(target.clone());
                Ok(target)
            }
            Err(Errno::NOENT) => Err(Errno::INVAL),
            Err(errno) => Err(errno),
        }
    }

    /// The extended attribute with capabilities, which `ask` asks for.
    #[must_use]
    pub fn caps(&self, ask: impl FnOnce() -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        let copies = self.changes.copies.load(Ordering::SeqCst);
        let at = Instant::now();
        if let Some((before, since, value)) = &lock(&self.known).caps
            && !self.is_shared()
            && *before == copies
            && since.elapsed() < KNOWN_FOR
        {
            return value.clone();
        }
        let value = ask();
        lock(&self.known).caps = Some((copies, at, value.clone()));
        value
    }

    /// A descriptor to read the file or directory, which others may have too: it has no
    /// position that means anything.
    ///
    /// # Errors
    /// As open(2).
    pub fn reader(self: &Arc<Self>, broker: &BrokerClient) -> Result<Arc<OwnedFd>, Errno> {
        // That may open it as well.
        self.handle(broker)?;
        let copies = self.changes.copies.load(Ordering::SeqCst);
        {
            let mut known = lock(&self.known);
            match &known.reader {
                Some((before, fd)) if *before == copies => {
                    let fd = Arc::clone(fd);
                    if self.is_shared() {
                        // Good for the call that it came with.
                        known.reader = None;
                    }
                    return Ok(fd);
                }
                _ => known.reader = None,
            }
        }
        let fd = Arc::new(broker.open(self.held().ok_or(Errno::NOENT)?, 0)?);
        if !self.is_shared() {
            lock(&self.known).reader = Some((copies, Arc::clone(&fd)));
            let mut readers = lock(&READERS);
            readers.push_back(Arc::downgrade(self));
            let many = readers.len() > MOST_READERS.min(most_handles() / 2);
            let oldest = if many { readers.pop_front() } else { None };
            drop(readers);
            if let Some(oldest) = oldest.and_then(|node| node.upgrade()) {
                lock(&oldest.known).reader = None;
            }
        }
        Ok(fd)
    }
}
