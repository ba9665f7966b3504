//! sync_file_range(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Has a part of a file begin to be written to its disk, without waiting for that; a length of
/// 0 is all that is behind `offset`.
///
/// # Errors
/// As sync_file_range(2).
pub fn write_range(file: BorrowedFd<'_>, offset: u64, length: u64) -> io::Result<()> {
    let (offset, length) = (offset.cast_signed(), length.cast_signed());
    let flags = libc::SYNC_FILE_RANGE_WRITE;
    // SAFETY: all arguments are numbers.
    let done = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, flags) };
    super::check(done.into()).map(drop)
}
