//! Files of the root file system: handles and descriptors that the broker gave.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use rustix::fs::{RawDir, SeekFrom};
use rustix::io::Errno;

use crate::task::waiter::{Waiter, lock};

use super::{Attributes, Directory, File, Listed, Ready};

/// A file of the host's, by a handle (`O_PATH`).
#[derive(Debug)]
pub struct HostNode {
    /// The handle.
    pub handle: OwnedFd,
}

impl HostNode {
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
}

/// The names in a directory of the host's. Its descriptor has a position of its
/// own, so one listing at a time.
#[derive(Debug)]
pub(super) struct HostDirectory {
    fd: Mutex<OwnedFd>,
}

impl HostDirectory {
    /// Over a second descriptor of the directory.
    #[must_use]
    pub(super) fn new(fd: OwnedFd) -> Self {
        HostDirectory { fd: Mutex::new(fd) }
    }
}

impl Directory for HostDirectory {
    fn list(&self, position: u64) -> Result<Vec<Listed>, Errno> {
        let fd = lock(&self.fd);
        rustix::fs::seek(&*fd, SeekFrom::Start(position))?;
        let mut buffer = Vec::with_capacity(32 << 10);
        let mut names = Vec::new();
        let mut listing = RawDir::new(&*fd, buffer.spare_capacity_mut());
        // One filling of the buffer: the next call goes on behind it.
        while let Some(entry) = listing.next() {
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
        Ok(names)
    }
}

fn entry_type(kind: rustix::fs::FileType) -> u8 {
    u8::try_from(kind.as_raw_mode() >> 12).unwrap_or(0)
}
