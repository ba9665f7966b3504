//! Files of the root file system: handles and descriptors that the broker gave.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::fs::{FallocateFlags, RawDir, SeekFrom};
use rustix::io::Errno;

use crate::task::waiter::{Waiter, lock};

use super::{Attributes, Directory, File, Kind, Listed, Ready};

/// A folder of the host's that is served.
#[derive(Debug, Default)]
pub struct HostFs {
    /// Others change it too, the host or another mount of the same: names are looked up
    /// each time.
    shared: AtomicBool,
}

impl HostFs {
    /// Of which others know, if `shared`.
    #[must_use]
    pub fn new(shared: bool) -> Arc<Self> {
        Arc::new(HostFs { shared: AtomicBool::new(shared) })
    }

    /// It has another mount now.
    pub fn share(&self) {
        self.shared.store(true, Ordering::SeqCst);
    }
}

/// A file of the host's, by a handle (`O_PATH`).
#[derive(Debug)]
pub struct HostNode {
    /// The handle.
    pub handle: OwnedFd,
    /// What it is in.
    pub fs: Arc<HostFs>,
    /// Device and inode.
    id: (u64, u64),
    kind: Kind,
}

impl HostNode {
    /// The root of a folder that is served, or a file of its own.
    ///
    /// # Errors
    /// What the host says.
    pub fn root(handle: OwnedFd, fs: Arc<HostFs>) -> Result<Self, Errno> {
        let stat = rustix::fs::fstat(&handle)?;
        let kind = Kind::of(stat.st_mode);
        Ok(HostNode { handle, fs, id: (stat.st_dev, stat.st_ino), kind })
    }

    /// A file in the same folder.
    ///
    /// # Errors
    /// What the host says.
    pub fn beside(&self, handle: OwnedFd) -> Result<Self, Errno> {
        HostNode::root(handle, Arc::clone(&self.fs))
    }

    /// Whether names in it may change behind our back.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.fs.shared.load(Ordering::SeqCst)
    }

    /// Whether both are the same file.
    #[must_use]
    pub fn is_same(&self, other: &HostNode) -> bool {
        self.id == other.id && self.kind == other.kind
    }

    /// Device and inode.
    #[must_use]
    pub fn id(&self) -> (u64, u64) {
        self.id
    }

    /// The type of file.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Attributes now.
    ///
    /// # Errors
    /// What the host says.
    pub fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(Attributes::from_host(&rustix::fs::fstat(&self.handle)?))
    }

    /// Where a link leads.
    ///
    /// # Errors
    /// `EINVAL` if it is none.
    pub fn target(&self) -> Result<Vec<u8>, Errno> {
        match rustix::fs::readlinkat(&self.handle, "", Vec::new()) {
            Ok(target) => Ok(target.into_bytes()),
            Err(Errno::NOENT) => Err(Errno::INVAL),
            Err(errno) => Err(errno),
        }
    }
}

/// An open regular file or directory of the host's.
#[derive(Debug)]
pub struct HostFile {
    fd: OwnedFd,
}

impl HostFile {
    /// Over a descriptor that the broker opened.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        HostFile { fd }
    }
}

impl File for HostFile {
    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        rustix::io::pread(&self.fd, into, offset)
    }

    fn write(&self, from: &[u8], offset: u64, append: bool) -> Result<usize, Errno> {
        if append {
            let flags = rustix::io::ReadWriteFlags::APPEND;
            return rustix::io::pwritev2(&self.fd, &[std::io::IoSlice::new(from)], offset, flags);
        }
        rustix::io::pwrite(&self.fd, from, offset)
    }

    fn ready(&self) -> Ready {
        Ready::IN | Ready::OUT
    }

    fn watch(&self, _: &Arc<Waiter>) {}

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(Attributes::from_host(&rustix::fs::fstat(&self.fd)?))
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        rustix::fs::ftruncate(&self.fd, size)
    }

    fn allocate(&self, mode: FallocateFlags, offset: u64, length: u64) -> Result<(), Errno> {
        rustix::fs::fallocate(&self.fd, mode, offset, length)
    }

    fn seek_content(&self, offset: u64, hole: bool) -> Result<u64, Errno> {
        let to = if hole { SeekFrom::Hole(offset) } else { SeekFrom::Data(offset) };
        rustix::fs::seek(&self.fd, to)
    }

    fn sync(&self) -> Result<(), Errno> {
        rustix::fs::fsync(&self.fd)
    }
}

/// The names in a directory of the host's. Its descriptor has a position of its
/// own, so one listing at a time.
#[derive(Debug)]
pub(super) struct HostDirectory {
    fd: Mutex<OwnedFd>,
    /// Names that are only there to be mounted on: they come last.
    points: Vec<(Vec<u8>, Kind)>,
}

/// Positions from here on are those of such names; the host's are not negative.
const POINTS: u64 = 1 << 63;

impl HostDirectory {
    /// Over a second descriptor of the directory.
    #[must_use]
    pub(super) fn new(fd: OwnedFd, points: Vec<(Vec<u8>, Kind)>) -> Self {
        HostDirectory { fd: Mutex::new(fd), points }
    }
}

impl Directory for HostDirectory {
    fn list(&self, position: u64) -> Result<Vec<Listed>, Errno> {
        let fd = lock(&self.fd);
        let passed = position.checked_sub(POINTS);
        if passed.is_none() {
            rustix::fs::seek(&*fd, SeekFrom::Start(position))?;
        }
        let mut buffer = Vec::with_capacity(32 << 10);
        let mut names = Vec::new();
        let mut listing = RawDir::new(&*fd, buffer.spare_capacity_mut());
        // One filling of the buffer: the next call goes on behind it.
        while passed.is_none()
            && let Some(entry) = listing.next()
        {
            let entry = entry?;
            names.push(Listed {
                next: entry.next_entry_cookie(),
                inode: entry.ino(),
                kind: entry_type(entry.file_type()),
                name: entry.file_name().to_bytes().to_vec(),
            });
            if listing.is_buffer_empty() {
                break;
            }
        }
        if names.is_empty() {
            let passed = passed.unwrap_or(0);
            let skip = usize::try_from(passed).unwrap_or(usize::MAX);
            let rest = self.points.iter().zip(POINTS + 1..).skip(skip);
            names.extend(rest.map(|((name, kind), next)| Listed {
                next,
                inode: 1,
                kind: kind.entry_type(),
                name: name.clone(),
            }));
        }
        Ok(names)
    }
}

fn entry_type(kind: rustix::fs::FileType) -> u8 {
    u8::try_from(kind.as_raw_mode() >> 12).unwrap_or(0)
}
