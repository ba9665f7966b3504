//! Filling a tmpfs with what it covers (`tmpcopyup`).

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use caisson_rootpath::Root;
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, chownat, fchmod, fstat,
    mkdirat, openat, readlinkat, statat, symlinkat, utimensat,
};

use crate::step::{Context, StepError};

/// How deep a tree may be; deeper ones are refused, not followed.
const MAX_DEPTH: u32 = 128;

/// Copies the directory at `path` of the container into the root of `tree`:
/// directories, files, links, their owners, modes and times. Other kinds and
/// extended attributes are left out, as in runc.
pub(super) fn copy(root: &Root, path: &Path, tree: &OwnedFd) -> Result<(), StepError> {
    let from = root.resolve_dir(path).context(|| "open the directory to copy up")?;
    let step = || format!("copy up {}", path.display());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let from = openat(&from, ".", flags, Mode::empty()).context(step)?;
    copy_directory(&from, tree.as_fd(), 0).context(step)
}

fn copy_directory(from: &OwnedFd, to: BorrowedFd<'_>, depth: u32) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(io::Error::other(format!("directories nest deeper than {MAX_DEPTH}")));
    }
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        copy_entry(from, name, to, depth)?;
    }
    Ok(())
}

fn copy_entry(from: &OwnedFd, name: &OsStr, to: BorrowedFd<'_>, depth: u32) -> io::Result<()> {
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            let source = openat(from, name, flags | OFlags::DIRECTORY, Mode::empty())?;
            mkdirat(to, name, Mode::RWXU)?;
            let copy = openat(to, name, flags | OFlags::DIRECTORY, Mode::empty())?;
            copy_directory(&source, copy.as_fd(), depth + 1)?;
            set_owner(to, name, &stat)?;
            fchmod(&copy, mode)?;
        }
        FileType::RegularFile => {
            let source = openat(from, name, flags | OFlags::NONBLOCK, Mode::empty())?;
            if FileType::from_raw_mode(fstat(&source)?.st_mode) != FileType::RegularFile {
                return Err(io::Error::other("a file changed its kind"));
            }
            let create = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            let copy = openat(to, name, create, Mode::RUSR)?;
            let mut copy = std::fs::File::from(copy);
            io::copy(&mut std::fs::File::from(source), &mut copy)?;
            set_owner(to, name, &stat)?;
            fchmod(&copy, mode)?;
        }
        FileType::Symlink => {
            let target = readlinkat(from, name, Vec::new())?;
            symlinkat(&target, to, name)?;
            set_owner(to, name, &stat)?;
        }
        _ => return Ok(()),
    }
    let time = |seconds: i64, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    Ok(utimensat(to, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn set_owner(to: BorrowedFd<'_>, name: &OsStr, stat: &rustix::fs::Stat) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    Ok(chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}
