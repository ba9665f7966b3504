//! What is in a file: small ones in the sentry's own memory, others in a memfd, so
//! that they can be mapped.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::fs::MemfdFlags;
use rustix::io::{Errno, ReadWriteFlags};

use crate::ipc::queues::Queue;
use crate::task::waiter::lock;

use super::super::Kind;
use super::super::file::read_text;
use super::super::host::most_handles;
use super::directory::Entries;
use super::{PAGE, TmpFs, TmpNode};

/// A file of up to this much costs no descriptor, until it is mapped.
const SMALL: usize = 64 << 10;
/// The same once there are many with one.
const SMALL_AMONG_MANY: usize = 8 << 20;
/// Files that have a descriptor.
static LARGE: AtomicUsize = AtomicUsize::new(0);

/// How large a file gets before it has a descriptor.
fn small_limit() -> usize {
    if LARGE.load(Ordering::Relaxed) < most_handles() { SMALL } else { SMALL_AMONG_MANY }
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
    small: Mutex<Vec<u8>>,
    /// Once it is there, `small` counts no more.
    large: OnceLock<OwnedFd>,
    booked: AtomicU64,
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
                *lock(&bytes.small) = text.to_vec();
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
            Content::Link(target) => Ok((target.len() as u64, 0)),
            Content::Directory(entries) => Ok((lock(entries).size(), 0)),
            // `FILENT_SIZE`
            Content::Queue(_) => Ok((80, 0)),
            Content::Nothing => Ok((0, 0)),
        }
    }

    pub(super) fn target(&self) -> Option<Vec<u8>> {
        if let Content::Link(target) = self { Some(target.clone()) } else { None }
    }

    pub(super) fn booked(&self) -> u64 {
        if let Content::File(bytes) = self { bytes.booked.load(Ordering::SeqCst) } else { 0 }
    }
}

fn pages(length: u64) -> u64 {
    length.next_multiple_of(PAGE)
}

impl Bytes {
    fn size(&self) -> Result<(u64, u64), Errno> {
        // Held, so that it does not become large meanwhile.
        let small = lock(&self.small);
        match self.large.get() {
            None => Ok((small.len() as u64, pages(small.len() as u64))),
            Some(fd) => {
                let stat = rustix::fs::fstat(fd)?;
                let number = |n: i64| u64::try_from(n).unwrap_or(0);
                Ok((number(stat.st_size), number(stat.st_blocks) * 512))
            }
        }
    }

    /// Books what it uses after a change that needed up to `more` bytes.
    fn booking<T>(
        &self,
        fs: &TmpFs,
        more: u64,
        change: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let before = self.booked.load(Ordering::SeqCst);
        let most = before.saturating_add(more);
        fs.book(before, most)?;
        let done = change();
        let after = self.size().map_or(before, |(_, bytes)| bytes);
        self.booked.store(after, Ordering::SeqCst);
        fs.book(most, after)?;
        done
    }

