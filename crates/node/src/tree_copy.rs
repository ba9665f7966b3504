//! Copying trees: an image's directory into a new volume, files into and out of
//! containers.
//!
//! One side at least is a stranger's: both are walked by descriptor, one name
//! at a time, and no link is followed on either.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chownat, fchmod,
    fstat, futimens, mkdirat, mknodat, openat, readlinkat, statat, symlinkat, unlinkat, utimensat,
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

/// Whose what was copied is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Whose it was.
    Keep,
    /// This user's and group's.
    Fixed(Uid, Gid),
}

/// Copies what is in `source` into `target`, modes, times and extended
/// attributes included, and gives `target` those of `source`. Sockets are left
/// out. What is in the way is replaced, except that directories are merged.
///
/// # Errors
/// [`CopyTreeError`]; part of the tree may have been copied.
pub(crate) fn copy_tree(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    owner: Owner,
) -> Result<(), CopyTreeError> {
    Copy { entries: 0, owner }.folder(source, target, 0)
}

/// Copies what is called `name` in `source` as `new_name` into `target`; as
/// [`copy_tree`] if it is a directory.
///
/// # Errors
/// [`CopyTreeError`].
pub(crate) fn copy_entry(
    (source, name): (BorrowedFd<'_>, &OsStr),
    (target, new_name): (BorrowedFd<'_>, &OsStr),
    owner: Owner,
) -> Result<(), CopyTreeError> {
    Copy { entries: 0, owner }.entry((source, name), (target, new_name), 0)
}

struct Copy {
    entries: u64,
    owner: Owner,
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
            self.entry((readable.as_fd(), name), (target, name), depth)?;
        }
        let stat = fstat(&readable).map_err(step("look at", here))?;
        let (uid, gid) = self.owner(&stat);
        chownat(target, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
            .map_err(step("change owner of", here))?;
        copy_attributes(readable.as_fd(), target).map_err(step("copy attributes of", here))?;
        fchmod(target, Mode::from_raw_mode(stat.st_mode)).map_err(step("change mode of", here))?;
        futimens(target, &times(&stat)).map_err(step("set times of", here))
    }

    fn entry(
        &mut self,
        (source, name): (BorrowedFd<'_>, &OsStr),
        (target, new_name): (BorrowedFd<'_>, &OsStr),
        depth: u32,
    ) -> Result<(), CopyTreeError> {
        let stat =
            statat(source, name, AtFlags::SYMLINK_NOFOLLOW).map_err(step("look at", name))?;
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                match mkdirat(target, new_name, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(step("make directory", new_name)(error)),
                }
                let flags = flags | OFlags::RDONLY | OFlags::DIRECTORY;
                let from =
                    openat(source, name, flags, Mode::empty()).map_err(step("open", name))?;
                let to = openat(target, new_name, flags, Mode::empty())
                    .map_err(step("open", new_name))?;
                self.folder(from.as_fd(), to.as_fd(), depth + 1)
            }
            FileType::RegularFile => {
                let from = openat(source, name, flags | OFlags::RDONLY, Mode::empty())
                    .map_err(step("open", name))?;
                let create = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
                let to = replacing(target, new_name, || {
                    openat(target, new_name, create, Mode::RUSR | Mode::WUSR)
                })
                .map_err(step("create", new_name))?;
                self.file(from, to, &stat).map_err(step("copy", name))
            }
            FileType::Symlink => {
                let text = readlinkat(source, name, Vec::new()).map_err(step("read link", name))?;
                replacing(target, new_name, || symlinkat(text.as_c_str(), target, new_name))
                    .map_err(step("make link", new_name))?;
                self.finish(target, new_name, &stat)
            }
            kind @ (FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo) => {
                let mode = Mode::from_raw_mode(stat.st_mode);
                replacing(target, new_name, || mknodat(target, new_name, kind, mode, stat.st_rdev))
                    .map_err(step("make node", new_name))?;
                self.finish(target, new_name, &stat)
            }
            _ => Ok(()),
        }
    }

    fn owner(&self, stat: &Stat) -> (Uid, Gid) {
        match self.owner {
            Owner::Keep => (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid)),
            Owner::Fixed(uid, gid) => (uid, gid),
        }
    }

    fn file(&self, from: OwnedFd, to: OwnedFd, stat: &Stat) -> Result<(), Errno> {
        let (mut from, mut to) = (std::fs::File::from(from), std::fs::File::from(to));
        std::io::copy(&mut from, &mut to)
            .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        let (uid, gid) = self.owner(stat);
        chownat(&to, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
        copy_attributes(from.as_fd(), to.as_fd())?;
        // After the owner: changing that takes set-uid bits away.
        fchmod(&to, Mode::from_raw_mode(stat.st_mode))?;
        futimens(&to, &times(stat))
    }

    /// Owner and times of what is neither directory nor file.
    fn finish(
        &self,
        target: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
    ) -> Result<(), CopyTreeError> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let (uid, gid) = self.owner(stat);
        chownat(target, name, Some(uid), Some(gid), flags)
            .map_err(step("change owner of", name))?;
        utimensat(target, name, &times(stat), flags).map_err(step("set times of", name))
    }
}

/// Makes something new; what stands in its way goes, unless it is a directory.
fn replacing<T>(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    make: impl Fn() -> Result<T, Errno>,
) -> Result<T, Errno> {
    match make() {
        Err(Errno::EXIST) => {
            unlinkat(dir, name, AtFlags::empty())?;
            make()
        }
        other => other,
    }
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
        copy_tree(open(&from).as_fd(), open(&to).as_fd(), Owner::Keep).unwrap();
        // Again over what is there, where a link must not lead out.
        std::fs::remove_file(to.join("a/b/file")).unwrap();
        symlink("/tmp/caisson-must-not-be-made", to.join("a/b/file")).unwrap();
        copy_tree(open(&from).as_fd(), open(&to).as_fd(), Owner::Keep).unwrap();
        assert!(!std::path::Path::new("/tmp/caisson-must-not-be-made").exists());
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
