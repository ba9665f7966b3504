//! What is in a file: small ones in the sentry's own memory, others in a memfd, so
//! that they can be mapped; or both in files of a store.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::fs::{FallocateFlags, MemfdFlags};
use rustix::io::Errno;

use crate::ipc::queues::Queue;
use crate::task::waiter::lock;

use super::super::Kind;
use super::super::host::most_handles;
use super::booked::{Booked, held, hole, holes};
use super::directory::Entries;
use super::room::{PAGE, pages};
use super::small::Small;
use super::{TmpFs, TmpNode};

/// A file of up to this much costs no descriptor, until it is mapped.
const SMALL: u64 = 64 << 10;
/// The same once there are many with one.
const SMALL_AMONG_MANY: u64 = 8 << 20;
/// Where links lead that are longer takes a page (`SHORT_SYMLINK_LEN`).
const SHORT_LINK: usize = 127;
/// Files that have a descriptor.
static LARGE: AtomicUsize = AtomicUsize::new(0);

/// Whether a file that gets from one size to another, with something written from `start`
/// on, can do without a descriptor. What was never written takes no room in a memfd.
fn stays_small(size: u64, start: u64, end: u64) -> bool {
    if LARGE.load(Ordering::Relaxed) >= most_handles() {
        return end <= SMALL_AMONG_MANY;
    }
    end <= SMALL && start / PAGE * PAGE <= pages(size)
}

#[derive(Debug)]
pub(super) enum Content {
    Directory(Mutex<Entries>),
    File(Bytes),
    Link(Vec<u8>),
    /// A message queue, which is told by other means than those of a file.
    Queue(Arc<Queue>),
    /// A device, FIFO or socket: what it is, is told by its kind and number.
    Nothing,
}