    /// The memfd, which is made if need be.
    fn enlarge(&self, small: &mut Vec<u8>) -> Result<&OwnedFd, Errno> {
        if let Some(fd) = self.large.get() {
            return Ok(fd);
        }
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let made = rustix::fs::memfd_create("tmpfs", flags);
        let fd = made.map_err(|errno| match errno {
            // Of the sentry, not of the guest's process.
            Errno::MFILE | Errno::NFILE => Errno::NOSPC,
            other => other,
        })?;
        let mut done = 0;
        while let Some(rest) = small.get(done..).filter(|rest| !rest.is_empty()) {
            done += rustix::io::pwrite(&fd, rest, done as u64)?;
        }
        *small = Vec::new();
        Ok(self.large.get_or_init(|| {
            LARGE.fetch_add(1, Ordering::Relaxed);
            fd
        }))
    }
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
        Ok(read_text(&small, into, offset))
    }

    /// Writes to a file; at its end, if `append`.
    ///
    /// # Errors
    /// `ENOSPC`, `EFBIG`; `EPERM` if it is sealed.
    pub fn write(&self, from: &[u8], offset: u64, append: bool) -> Result<usize, Errno> {
        let bytes = self.bytes()?;
        if from.is_empty() {
            return Ok(0);
        }
        let mut small = lock(&bytes.small);
        let start = if append { small.len() as u64 } else { offset };
        let end = start.checked_add(from.len() as u64).ok_or(Errno::FBIG)?;
        let fits = usize::try_from(end).ok().filter(|end| *end <= small_limit());
        let count = match (bytes.large.get(), fits) {
            (None, Some(end)) => {
                let before = bytes.booked.load(Ordering::SeqCst);
                let after = pages(end.max(small.len()) as u64);
                self.fs.book(before, after)?;
                bytes.booked.store(after, Ordering::SeqCst);
                if small.len() < end {
                    small.resize(end, 0);
                }
                let start = end - from.len();
                if let Some(room) = small.get_mut(start..end) {
                    room.copy_from_slice(from);
                }
                from.len()
            }
            _ => {
                bytes.enlarge(&mut small)?;
                drop(small);
                let fd = bytes.large.get().ok_or(Errno::IO)?;
                let (size, held) = bytes.size()?;
                let start = if append { size } else { offset };
                let end = start.checked_add(from.len() as u64).ok_or(Errno::FBIG)?;
                // Without holes only what is behind the end is new.
                let more = if held >= pages(size) {
                    pages(end).saturating_sub(held)
                } else {
                    pages(end) - start / PAGE * PAGE
                };
                bytes.booking(&self.fs, more, || {
                    if append {
                        let part = [std::io::IoSlice::new(from)];
                        return rustix::io::pwritev2(fd, &part, 0, ReadWriteFlags::APPEND);
                    }
                    rustix::io::pwrite(fd, from, offset)
                })?
            }
        };
        self.touched();
        Ok(count)
    }

    /// Gives a file another size.
    ///
    /// # Errors
    /// `EISDIR`, `EINVAL`; `EPERM` if it is sealed.
    pub fn truncate(&self, size: u64) -> Result<(), Errno> {
        let bytes = self.bytes()?;
        let mut small = lock(&bytes.small);
        match (bytes.large.get(), usize::try_from(size).ok().filter(|s| *s <= small_limit())) {
            (None, Some(size)) => {
                let after = pages(size as u64);
                self.fs.book(bytes.booked.load(Ordering::SeqCst), after)?;
                bytes.booked.store(after, Ordering::SeqCst);
                small.resize(size, 0);
            }
            _ => {
                bytes.enlarge(&mut small)?;
                drop(small);
                let fd = bytes.large.get().ok_or(Errno::IO)?;
                bytes.booking(&self.fs, 0, || rustix::fs::ftruncate(fd, size))?;
            }
        }
        self.touched();
        Ok(())
    }

    /// fallocate(2)
    ///
    /// # Errors
    /// `ENOSPC`, and what the host says of the mode.
    pub fn allocate(
        &self,
        mode: rustix::fs::FallocateFlags,
        offset: u64,
        length: u64,
    ) -> Result<(), Errno> {
        let fd = self.memory()?;
        let punch = mode.contains(rustix::fs::FallocateFlags::PUNCH_HOLE);
        let more = if punch { 0 } else { pages(length.saturating_add(PAGE - 1)) };
        self.bytes()?
            .booking(&self.fs, more, || rustix::fs::fallocate(fd, mode, offset, length))?;
        self.touched();
        Ok(())
    }

    /// The memfd that holds a file: to map it, and for seals.
    ///
    /// # Errors
    /// `ENODEV` if it is no file.
    pub fn memory(&self) -> Result<BorrowedFd<'_>, Errno> {
        let bytes = self.bytes().map_err(|_| Errno::NODEV)?;
        let mut small = lock(&bytes.small);
        bytes.enlarge(&mut small).map(AsFd::as_fd)
    }
}
