//! What can only be done when the last entry has been read: hard links to
//! later files, whiteouts, and what entries say about directories.

use rustix::fs::{FileType, Mode, OFlags, mknodat};
use rustix::io::Errno;

use super::deferred::{Deferred, DeferredLink};
use super::dirs::open_dir;
use super::entry::Time;
use super::error::{EntryFault, UnpackError};
use super::extract::Extractor;
use super::metadata::{Ids, set_mode, set_opaque, set_times, set_xattrs};
use super::path::{RelPath, path_of};
use super::skipped::SkipReason;
use super::tree::{DirId, DirMeta, Opaque, ROOT};

/// Mode of a directory that no entry and no lower layer describes.
const IMPLIED_MODE: u32 = 0o755;

impl Extractor<'_> {
    /// Everything after the last entry, except what needs lower layers.
    pub(crate) fn complete(&mut self) -> Result<Deferred, UnpackError> {
        let mut links = Vec::new();
        for waiting in std::mem::take(&mut self.links) {
            if self.dirs.tree.get(waiting.dir).is_gone {
                continue;
            }
            let mut path = self.dirs.tree.path(waiting.dir);
            path.push(&waiting.name);
            match self.link_late(waiting.dir, &waiting.name, &waiting.target) {
                Ok(true) => {}
                Ok(false) => {
                    links.push(DeferredLink { index: waiting.index, path, target: waiting.target });
                }
                Err(fault) => {
                    let (index, path) = (waiting.index, path.shown());
                    return Err(UnpackError::Entry { index, path, fault });
                }
            }
        }
        for (dir, name) in std::mem::take(&mut self.whiteouts) {
            if self.dirs.tree.get(dir).is_gone {
                continue;
            }
            self.place_whiteout(dir, &name).map_err(|fault| {
                let mut path = self.dirs.tree.path(dir);
                path.push(&name);
                UnpackError::Complete { path: path.shown(), fault }
            })?;
        }
        let mut implied = Vec::new();
        // Leaves first: a parent's mode may close the way down.
        for dir in self.dirs.tree.ids().rev() {
            if self.dirs.tree.get(dir).is_gone {
                continue;
            }
            let path = self.dirs.tree.path(dir);
            self.complete_dir(dir, &path)
                .map_err(|fault| UnpackError::Complete { path: path.shown(), fault })?;
            if self.dirs.tree.get(dir).meta.is_none() && self.dirs.tree.is_merged(dir) {
                implied.push(path);
            }
        }
        implied.reverse();
        let opaque_root = self.dirs.tree.get(ROOT).opaque != Opaque::No;
        Ok(Deferred { implied, links, opaque_root })
    }

    /// A later entry of the same name has won already.
    fn link_late(&mut self, dir: DirId, name: &[u8], target: &RelPath) -> Result<bool, EntryFault> {
        if self.dirs.tree.child(dir, name).is_some() {
            return Ok(true);
        }
        let fd = self.dirs.open(dir)?;
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        match rustix::fs::statat(&*fd, path_of(name), flags) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => self.link(dir, name, target),
            Err(errno) => Err(EntryFault::os("look for a later entry of that name")(errno)),
        }
    }

    /// Whiteouts speak of lower layers only, wherever they stand in the
    /// archive: what this layer has under the name stays.
    fn place_whiteout(&mut self, dir: DirId, name: &[u8]) -> Result<(), EntryFault> {
        if let Some(child) = self.dirs.tree.child(dir, name) {
            self.dirs.set_opaque(child, Opaque::Replaced);
            return Ok(());
        }
        let fd = self.dirs.open(dir)?;
        make_whiteout(&*fd, name)
    }

    fn complete_dir(&mut self, dir: DirId, path: &RelPath) -> Result<(), EntryFault> {
        let node = self.dirs.tree.get(dir);
        let is_opaque = node.opaque != Opaque::No && dir != ROOT;
        let root = self.dirs.open(ROOT)?;
        let fd = open_dir(&*root, path.as_bytes(), OFlags::RDONLY)
            .map_err(EntryFault::os("open the directory"))?;
        let implied = DirMeta {
            mode: IMPLIED_MODE,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            atime: Time::default(),
            xattrs: Vec::new(),
        };
        let meta = self.dirs.tree.get(dir).meta.as_deref().unwrap_or(&implied);
        let skipped = &mut self.skipped;
        self.owners.of_new_file(&fd, Ids { uid: meta.uid, gid: meta.gid })?;
        set_xattrs(&fd, &meta.xattrs, |name| {
            skipped.add(path.as_bytes(), SkipReason::xattr(name));
        })?;
        if is_opaque {
            set_opaque(&fd, self.options.whiteouts)?;
        }
        set_mode(&fd, self.owners.mode(meta.mode, true))?;
        set_times(&fd, meta.atime, meta.mtime)
    }
}

/// Overlay's sign that a name is gone. Needs no privilege (Linux 5.8).
pub(crate) fn make_whiteout(dir: impl std::os::fd::AsFd, name: &[u8]) -> Result<(), EntryFault> {
    let made = mknodat(dir, path_of(name), FileType::CharacterDevice, Mode::empty(), 0);
    match made {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(EntryFault::os("make a whiteout (a character device 0:0)")(errno)),
    }
}
