//! Brings entries to disk, one by one, below a directory descriptor.

use std::io::BufRead;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ftruncate, linkat, makedev, mknodat, openat, symlinkat,
    unlinkat,
};
use rustix::io::{Errno, pwrite, write};

use super::UnpackOptions;
use super::dirs::Dirs;
use super::entry::{Entry, EntryKind};
use super::error::{EntryFault, UnpackError};
use super::metadata::{Ids, Owners, set_mode, set_times, set_times_of_name, set_xattrs};
use super::path::{Meaning, RelPath, meaning, path_of, shown};
use super::reader::TarReader;
use super::skipped::{SkipReason, Skipped};
use super::tree::{DirId, DirMeta, Opaque, ROOT};

/// Every bit that a mode's first nine do not cover.
const SPECIAL_BITS: u32 = 0o7000;

pub(crate) struct Extractor<'a> {
    pub(crate) dirs: Dirs<'a>,
    pub(crate) options: &'a UnpackOptions,
    pub(crate) owners: Owners,
    pub(crate) whiteouts: Vec<(DirId, Box<[u8]>)>,
    /// Hard links whose target this layer did not have so far.
    pub(crate) links: Vec<WaitingLink>,
    pub(crate) skipped: Skipped,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

pub(crate) struct WaitingLink {
    pub(crate) index: u64,
    pub(crate) dir: DirId,
    pub(crate) name: Box<[u8]>,
    pub(crate) target: RelPath,
}

impl<'a> Extractor<'a> {
    pub(crate) fn new(root: BorrowedFd<'a>, options: &'a UnpackOptions, created: Ids) -> Self {
        Self {
            dirs: Dirs::new(root, &options.limits),
            options,
            owners: Owners { ownership: options.ownership, created },
            whiteouts: Vec::new(),
            links: Vec::new(),
            skipped: Skipped::default(),
            entries: 0,
            bytes: 0,
        }
    }

    pub(crate) fn run<R: BufRead>(&mut self, reader: &mut TarReader<R>) -> Result<(), UnpackError> {
        while let Some(entry) = reader.next_entry()? {
            self.entries += 1;
            self.entry(reader, &entry).map_err(|fault| match fault {
                EntryFault::Archive(error) => UnpackError::Archive(*error),
                fault => UnpackError::Entry { index: entry.index, path: shown(&entry.path), fault },
            })?;
        }
        Ok(())
    }

    fn entry<R: BufRead>(
        &mut self,
        reader: &mut TarReader<R>,
        entry: &Entry,
    ) -> Result<(), EntryFault> {
        let path = RelPath::new(&entry.path, "the path", &self.options.limits)?;
        let Some((parent, name)) = path.split() else {
            if entry.kind != EntryKind::Directory {
                return Err(EntryFault::Root(entry.kind));
            }
            self.describe(ROOT, entry);
            return Ok(());
        };
        match meaning(&path)? {
            Meaning::Plain => {}
            Meaning::Aufs => {
                self.skipped.add(&entry.path, SkipReason::Aufs);
                return Ok(());
            }
            Meaning::Whiteout(hidden) => {
                let dir = self.parent(parent)?;
                return self.whiteout(dir, hidden);
            }
            Meaning::Opaque => {
                let dir = self.parent(parent)?;
                self.dirs.set_opaque(dir, Opaque::Marked);
                return Ok(());
            }
        }
        let dir = self.parent(parent)?;
        if entry.kind == EntryKind::Directory {
            return self.directory(dir, name, entry);
        }
        match entry.kind {
            EntryKind::HardLink => return self.hard_link(dir, name, entry),
            EntryKind::Symlink if entry.link.is_empty() => {
                return Err(EntryFault::BadPath("the symbolic link has no target"));
            }
            EntryKind::Symlink if entry.link.len() > self.options.limits.path_bytes => {
                return Err(EntryFault::Limit {
                    what: "bytes of a symbolic link's target",
                    found: entry.link.len() as u64,
                    limit: self.options.limits.path_bytes as u64,
                });
            }
            EntryKind::CharDevice if entry.device == (0, 0) => {
                return Err(EntryFault::ForgedWhiteout);
            }
            _ => {}
        }
        if self.dirs.tree.child(dir, name).is_some() {
            self.dirs.remove(dir, name)?;
        }
        let fd = self.dirs.open(dir)?;
        match entry.kind {
            EntryKind::Regular => self.regular(reader, fd.as_fd(), name, entry),
            EntryKind::Symlink => self.symlink(fd.as_fd(), name, entry),
            _ => self.node(fd.as_fd(), name, entry),
        }
    }