#[derive(Debug, Default)]
pub(super) struct Bytes {
    /// Held while the content is changed, as Linux holds the inode's lock: what is booked is
    /// what is there. Comes before `small`.
    booked: Mutex<Booked>,
    small: Mutex<Small>,
    /// How long that is: who asks does not wait for a disk.
    length: AtomicU64,
    /// Once it is there, `small` counts no more.
    large: OnceLock<OwnedFd>,
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if self.large.get().is_some() {
            LARGE.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Content {
    pub(super) fn new(kind: Kind, text: &[u8]) -> Self {
        match kind {
            Kind::Directory => Content::Directory(Mutex::default()),
            Kind::Regular => {
                let bytes = Bytes::default();
                lock(&bytes.booked).bytes = pages(text.len() as u64);
                bytes.length.store(text.len() as u64, Ordering::SeqCst);
                *lock(&bytes.small) = Small::Memory(text.to_vec());
                Content::File(bytes)
            }
            Kind::Link => Content::Link(text.to_vec()),
            _ => Content::Nothing,
        }
    }

    /// Takes all that is in a directory.
    pub(super) fn emptied(&mut self) -> Vec<Arc<TmpNode>> {
        match self {
            Content::Directory(entries) => lock(entries).emptied(),
            _ => Vec::new(),
        }
    }

    /// Size in bytes, and bytes of memory.
    pub(super) fn size(&self) -> Result<(u64, u64), Errno> {
        match self {
            Content::File(bytes) => bytes.size(),
            Content::Link(target) => Ok((target.len() as u64, self.booked())),
            Content::Directory(entries) => Ok((lock(entries).size(), 0)),
            // `FILENT_SIZE`
            Content::Queue(_) => Ok((80, 0)),
            Content::Nothing => Ok((0, 0)),
        }
    }

    pub(super) fn target(&self) -> Option<Vec<u8>> {
        if let Content::Link(target) = self { Some(target.clone()) } else { None }
    }

    /// What it takes of the file system's room.
    pub(super) fn booked(&self) -> u64 {
        match self {
            Content::File(bytes) => lock(&bytes.booked).bytes,
            Content::Link(target) if target.len() > SHORT_LINK => PAGE,
            _ => 0,
        }
    }
}

impl Bytes {
    fn size(&self) -> Result<(u64, u64), Errno> {
        let length = self.length.load(Ordering::SeqCst);
        self.large.get().map_or(Ok((length, pages(length))), held)
    }

    /// The same, of who holds `small`, so that it does not become large meanwhile.
    fn size_with(&self, small: &Small) -> Result<(u64, u64), Errno> {
        match self.large.get() {
            None => Ok((small.len(), pages(small.len()))),
            Some(fd) => held(fd),
        }
    }

    /// The file that it has alone, which is made if need be: who else uses it does not wait for
    /// that.
    fn enlarge(&self, fs: &TmpFs) -> Result<&OwnedFd, Errno> {
        if let Some(fd) = self.large.get() {
            return Ok(fd);
        }
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let made = match &fs.store {
            None => rustix::fs::memfd_create("tmpfs", flags),
            Some(store) => store.make(),
        };
        let fd = made.map_err(|errno| match errno {
            // Of the sentry, not of the guest's process.
            Errno::MFILE | Errno::NFILE => Errno::NOSPC,
            other => other,
        })?;
        let mut small = lock(&self.small);
        if self.large.get().is_none() {
            fs.with_room(|| small.copy_to(&fd))?;
            *small = Small::default();
        }
        Ok(self.large.get_or_init(|| {
            LARGE.fetch_add(1, Ordering::Relaxed);
            fd
        }))
    }

    /// Writes at `offset`, or at the end; of what does not fit as much as does.
    fn write(&self, fs: &TmpFs, from: &[u8], at: Option<u64>) -> Result<usize, Errno> {
        let room = &fs.space;
        let (mut booked, fd, start, end, (size, held)) = loop {
            let mut booked = lock(&self.booked);
            let mut small = lock(&self.small);
            let (size, held) = self.size_with(&small)?;
            let start = at.unwrap_or(size);
            let end = start.checked_add(from.len() as u64).ok_or(Errno::FBIG)?;
            if let Some(fd) = self.large.get() {
                break (booked, fd, start, end, (size, held));
            }
            if stays_small(size, start, end) {
                let done = write_small(&mut booked, &mut small, fs, from, start);
                self.length.store(small.len(), Ordering::SeqCst);
                return done;
            }
            drop((small, booked));
            self.enlarge(fs)?;
        };
        // Without holes only what is behind the end is new.
        let whole = !booked.ahead && held >= pages(size);
        let first = start / PAGE * PAGE;
        let more = match whole {
            // Some file systems write all out before they tell of holes.
            _ if !room.is_limited() => 0,
            true => pages(end).saturating_sub(first.max(pages(size))),
            false => holes(fd, first, pages(end))?,
        };
        if room.take(more).is_err() {
            return write_pages(fd, &mut booked, fs, from, start);
        }
        let done = fs.with_room(|| rustix::io::pwrite(fd, from, start));
        booked.settle(fd, room, more);
        done
    }

    fn truncate(&self, fs: &TmpFs, size: u64) -> Result<(), Errno> {
        let room = &fs.space;
        let mut booked = lock(&self.booked);
        let mut small = lock(&self.small);
        if self.large.get().is_none() && stays_small(small.len(), pages(size), size) {
            let after = pages(size);
            let more = after.saturating_sub(booked.bytes);
            room.take(more)?;
            if let Err(errno) = small.resize(fs.store.as_ref(), size) {
                room.give(more);
                return Err(errno);
            }
            room.give((booked.bytes + more).saturating_sub(after));
            booked.bytes = after;
            self.length.store(size, Ordering::SeqCst);
            return Ok(());
        }
        drop((small, booked));
        let fd = self.enlarge(fs)?;
        let mut booked = lock(&self.booked);
        let done = rustix::fs::ftruncate(fd, size);
        booked.settle(fd, room, 0);
        done
    }

    fn allocate(
        &self,
        fs: &TmpFs,
        mode: FallocateFlags,
        offset: u64,
        length: u64,
    ) -> Result<(), Errno> {
        // What lies on a disk can do more; what is in memory can not.
        if !(FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE).contains(mode) {
            return Err(Errno::OPNOTSUPP);
        }
        let room = &fs.space;
        let fd = self.enlarge(fs)?;
        let mut booked = lock(&self.booked);
        let keeps = mode.contains(FallocateFlags::KEEP_SIZE);
        if !FallocateFlags::KEEP_SIZE.contains(mode) || !room.is_limited() {
            booked.ahead |= keeps && !mode.contains(FallocateFlags::PUNCH_HOLE);
            let done = fs.with_room(|| rustix::fs::fallocate(fd, mode, offset, length));
            booked.settle(fd, room, 0);
            return done;
        }
        let end = offset.saturating_add(length);
        let (first, last) = (offset / PAGE * PAGE, pages(end));
        if last - first > room.most() {
            return Err(Errno::NOSPC);
        }
        booked.reserve(fd, room, (first, last))?;
        booked.ahead |= keeps;
        if !keeps && held(fd)?.0 < end {
            rustix::fs::ftruncate(fd, end)?;
        }
        Ok(())
    }
}

fn write_small(
    booked: &mut Booked,
    small: &mut Small,
    fs: &TmpFs,
    from: &[u8],
    start: u64,
) -> Result<usize, Errno> {
    let end = start + from.len() as u64;
    let got = fs.space.take_pages(pages(end).saturating_sub(booked.bytes));
    let count = end.min(booked.bytes + got).saturating_sub(start);
    let part = from.get(..usize::try_from(count).unwrap_or(usize::MAX)).unwrap_or(from);
    let done = match part {
        [] => Err(Errno::NOSPC),
        part => small.write(fs.store.as_ref(), part, start),
    };
    // What the host has no room for is not there.
    let now = pages(small.len());
    fs.space.give((booked.bytes + got).saturating_sub(now));
    booked.bytes = now;
    done
}

/// Writes while there is room for each page that is new; those that are there need none.
fn write_pages(
    fd: &OwnedFd,
    booked: &mut Booked,
    fs: &TmpFs,
    from: &[u8],
    start: u64,
) -> Result<usize, Errno> {
    let room = &fs.space;
    let mut count = 0;
    while let Some(rest) = from.get(count..).filter(|rest| !rest.is_empty()) {
        let at = start + count as u64;
        let left = usize::try_from(PAGE - at % PAGE).unwrap_or(rest.len());
        let page = at / PAGE * PAGE;
        let is_new = hole(fd, page, page + PAGE)?.is_some();
        let (size, _) = held(fd)?;
        let part = rest.get(..left).unwrap_or(rest);
        let done = fs.with_room(|| rustix::io::pwrite(fd, part, at));
        let grown = booked.grown(fd)?;
        let done = done.and_then(|done| match room.take(grown) {
            Ok(()) => {
                booked.bytes += grown;
                Ok(done)
            }
            Err(_) if !is_new => Ok(done),
            Err(full) => {
                let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                rustix::fs::fallocate(fd, punch, page, PAGE)?;
                if held(fd)?.0 > size {
                    rustix::fs::ftruncate(fd, size)?;
                }
                Err(full)
            }
        });
        match done {
            Ok(done) => count += done,
            Err(_) if count > 0 => break,
            Err(errno) => {
                booked.settle(fd, room, 0);
                return Err(errno);
            }
        }
    }
    booked.settle(fd, room, 0);
    Ok(count)
}

impl TmpNode {
    fn bytes(&self) -> Result<&Bytes, Errno> {
        match &self.content {
            Content::File(bytes) => Ok(bytes),
            Content::Directory(_) => Err(Errno::ISDIR),
            _ => Err(Errno::INVAL),
        }
    }

    /// Reads from a file.
    ///
    /// # Errors
    /// `EISDIR`, `EINVAL` if it is none.
    pub fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let bytes = self.bytes()?;
        let small = lock(&bytes.small);
        if let Some(fd) = bytes.large.get() {
            drop(small);
            return rustix::io::pread(fd, into, offset);
        }
        small.read(into, offset)
    }

    /// Writes to a file; at its end, if `append`. If there is room for a part only, that is
    /// written.
    ///
    /// # Errors
    /// `ENOSPC`, `EFBIG`; `EPERM` if it is sealed.
    pub fn write(&self, from: &[u8], offset: u64, append: bool) -> Result<usize, Errno> {
        let bytes = self.bytes()?;
        if from.is_empty() {
            return Ok(0);
        }
        let count = bytes.write(&self.fs, from, (!append).then_some(offset))?;
        self.touched();
        Ok(count)
    }

    /// Gives a file another size.
    ///
    /// # Errors
    /// `EISDIR`, `EINVAL`; `EPERM` if it is sealed.
    pub fn truncate(&self, size: u64) -> Result<(), Errno> {
        self.bytes()?.truncate(&self.fs, size)?;
        self.touched();
        Ok(())
    }

    /// fallocate(2)
    ///
    /// # Errors
    /// `ENOSPC`, and what the host says of the mode.
    pub fn allocate(&self, mode: FallocateFlags, offset: u64, length: u64) -> Result<(), Errno> {
        let bytes = self.bytes().map_err(|_| Errno::NODEV)?;
        bytes.allocate(&self.fs, mode, offset, length)?;
        self.touched();
        Ok(())
    }

    /// The memfd that holds a file, or the host's file that does: to map it, and for seals.
    ///
    /// # Errors
    /// `ENODEV` if it is no file.
    pub fn memory(&self) -> Result<BorrowedFd<'_>, Errno> {
        let bytes = self.bytes().map_err(|_| Errno::NODEV)?;
        bytes.enlarge(&self.fs).map(AsFd::as_fd)
    }

    /// The same for who reads it often: not if there are many already.
    pub(super) fn memory_in_view(&self) -> Option<BorrowedFd<'_>> {
        let bytes = self.bytes().ok()?;
        let few = LARGE.load(Ordering::Relaxed) < most_handles() / 2;
        if few || bytes.large.get().is_some() { self.memory().ok() } else { None }
    }
}
