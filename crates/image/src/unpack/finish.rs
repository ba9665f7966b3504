//! Completes a layer from the layers below it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{
    AtFlags, Dir as DirStream, FileType, Mode, OFlags, Stat, fstat, linkat, mkdirat, mknodat,
    openat, readlinkat, statat, symlinkat, unlinkat,
};
use rustix::io::{Errno, read, write};
use rustix::process::{getegid, geteuid};

use super::UnpackOptions;
use super::complete::make_whiteout;
use super::confine::confine_thread;
use super::deferred::{Deferred, DeferredLink};
use super::dirs::{WORK_MODE, open_dir};
use super::error::{EntryFault, UnpackError};
use super::lower::{Found, find, is_whiteout};
use super::metadata::{
    Ids, Owners, is_opaque, set_mode, set_opaque, set_times, set_times_of_name, set_xattrs,
    times_of, wanted_xattrs,
};
use super::path::{RelPath, names, path_of};

/// What [`finish`] did.
#[derive(Debug, Default)]
pub struct Finished {
    /// Bytes copied up from lower layers.
    pub copied: u64,
    /// Directories of this layer that take the place of something else (most
    /// likely a symbolic link) in a lower layer, though no entry asks for it.
    /// Whoever built the image probably meant to write through the link.
    pub shadowed: Vec<PathBuf>,
}

/// Completes an unpacked layer when all layers below it are complete:
/// directories that the archive only implied get mode, owner, times and
/// attributes of the merged lower view; hard links to files of lower layers
/// get a copy of the file.
///
/// `target` is the directory that was unpacked into, `lowers` the layers
/// below, the topmost first. Lower layers are only read.
///
/// # Errors
/// A hard link leads nowhere, or the disk refused.
pub fn finish(
    target: BorrowedFd<'_>,
    deferred: Deferred,
    lowers: &[BorrowedFd<'_>],
    options: &UnpackOptions,
) -> Result<Finished, UnpackError> {
    // Without anything below, implied directories keep their default.
    if deferred.links.is_empty() && (lowers.is_empty() || deferred.is_empty()) {
        return Ok(Finished::default());
    }
    let root = open_dir(target, b"", OFlags::RDONLY)
        .map_err(|source| UnpackError::Target { op: "open", source })?;
    let root = &root;
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("finish".into())
            .spawn_scoped(scope, move || {
                confine_thread(root.as_fd(), lowers)?;
                Finisher { root, lowers, options, done: Finished::default() }.run(deferred)
            })
            .map_err(|source| UnpackError::Confine { op: "start a thread", source })?
            .join()
            .map_err(|_| UnpackError::Died)?
    })
}

struct Finisher<'a> {
    root: &'a OwnedFd,
    lowers: &'a [BorrowedFd<'a>],
    options: &'a UnpackOptions,
    done: Finished,
}