    /// The directory that an entry lies in, made if need be.
    fn parent(&mut self, path: &[u8]) -> Result<DirId, EntryFault> {
        // With `make` something is always found.
        self.dirs.resolve(path, true)?.ok_or(EntryFault::LinkLoop)
    }

    fn whiteout(&mut self, dir: DirId, name: &[u8]) -> Result<(), EntryFault> {
        let found = self.whiteouts.len() as u64 + 1;
        let limit = self.options.limits.whiteouts;
        if found > limit {
            return Err(EntryFault::Limit { what: "whiteouts", found, limit });
        }
        self.whiteouts.push((dir, name.into()));
        Ok(())
    }

    fn directory(&mut self, dir: DirId, name: &[u8], entry: &Entry) -> Result<(), EntryFault> {
        if let Some(known) = self.dirs.tree.child(dir, name) {
            self.describe(known, entry);
            return Ok(());
        }
        let made = match self.dirs.make(dir, name)? {
            Some(made) => Some(made),
            None => {
                self.dirs.remove(dir, name)?;
                self.dirs.make(dir, name)?
            }
        };
        let made = made.ok_or(EntryFault::Os { op: "make a directory", source: Errno::EXIST })?;
        self.describe(made, entry);
        Ok(())
    }

    /// Directories get what an entry says of them when all are filled.
    fn describe(&mut self, dir: DirId, entry: &Entry) {
        self.dirs.tree.get_mut(dir).meta = Some(Box::new(DirMeta {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            atime: entry.atime.unwrap_or(entry.mtime),
            xattrs: entry.xattrs.clone(),
        }));
    }

    fn regular<R: BufRead>(
        &mut self,
        reader: &mut TarReader<R>,
        dir: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), EntryFault> {
        let mode = self.owners.mode(entry.mode, false);
        // Setting user.* attributes takes the right to write, by the mode.
        let first = match entry.xattrs.is_empty() {
            true => mode.difference(Mode::from_raw_mode(SPECIAL_BITS)),
            false => Mode::RUSR | Mode::WUSR,
        };
        let file = replacing(dir, name, || {
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat(dir, path_of(name), flags, first)
        })
        .map_err(EntryFault::os("make the file"))?;
        match &entry.pieces {
            None => {
                loop {
                    let data = reader.data()?;
                    if data.is_empty() {
                        break;
                    }
                    let written = write(&file, data).map_err(EntryFault::os("write the file"))?;
                    reader.consume(written);
                }
                self.bytes += entry.size;
            }
            Some(pieces) => {
                for piece in pieces {
                    write_piece(reader, &file, piece.offset, piece.len)?;
                    self.bytes += piece.len;
                }
                ftruncate(&file, entry.size).map_err(EntryFault::os("size the file"))?;
            }
        }
        // Writing and changing owners take setuid bits and capabilities away.
        let ids = Ids { uid: entry.uid, gid: entry.gid };
        self.owners.of_new_file(&file, ids)?;
        let skipped = &mut self.skipped;
        set_xattrs(&file, &entry.xattrs, |attribute| {
            skipped.add(&entry.path, SkipReason::xattr(attribute));
        })?;
        if mode != first {
            set_mode(&file, mode)?;
        }
        set_times(&file, entry.atime.unwrap_or(entry.mtime), entry.mtime)
    }

    fn symlink(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), EntryFault> {
        replacing(dir, name, || symlinkat(path_of(&entry.link), dir, path_of(name)))
            .map_err(EntryFault::os("make the symbolic link"))?;
        self.name_metadata(dir, name, entry)
    }

