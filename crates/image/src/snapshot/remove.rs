//! Removing trees that strangers made.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::locked_file::StoreIoError;

/// Removes `path` and everything below it; not an error when it is not there.
/// Follows no symbolic link, and gives itself the rights that it lacks on
/// directories of its own user.
pub(crate) fn remove_tree(path: &Path) -> Result<(), StoreIoError> {
    let on = |e: Errno| StoreIoError::on("remove", path)(e);
    match rustix::fs::unlinkat(CWD, path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(on(e)),
    }
    let dir = match open_dir(CWD, path) {
        Ok(dir) => dir,
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(on(e)),
    };
    empty(dir).map_err(on)?;
    match rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(on(e)),
    }
}

fn open_dir<P: rustix::path::Arg + Copy>(at: BorrowedFd<'_>, name: P) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(at, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(at, name, Mode::RWXU, AtFlags::empty())?;
            rustix::fs::openat(at, name, flags, Mode::empty())
        }
        other => other,
    }
}

/// A directory that is being emptied: its descriptor and what is left to do.
struct Level {
    dir: OwnedFd,
    below: Vec<std::ffi::CString>,
}

/// Removes what is in `dir`, without recursion: depth is the maker's choice.
fn empty(dir: OwnedFd) -> Result<(), Errno> {
    let mut levels = vec![scan(dir)?];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.below.last() {
            // Seen before: emptied by now, or it is somebody else's doing.
            match rustix::fs::unlinkat(&level.dir, name.as_c_str(), AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {
                    level.below.pop();
                }
                Err(Errno::NOTEMPTY | Errno::EXIST) => {
                    match open_dir(level.dir.as_fd(), name.as_c_str()) {
                        Ok(child) => levels.push(scan(child)?),
                        Err(Errno::NOENT) => {
                            level.below.pop();
                        }
                        Err(e) => return Err(e),
                    }
                }
                Err(e) => return Err(e),
            }
        } else {
            levels.pop();
        }
    }
    Ok(())
}

/// Removes what is no directory, and lists the directories.
fn scan(dir: OwnedFd) -> Result<Level, Errno> {
    let mut below = Vec::new();
    // What is removed while a directory is read may hide entries: again until
    // nothing is left to remove.
    let mut writable = false;
    loop {
        below.clear();
        let mut removed = false;
        let mut entries = Dir::read_from(&dir)?;
        while let Some(entry) = entries.next().transpose()? {
            let name: &CStr = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if entry.file_type() == FileType::Directory {
                below.push(name.to_owned());
                continue;
            }
            match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => removed = true,
                Err(Errno::ISDIR) => below.push(name.to_owned()),
                Err(Errno::ACCESS) if !writable => {
                    rustix::fs::fchmod(&dir, Mode::RWXU)?;
                    (writable, removed) = (true, true);
                }
                Err(e) => return Err(e),
            }
        }
        if !removed {
            break;
        }
    }
    if !below.is_empty() && !writable {
        // Children can only be removed from a directory that one may write.
        let mode = Mode::from_raw_mode(rustix::fs::fstat(&dir)?.st_mode);
        if !mode.contains(Mode::WUSR | Mode::XUSR) {
            rustix::fs::fchmod(&dir, Mode::RWXU)?;
        }
    }
    Ok(Level { dir, below })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn removes_all_and_follows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let keep = dir.path().join("keep");
        std::fs::create_dir(&keep).unwrap();
        std::fs::write(keep.join("file"), "x").unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b/c")).unwrap();
        std::fs::write(tree.join("a/b/file"), "x").unwrap();
        symlink(&keep, tree.join("a/link")).unwrap();
        for i in 0..300 {
            std::fs::write(tree.join(format!("a/{i}")), "x").unwrap();
        }
        for sub in ["a/b/c", "a/b", "a"] {
            let mode = std::fs::Permissions::from_mode(0o500);
            std::fs::set_permissions(tree.join(sub), mode).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && keep.join("file").exists());
        remove_tree(&tree).unwrap();
        symlink(&keep, &tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(keep.join("file").exists() && tree.symlink_metadata().is_err());
    }

    #[test]
    fn depth_is_no_matter() {
        let dir = tempfile::tempdir().unwrap();
        let mut at = rustix::fs::open(dir.path(), OFlags::PATH, Mode::empty()).unwrap();
        for _ in 0..600 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, "d", OFlags::PATH, Mode::empty()).unwrap();
        }
        remove_tree(&dir.path().join("d")).unwrap();
        assert!(!dir.path().join("d").exists());
    }
}
