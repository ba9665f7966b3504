//! Checks on descriptors: is it really the thing that its name promised?
//!
//! A name such as `/dev/null` inside a container proves nothing
//! (CVE-2025-31133, CVE-2025-52565); the inode behind the descriptor does.
//! All of these work on `O_PATH` descriptors, so a device can be checked
//! before opening it has side effects.

use std::os::fd::AsFd;

use rustix::fs::{FileType, Stat, fstat, fstatfs, major, minor};

use crate::error::{FileKind, PathFault};

/// `f_type` of devpts, from linux/magic.h.
const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;
/// Majors of UNIX 98 pseudo-terminal slaves, Documentation/admin-guide/devices.txt.
const PTY_SLAVE_MAJORS: std::ops::RangeInclusive<u32> = 136..=143;

pub(crate) fn kind_of(stat: &Stat) -> FileKind {
    FileType::from_raw_mode(stat.st_mode).into()
}

/// `f_type` of the file system that a descriptor is on, without sign extension.
pub(crate) fn fs_magic(fd: impl AsFd) -> Result<u64, PathFault> {
    let magic = fstatfs(fd)?.f_type;
    Ok(u64::from_ne_bytes(magic.to_ne_bytes()) & 0xffff_ffff)
}

fn expect_kind(stat: &Stat, expected: FileKind) -> Result<(), PathFault> {
    let found = kind_of(stat);
    if found == expected { Ok(()) } else { Err(PathFault::WrongKind { expected, found }) }
}

pub(crate) fn expect_device(
    stat: &Stat,
    kind: FileKind,
    want_major: u32,
    want_minor: u32,
) -> Result<(), PathFault> {
    expect_kind(stat, kind)?;
    let (found_major, found_minor) = (major(stat.st_rdev), minor(stat.st_rdev));
    if (found_major, found_minor) == (want_major, want_minor) {
        Ok(())
    } else {
        Err(PathFault::WrongDevice {
            kind,
            major: want_major,
            minor: want_minor,
            found_major,
            found_minor,
        })
    }
}

/// The descriptor is a regular file.
pub fn check_regular(fd: impl AsFd) -> Result<(), PathFault> {
    expect_kind(&fstat(fd)?, FileKind::Regular)
}

/// The descriptor is the character device `major:minor`.
pub fn check_char_device(fd: impl AsFd, major: u32, minor: u32) -> Result<(), PathFault> {
    expect_device(&fstat(fd)?, FileKind::CharDevice, major, minor)
}

/// The descriptor is the block device `major:minor`.
pub fn check_block_device(fd: impl AsFd, major: u32, minor: u32) -> Result<(), PathFault> {
    expect_device(&fstat(fd)?, FileKind::BlockDevice, major, minor)
}

/// The descriptor is the null device (1:3). To be asked before anything is
/// masked with it.
pub fn check_null(fd: impl AsFd) -> Result<(), PathFault> {
    check_char_device(fd, 1, 3)
}

/// The descriptor is the `ptmx` of a devpts instance (5:2, on devpts).
/// `/dev/ptmx` as a node of its own, outside devpts, is refused: which
/// instance it opens is decided by what is mounted beside it.
pub fn check_ptmx(fd: impl AsFd) -> Result<(), PathFault> {
    check_char_device(&fd, 5, 2)?;
    expect_devpts(fd)
}

/// The descriptor is the slave of a pseudo-terminal (major 136–143, on
/// devpts). To be asked before it is bound over `/dev/console`.
pub fn check_pty_slave(fd: impl AsFd) -> Result<(), PathFault> {
    let stat = fstat(&fd)?;
    expect_kind(&stat, FileKind::CharDevice)?;
    let found_major = major(stat.st_rdev);
    if !PTY_SLAVE_MAJORS.contains(&found_major) {
        let found_minor = minor(stat.st_rdev);
        return Err(PathFault::WrongDevice {
            kind: FileKind::CharDevice,
            major: *PTY_SLAVE_MAJORS.start(),
            minor: found_minor,
            found_major,
            found_minor,
        });
    }
    expect_devpts(fd)
}

fn expect_devpts(fd: impl AsFd) -> Result<(), PathFault> {
    if fs_magic(fd)? == DEVPTS_SUPER_MAGIC {
        Ok(())
    } else {
        Err(PathFault::BadPath("not on devpts"))
    }
}

/// Both descriptors refer to the same inode of the same file system.
pub fn same_inode(a: impl AsFd, b: impl AsFd) -> Result<bool, PathFault> {
    Ok(is_same(&fstat(a)?, &fstat(b)?))
}

pub(crate) fn is_same(a: &Stat, b: &Stat) -> bool {
    a.st_dev == b.st_dev && a.st_ino == b.st_ino && kind_of(a) == kind_of(b)
}