    /// Devices and FIFOs.
    fn node(&mut self, dir: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Result<(), EntryFault> {
        let file_type = match entry.kind {
            EntryKind::CharDevice => FileType::CharacterDevice,
            EntryKind::BlockDevice => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let mode = Mode::from_raw_mode(entry.mode);
        let (major, minor) = entry.device;
        let made = replacing(dir, name, || {
            mknodat(dir, path_of(name), file_type, mode, makedev(major, minor))
        });
        match made {
            Ok(()) => self.name_metadata(dir, name, entry),
            // Without privilege there are no devices; runtimes mount theirs.
            Err(Errno::PERM) if file_type != FileType::Fifo => {
                self.skipped.add(&entry.path, SkipReason::Device);
                Ok(())
            }
            Err(errno) => Err(EntryFault::os("make the device or FIFO")(errno)),
        }
    }

    fn name_metadata(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), EntryFault> {
        let ids = Ids { uid: entry.uid, gid: entry.gid };
        self.owners.of_new_name(dir, name, ids)?;
        for (attribute, _) in &entry.xattrs {
            self.skipped.add(&entry.path, SkipReason::xattr(attribute));
        }
        set_times_of_name(dir, name, entry.atime.unwrap_or(entry.mtime), entry.mtime)
    }

    fn hard_link(&mut self, dir: DirId, name: &[u8], entry: &Entry) -> Result<(), EntryFault> {
        let target = RelPath::new(&entry.link, "the hard link's target", &self.options.limits)?;
        if meaning(&target)? != Meaning::Plain {
            return Err(EntryFault::ReservedName(target.shown()));
        }
        if self.link(dir, name, &target)? {
            return Ok(());
        }
        // The lower layers' turn, in `finish`.
        if self.dirs.tree.child(dir, name).is_some() {
            self.dirs.remove(dir, name)?;
        }
        let (index, name) = (entry.index, name.into());
        self.links.push(WaitingLink { index, dir, name, target });
        Ok(())
    }

    /// Links `name` to a file of this layer; `false` if the layer has none at
    /// `target`. The link's own name is never followed, nor is the target's.
    pub(crate) fn link(
        &mut self,
        dir: DirId,
        name: &[u8],
        target: &RelPath,
    ) -> Result<bool, EntryFault> {
        let Some((above, target_name)) = target.split() else {
            return Err(EntryFault::LinkToDirectory(target.shown()));
        };
        let target_dir = match self.dirs.resolve(above, false) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(false),
            Err(fault) => return Err(fault),
        };
        if self.dirs.tree.child(target_dir, target_name).is_some() {
            return Err(EntryFault::LinkToDirectory(target.shown()));
        }
        if (target_dir, target_name) == (dir, name) {
            // A link to itself says nothing, if the file is there.
            let fd = self.dirs.open(dir)?;
            return Ok(rustix::fs::statat(&*fd, path_of(name), AtFlags::SYMLINK_NOFOLLOW).is_ok());
        }
        let from = self.dirs.open(target_dir)?;
        let to = self.dirs.open(dir)?;
        let (from_name, to_name) = (path_of(target_name), path_of(name));
        let link = || linkat(&*from, from_name, &*to, to_name, AtFlags::empty());
        let linked = match link() {
            Err(Errno::EXIST) => {
                let stat = |fd: &OwnedFd, name| {
                    rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)
                        .map(|stat| (stat.st_dev, stat.st_ino))
                };
                // Removing the old name must not take the target with it.
                match (stat(&from, from_name), stat(&to, to_name)) {
                    (Err(Errno::NOENT), _) => Err(Errno::NOENT),
                    (Ok(a), Ok(b)) if a == b => Ok(()),
                    _ => {
                        self.dirs.remove(dir, name)?;
                        link()
                    }
                }
            }
            done => done,
        };
        match linked {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(EntryFault::os("make the hard link")(errno)),
        }
    }
}

/// Runs `make`, which refuses to if the name is taken; then once more without
/// the file that has it.
fn replacing<T>(
    dir: BorrowedFd<'_>,
    name: &[u8],
    make: impl Fn() -> Result<T, Errno>,
) -> Result<T, Errno> {
    match make() {
        Err(Errno::EXIST) => {
            unlinkat(dir, path_of(name), AtFlags::empty())?;
            make()
        }
        done => done,
    }
}

fn write_piece<R: BufRead>(
    reader: &mut TarReader<R>,
    file: &OwnedFd,
    mut offset: u64,
    mut len: u64,
) -> Result<(), EntryFault> {
    while len > 0 {
        let data = reader.data()?;
        let step = data.len().min(usize::try_from(len).unwrap_or(usize::MAX));
        let data = data.get(..step).unwrap_or_default();
        let written = pwrite(file, data, offset).map_err(EntryFault::os("write the file"))?;
        if written == 0 {
            return Err(EntryFault::Os { op: "write the file", source: Errno::IO });
        }
        reader.consume(written);
        offset += written as u64;
        len -= written as u64;
    }
    Ok(())
}
