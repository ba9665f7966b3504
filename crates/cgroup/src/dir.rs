//! Files of one cgroup directory, addressed relative to a held descriptor.

use crate::error::FileError;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// A cgroup directory: `rel` below the open directory `base`.
///
/// One path walk of a few components costs less than an `openat` and a `close`
/// for a directory descriptor, so v1 directories (in which few files are
/// touched) are addressed relative to the directory that holds the mounts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CgroupDir<'a> {
    base: BorrowedFd<'a>,
    base_path: &'a Path,
    rel: &'a str,
}

impl<'a> CgroupDir<'a> {
    pub(crate) fn new(base: BorrowedFd<'a>, base_path: &'a Path, rel: &'a str) -> CgroupDir<'a> {
        CgroupDir { base, base_path, rel }
    }

    /// Absolute path of a file in the directory, for messages.
    pub(crate) fn path_of(&self, file: &str) -> PathBuf {
        let mut path = self.base_path.join(self.rel);
        if !file.is_empty() {
            path.push(file);
        }
        path
    }

    fn error(&self, action: &'static str, file: &str, errno: Errno) -> FileError {
        FileError { action, path: self.path_of(file), value: None, errno }
    }

    fn open_raw(&self, file: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        if self.rel.is_empty() {
            return rustix::fs::openat(self.base, file, flags, Mode::empty());
        }
        let mut path = String::with_capacity(self.rel.len() + file.len() + 1);
        path.push_str(self.rel);
        if !file.is_empty() {
            path.push('/');
            path.push_str(file);
        }
        rustix::fs::openat(self.base, path.as_str(), flags, Mode::empty())
    }

    /// Opens a file of the directory; the empty name is the directory itself.
    pub(crate) fn open(&self, file: &str, flags: OFlags) -> Result<OwnedFd, FileError> {
        let file_or_self = if file.is_empty() && self.rel.is_empty() { "." } else { file };
        self.open_raw(file_or_self, flags).map_err(|errno| self.error("open", file, errno))
    }

    /// Writes `value` in one `write(2)`; the file must exist.
    pub(crate) fn write(&self, file: &str, value: &str) -> Result<(), FileError> {
        let fd = self.open(file, OFlags::WRONLY)?;
        self.write_to(fd.as_fd(), file, value)
    }

    /// Writes to a file of this directory that is open already.
    pub(crate) fn write_to(
        &self,
        fd: BorrowedFd<'_>,
        file: &str,
        value: &str,
    ) -> Result<(), FileError> {
        match rustix::io::retry_on_intr(|| rustix::io::write(fd, value.as_bytes())) {
            Ok(_) => Ok(()),
            Err(errno) => Err(FileError {
                action: "write",
                path: self.path_of(file),
                value: Some(value.to_owned()),
                errno,
            }),
        }
    }

    /// Like [`CgroupDir::write`]; `false` if the kernel has no such file.
    pub(crate) fn write_if_present(&self, file: &str, value: &str) -> Result<bool, FileError> {
        match self.write(file, value) {
            Ok(()) => Ok(true),
            Err(error) if error.errno == Errno::NOENT && error.action == "open" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads a whole file.
    pub(crate) fn read(&self, file: &str) -> Result<String, FileError> {
        let fd = self.open(file, OFlags::RDONLY)?;
        self.read_from(fd.as_fd(), file)
    }

    /// Reads a file of this directory that is open already, from its offset on.
    pub(crate) fn read_from(&self, fd: BorrowedFd<'_>, file: &str) -> Result<String, FileError> {
        let bytes = read_to_end(fd).map_err(|errno| self.error("read", file, errno))?;
        String::from_utf8(bytes).map_err(|_| self.error("read", file, Errno::ILSEQ))
    }

    /// Like [`CgroupDir::read`]; `None` if there is no such file, or the cgroup
    /// went away meanwhile.
    pub(crate) fn read_if_present(&self, file: &str) -> Result<Option<String>, FileError> {
        match self.read(file) {
            Ok(text) => Ok(Some(text)),
            Err(error) if matches!(error.errno, Errno::NOENT | Errno::NODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Like [`CgroupDir::read`] for a file that the kernel shows in one piece: a
    /// short `read(2)` is the end, without another that returns 0.
    pub(crate) fn read_value(&self, file: &str) -> Result<String, FileError> {
        let fd = self.open(file, OFlags::RDONLY)?;
        let bytes = read_single(fd.as_fd()).map_err(|errno| self.error("read", file, errno))?;
        String::from_utf8(bytes).map_err(|_| self.error("read", file, Errno::ILSEQ))
    }

    /// Reads a file that holds one number, or `max` (which becomes `u64::MAX`).
    pub(crate) fn read_u64(&self, file: &str) -> Result<u64, FileError> {
        let text = self.read_value(file)?;
        parse_u64(text.trim()).ok_or_else(|| self.error("parse", file, Errno::INVAL))
    }

    /// Like [`CgroupDir::read_u64`]; `None` if there is no such file.
    pub(crate) fn read_u64_if_present(&self, file: &str) -> Result<Option<u64>, FileError> {
        match self.read_if_present(file)? {
            Some(text) => parse_u64(text.trim())
                .map(Some)
                .ok_or_else(|| self.error("parse", file, Errno::INVAL)),
            None => Ok(None),
        }
    }
}

/// Reads from the offset to the end. `read(2)` of a kernel file may return less
/// than it has, so only 0 is the end.
pub(crate) fn read_to_end(fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    const STEP: usize = 4096;
    let mut bytes = Vec::with_capacity(STEP);
    loop {
        bytes.reserve(STEP);
        let count = rustix::io::retry_on_intr(|| {
            rustix::io::read(fd, rustix::buffer::spare_capacity(&mut bytes))
        })?;
        if count == 0 {
            return Ok(bytes);
        }
    }
}

/// Reads a file that a single `show` function writes (`single_open` in the
/// kernel): less than asked for is all there is.
fn read_single(fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::with_capacity(4096);
    loop {
        let count = rustix::io::retry_on_intr(|| {
            rustix::io::read(fd, rustix::buffer::spare_capacity(&mut bytes))
        })?;
        if count == 0 || bytes.len() < bytes.capacity() {
            return Ok(bytes);
        }
        bytes.reserve(bytes.len());
    }
}

/// Reads a file by its absolute path.
pub(crate) fn read_file(path: &str) -> Result<String, FileError> {
    read_path(path, read_to_end)
}

/// `/proc/self/cgroup`, which the kernel shows in one piece.
pub(crate) fn read_own_cgroups() -> Result<String, FileError> {
    read_path("/proc/self/cgroup", read_single)
}

fn read_path(
    path: &str,
    read: impl FnOnce(BorrowedFd<'_>) -> Result<Vec<u8>, Errno>,
) -> Result<String, FileError> {
    let error = |action, errno| FileError { action, path: path.into(), value: None, errno };
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| error("open", errno))?;
    let bytes = read(fd.as_fd()).map_err(|errno| error("read", errno))?;
    String::from_utf8(bytes).map_err(|_| error("read", Errno::ILSEQ))
}

/// A number as cgroup files show it. Negative numbers (old kernels show -1 for
/// "no limit" in places) count as 0, as runc has it.
pub(crate) fn parse_u64(text: &str) -> Option<u64> {
    if text == "max" {
        return Some(u64::MAX);
    }
    text.parse().ok().or_else(|| text.parse::<i64>().ok().map(|_| 0))
}

/// The value behind `key` in a file of `key value` lines.
pub(crate) fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == key).then(|| parse_u64(value.trim()))?
    })
}