impl Finisher<'_> {
    fn run(mut self, deferred: Deferred) -> Result<Finished, UnpackError> {
        let Deferred { mut implied, links, opaque_root } = deferred;
        for link in links {
            self.link(&link, &mut implied).map_err(|fault| UnpackError::Entry {
                index: link.index,
                path: link.path.shown(),
                fault,
            })?;
        }
        if opaque_root {
            self.hide_lowers()
                .map_err(|fault| UnpackError::Complete { path: PathBuf::from("/"), fault })?;
        }
        for path in implied {
            self.inherit(&path)
                .map_err(|fault| UnpackError::Complete { path: path.shown(), fault })?;
        }
        Ok(self.done)
    }

    fn find(&self, path: &RelPath) -> Result<Option<Found>, EntryFault> {
        find(self.lowers, path, self.options.whiteouts)
            .map_err(EntryFault::os("look it up in the lower layers"))
    }

    fn open(&self, path: &[u8]) -> Result<OwnedFd, EntryFault> {
        open_dir(self.root, path, OFlags::RDONLY).map_err(EntryFault::os("open the directory"))
    }

    fn owners(&self) -> Owners {
        let created = Ids { uid: geteuid().as_raw(), gid: getegid().as_raw() };
        Owners { ownership: self.options.ownership, created }
    }

    /// What the merged lower view says of a directory that no entry describes.
    fn inherit(&mut self, path: &RelPath) -> Result<(), EntryFault> {
        let from = match self.find(path)? {
            Some(Found::Dir(from)) => from,
            Some(Found::File(..)) => {
                self.done.shadowed.push(path_of(path.as_bytes()).to_owned());
                return Ok(());
            }
            None => return Ok(()),
        };
        let to = self.open(path.as_bytes())?;
        let stat = fstat(&from).map_err(EntryFault::os("examine the lower directory"))?;
        self.copy_metadata(&from, &stat, &to, true)
    }

    fn copy_metadata(
        &self,
        from: &OwnedFd,
        stat: &Stat,
        to: &OwnedFd,
        is_dir: bool,
    ) -> Result<(), EntryFault> {
        let now = fstat(to).map_err(EntryFault::os("examine the copy"))?;
        let owners = Owners {
            ownership: self.options.ownership,
            created: Ids { uid: now.st_uid, gid: now.st_gid },
        };
        owners.of_new_file(to, Ids { uid: stat.st_uid, gid: stat.st_gid })?;
        let xattrs = wanted_xattrs(from)
            .map_err(EntryFault::os("read extended attributes in the lower layer"))?;
        set_xattrs(to, &xattrs, |_| {})?;
        set_mode(to, owners.mode(stat.st_mode & 0o7777, is_dir))?;
        let (atime, mtime) = times_of(stat);
        set_times(to, atime, mtime)
    }

    fn link(&mut self, link: &DeferredLink, implied: &mut Vec<RelPath>) -> Result<(), EntryFault> {
        let Some((parent, name)) = link.path.split() else { return Ok(()) };
        let Some((target_parent, target_name)) = link.target.split() else {
            return Err(EntryFault::LinkToDirectory(link.target.shown()));
        };
        let dir = self.open(parent)?;
        match statat(&dir, path_of(name), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if is_whiteout(&stat) => {
                unlinkat(&dir, path_of(name), AtFlags::empty())
                    .map_err(EntryFault::os("replace a whiteout"))?;
            }
            // Only a later link of the same name can have come between.
            Ok(_) => return Ok(()),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(EntryFault::os("look for the link")(errno)),
        }
        let times = self.times(&dir)?;
        // An earlier link may have brought the file up.
        let above = open_dir(self.root, target_parent, OFlags::RDONLY).ok();
        let is_linked = above.as_ref().is_some_and(|above| {
            let is_file = statat(above, path_of(target_name), AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| !is_whiteout(&stat));
            is_file
                && linkat(above, path_of(target_name), &dir, path_of(name), AtFlags::empty())
                    .is_ok()
        });
        if !is_linked {
            self.copy_up(&dir, name, link)?;
            if let Some(above) = self.merged_dir(target_parent, implied)? {
                let above_times = self.times(&above)?;
                match linkat(&dir, path_of(name), &above, path_of(target_name), AtFlags::empty()) {
                    // Something of this layer stands there; it stays.
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(EntryFault::os("make the hard link")(errno)),
                }
                set_times(&above, above_times.0, above_times.1)?;
            }
        }
        set_times(&dir, times.0, times.1)
    }

    fn times(&self, dir: &OwnedFd) -> Result<(super::Time, super::Time), EntryFault> {
        let stat = fstat(dir).map_err(EntryFault::os("examine the directory"))?;
        Ok(times_of(&stat))
    }

    /// The directory `path` of this layer, made if lower layers have it and
    /// show through; `None` if not.
    fn merged_dir(
        &self,
        path: &[u8],
        implied: &mut Vec<RelPath>,
    ) -> Result<Option<OwnedFd>, EntryFault> {
        let mut dir = self.open(b"")?;
        let mut at = RelPath::default();
        for name in names(path) {
            at.push(name);
            let next = match open_dir(&dir, name, OFlags::RDONLY) {
                Ok(next) => next,
                Err(Errno::NOENT) => {
                    let times = self.times(&dir)?;
                    mkdirat(&dir, path_of(name), WORK_MODE)
                        .map_err(EntryFault::os("make a directory"))?;
                    set_times(&dir, times.0, times.1)?;
                    implied.push(at.clone());
                    open_dir(&dir, name, OFlags::RDONLY)
                        .map_err(EntryFault::os("open the directory"))?
                }
                Err(_) => return Ok(None),
            };
            dir = next;
            if is_opaque(&dir, self.options.whiteouts)
                .map_err(EntryFault::os("examine the directory"))?
            {
                return Ok(None);
            }
        }
        Ok(Some(dir))
    }

    /// Copies what a hard link is to from a lower layer, under the link's name.
    fn copy_up(
        &mut self,
        dir: &OwnedFd,
        name: &[u8],
        link: &DeferredLink,
    ) -> Result<(), EntryFault> {
        let nowhere = || EntryFault::LinkTarget(link.target.shown());
        let (from_dir, from_name, stat) = match self.find(&link.target)?.ok_or_else(nowhere)? {
            Found::Dir(_) => return Err(EntryFault::LinkToDirectory(link.target.shown())),
            Found::File(dir, name, stat) => (dir, name, stat),
        };
        let (from, to) = (path_of(&from_name), path_of(name));
        let kind = FileType::from_raw_mode(stat.st_mode);
        match kind {
            FileType::RegularFile => {
                return self.copy_file(&from_dir, &from_name, &stat, dir, name);
            }
            FileType::Symlink => {
                let target = readlinkat(&from_dir, from, Vec::new())
                    .map_err(EntryFault::os("read the lower symbolic link"))?;
                symlinkat(target, dir, to).map_err(EntryFault::os("make the symbolic link"))?;
            }
            _ => {
                let mode = Mode::from_raw_mode(stat.st_mode);
                mknodat(dir, to, kind, mode, stat.st_rdev)
                    .map_err(EntryFault::os("make the device or FIFO"))?;
            }
        }
        self.owners().of_new_name(dir, name, Ids { uid: stat.st_uid, gid: stat.st_gid })?;
        let (atime, mtime) = times_of(&stat);
        set_times_of_name(dir, name, atime, mtime)
    }

    fn copy_file(
        &mut self,
        from_dir: &OwnedFd,
        from_name: &[u8],
        stat: &Stat,
        dir: &OwnedFd,
        name: &[u8],
    ) -> Result<(), EntryFault> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let from = openat(from_dir, path_of(from_name), flags, Mode::empty())
            .map_err(EntryFault::os("open the lower file"))?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let to = openat(dir, path_of(name), flags, Mode::RUSR | Mode::WUSR)
            .map_err(EntryFault::os("make the copy of the lower file"))?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            let len = read(&from, buffer.as_mut_slice())
                .map_err(EntryFault::os("read the lower file"))?;
            let mut rest = buffer.get(..len).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            while !rest.is_empty() {
                let written =
                    write(&to, rest).map_err(EntryFault::os("write the copy of the lower file"))?;
                rest = rest.get(written..).unwrap_or_default();
                self.done.copied += written as u64;
            }
        }
        self.copy_metadata(&from, stat, &to, false)
    }

    /// An overlay mount takes no notice of an opaque root: every name of the
    /// lower roots is hidden one by one instead.
    fn hide_lowers(&self) -> Result<(), EntryFault> {
        let os = EntryFault::os("list the roots of the lower layers");
        let root = self.open(b"")?;
        let times = self.times(&root)?;
        for lower in self.lowers {
            let lower = open_dir(lower, b"", OFlags::RDONLY).map_err(&os)?;
            for item in DirStream::read_from(&lower).map_err(&os)? {
                let item = item.map_err(&os)?;
                let name = item.file_name().to_bytes();
                if matches!(name, b"." | b"..") {
                    continue;
                }
                match open_dir(&root, name, OFlags::RDONLY) {
                    Ok(dir) => set_opaque(&dir, self.options.whiteouts)?,
                    // Whatever else is there hides the lower name by itself.
                    Err(_) => make_whiteout(&root, name)?,
                }
            }
        }
        set_times(&root, times.0, times.1)
    }
}
