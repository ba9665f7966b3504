//! Copying a directory of an image into a new volume.
//!
//! The source is a stranger's tree: it is walked by descriptor, one name at a
//! time, and no link is followed. The target is an empty directory of ours.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chownat, fchmod,
    fstat, futimens, mkdirat, mknodat, openat, readlinkat, statat, symlinkat, utimensat,
};
use rustix::io::Errno;

/// Deepest folder that is copied.
const MAX_DEPTH: u32 = 256;
/// Most entries that are copied.
const MAX_ENTRIES: u64 = 4_000_000;

/// Why a tree could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyTreeError {
    /// An operation failed.
    #[error("cannot {what} {name:?}: {source}")]
    Step {
        /// What was tried.
        what: &'static str,
        /// On what, the last component.
        name: String,
        /// Why.
        source: Errno,
    },
    /// Deeper or larger than any sensible tree.
    #[error(
        "the image's directory is deeper than 256 folders or has more than four million entries"
    )]
    TooLarge,
}

/// Copies what is in `source` into `target`, owners, modes, times and extended
/// attributes included, and gives `target` those of `source`. Sockets are left
/// out.
///
/// # Errors
/// [`CopyTreeError`]; part of the tree may have been copied.
pub(crate) fn copy_tree(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
) -> Result<(), CopyTreeError> {
    let mut copy = Copy { entries: 0 };
    copy.folder(source, target, 0)
}

struct Copy {
    entries: u64,
}

fn step(what: &'static str, name: &OsStr) -> impl Fn(Errno) -> CopyTreeError {
    let name = name.to_string_lossy().into_owned();
    move |source| CopyTreeError::Step { what, name: name.clone(), source }
}

impl Copy {
    fn folder(
        &mut self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        depth: u32,
    ) -> Result<(), CopyTreeError> {
        if depth > MAX_DEPTH {
            return Err(CopyTreeError::TooLarge);
        }
        let here = OsStr::new(".");
        let readable = openat(
            source,
            here,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(step("open directory", here))?;
        let mut dir = Dir::read_from(&readable).map_err(step("list", here))?;
        while let Some(entry) = dir.read() {
            let entry = entry.map_err(step("list", here))?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(CopyTreeError::TooLarge);
            }
            self.entry(readable.as_fd(), target, name, depth)?;
        }
        let stat = fstat(&readable).map_err(step("look at", here))?;
        chownat(target, "", Some(uid(&stat)), Some(gid(&stat)), AtFlags::EMPTY_PATH)
            .map_err(step("change owner of", here))?;
        copy_attributes(readable.as_fd(), target).map_err(step("copy attributes of", here))?;
        fchmod(target, Mode::from_raw_mode(stat.st_mode)).map_err(step("change mode of", here))?;
        futimens(target, &times(&stat)).map_err(step("set times of", here))
    }

    fn entry(
        &mut self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        name: &OsStr,
        depth: u32,
    ) -> Result<(), CopyTreeError> {
        let stat =
            statat(source, name, AtFlags::SYMLINK_NOFOLLOW).map_err(step("look at", name))?;
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                mkdirat(target, name, Mode::RWXU).map_err(step("make directory", name))?;
                let flags = flags | OFlags::RDONLY | OFlags::DIRECTORY;
                let from =
                    openat(source, name, flags, Mode::empty()).map_err(step("open", name))?;
                let to = openat(target, name, flags, Mode::empty()).map_err(step("open", name))?;
                self.folder(from.as_fd(), to.as_fd(), depth + 1)
            }
            FileType::RegularFile => {
                let from = openat(source, name, flags | OFlags::RDONLY, Mode::empty())
                    .map_err(step("open", name))?;
                let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
                let to = openat(target, name, flags | create, Mode::RUSR | Mode::WUSR)
                    .map_err(step("create", name))?;
                file(from, to, &stat).map_err(step("copy", name))
            }
            FileType::Symlink => {
                let text = readlinkat(source, name, Vec::new()).map_err(step("read link", name))?;
                symlinkat(text.as_c_str(), target, name).map_err(step("make link", name))?;
                finish(target, name, &stat)
            }
            kind @ (FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo) => {
                let mode = Mode::from_raw_mode(stat.st_mode);
                mknodat(target, name, kind, mode, stat.st_rdev).map_err(step("make node", name))?;
                finish(target, name, &stat)
            }
            _ => Ok(()),
        }
    }
}

fn file(from: OwnedFd, to: OwnedFd, stat: &Stat) -> Result<(), Errno> {
    let (mut from, mut to) = (std::fs::File::from(from), std::fs::File::from(to));
    std::io::copy(&mut from, &mut to).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    chownat(&to, "", Some(uid(stat)), Some(gid(stat)), AtFlags::EMPTY_PATH)?;
    copy_attributes(from.as_fd(), to.as_fd())?;
    // After the owner: changing that takes set-uid bits away.
    fchmod(&to, Mode::from_raw_mode(stat.st_mode))?;
    futimens(&to, &times(stat))
}

/// Owner and times of what is neither directory nor file.
fn finish(target: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> Result<(), CopyTreeError> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    chownat(target, name, Some(uid(stat)), Some(gid(stat)), flags)
        .map_err(step("change owner of", name))?;
    utimensat(target, name, &times(stat), flags).map_err(step("set times of", name))
}

/// Extended attributes; those that may not be set here are left out.
fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut names = vec![0u8; 64 * 1024];
    let length = match rustix::fs::flistxattr(from, names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(()),
        Err(error) => return Err(error),
    };
    let list = names.get(..length).unwrap_or_default();
    for name in list.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        // Overlay's own marks mean something else outside.
        if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
            continue;
        }
        let name = OsStr::from_bytes(name);
        let mut value = vec![0u8; 64 * 1024];
        let length = rustix::fs::fgetxattr(from, name, value.as_mut_slice())?;
        let value = value.get(..length).unwrap_or_default();
        match rustix::fs::fsetxattr(to, name, value, rustix::fs::XattrFlags::empty()) {
            Ok(()) | Err(Errno::PERM | Errno::NOTSUP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn uid(stat: &Stat) -> Uid {
    Uid::from_raw(stat.st_uid)
}

fn gid(stat: &Stat) -> Gid {
    Gid::from_raw(stat.st_gid)
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanos: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanos).unwrap_or_default(),
    };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    #[test]
    fn a_tree_is_copied_and_links_are_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let (from, to) = (temp.path().join("from"), temp.path().join("to"));
        std::fs::create_dir_all(from.join("a/b")).unwrap();
        std::fs::create_dir(&to).unwrap();
        std::fs::write(from.join("a/b/file"), "text").unwrap();
        let mode = std::fs::Permissions::from_mode(0o4711);
        std::fs::set_permissions(from.join("a/b/file"), mode).unwrap();
        symlink("/etc", from.join("out")).unwrap();
        let open = |path: &std::path::Path| {
            rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
        };
        copy_tree(open(&from).as_fd(), open(&to).as_fd()).unwrap();
        assert_eq!(std::fs::read_to_string(to.join("a/b/file")).unwrap(), "text");
        let (old, new) = (
            std::fs::metadata(from.join("a/b/file")).unwrap(),
            std::fs::metadata(to.join("a/b/file")).unwrap(),
        );
        assert_eq!(new.mode() & 0o7777, 0o4711);
        assert_eq!(old.modified().unwrap(), new.modified().unwrap());
        assert_eq!(std::fs::read_link(to.join("out")).unwrap(), std::path::Path::new("/etc"));
    }
}
