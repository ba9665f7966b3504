//! Goes through the tree, directory by directory, by descriptor.

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use caisson_rootpath::open_beneath;
use rustix::fs::{
    AtFlags, Dir as DirStream, FileType, OFlags, Stat, fgetxattr, fstat, major, minor, readlinkat,
    statat,
};
use rustix::io::{Errno, read};

use super::error::{LayerFault, LayerWriteError};
use super::header::{NewEntry, append, pad};
use super::{LayerSource, LayerWriteOptions, LayerWritten};
use crate::unpack::{Time, WhiteoutForm, Xattr, is_opaque, wanted_xattrs};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// As the unpacker has it.
const MAX_DEPTH: usize = 512;
const BUFFER: usize = 128 << 10;
/// Two blocks of zeros.
const END: [u8; 1024] = [0; 1024];

pub(super) struct Walk<'a, W> {
    out: &'a mut W,
    options: &'a LayerWriteOptions,
    /// First path of every file with several names.
    links: HashMap<(u64, u64), Vec<u8>>,
    done: LayerWritten,
    buffer: Vec<u8>,
}

/// A directory that is being gone through; its names, last first.
struct Level {
    dir: OwnedFd,
    path: Vec<u8>,
    names: Vec<Vec<u8>>,
}

type Step<T> = Result<T, LayerWriteError>;

fn at(path: &[u8]) -> impl Fn(LayerFault) -> LayerWriteError + '_ {
    move |fault| LayerWriteError::File { path: path_of(path).to_owned(), fault }
}

fn path_of(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

fn open(dir: impl AsFd, name: &[u8], flags: OFlags) -> Result<OwnedFd, LayerFault> {
    open_beneath(dir, path_of(name), flags)
        .map_err(|error| LayerFault::os("open it")(error.errno().unwrap_or(Errno::INVAL)))
}

impl<'a, W: Write> Walk<'a, W> {
    pub(super) fn new(out: &'a mut W, options: &'a LayerWriteOptions) -> Self {
        let buffer = Vec::with_capacity(BUFFER);
        Self { out, options, links: HashMap::new(), done: LayerWritten::default(), buffer }
    }

    pub(super) fn run(mut self, source: BorrowedFd<'_>) -> Step<LayerWritten> {
        let root = open(source, b".", OFlags::RDONLY | OFlags::DIRECTORY).map_err(at(b"."))?;
        let mut levels = vec![self.enter(root, b"./".to_vec())?];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.pop() else {
                levels.pop();
                continue;
            };
            let mut path = level.path.strip_prefix(b"./").unwrap_or(&level.path).to_vec();
            path.extend_from_slice(&name);
            let stat = statat(&level.dir, path_of(&name), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(LayerFault::os("examine it"))
                .map_err(at(&path))?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let dir = open(&level.dir, &name, OFlags::RDONLY | OFlags::DIRECTORY)
                    .map_err(at(&path))?;
                path.push(b'/');
                if levels.len() >= MAX_DEPTH {
                    return Err(at(&path)(LayerFault::TooDeep(MAX_DEPTH)));
                }
                levels.push(self.enter(dir, path)?);
            } else {
                let dir = level.dir.as_fd();
                self.file(dir, &name, &path, &stat)?;
            }
        }
        self.out.write_all(&END).map_err(LayerWriteError::Write)?;
        Ok(self.done)
    }

    /// Writes a directory's own entry, its opaque mark, and lists it.
    fn enter(&mut self, dir: OwnedFd, path: Vec<u8>) -> Step<Level> {
        let stat = fstat(&dir).map_err(LayerFault::os("examine it")).map_err(at(&path))?;
        let xattrs = wanted_xattrs(&dir)
            .map_err(LayerFault::os("read its extended attributes"))
            .map_err(at(&path))?;
        self.write(&self.entry(&path, b'5', &stat, &xattrs))?;
        if let LayerSource::OverlayUpper(form) = self.options.source {
            refuse_overlay_metadata(&dir, form, &["redirect"]).map_err(at(&path))?;
            if is_opaque(&dir, form)
                .map_err(LayerFault::os("read its extended attributes"))
                .map_err(at(&path))?
            {
                self.whiteout(&path, OPAQUE)?;
            }
        }
        let names = self.list(&dir, &path)?;
        Ok(Level { dir, path, names })
    }

    /// Names in reverse order of writing.
    fn list(&self, dir: &OwnedFd, path: &[u8]) -> Step<Vec<Vec<u8>>> {
        let os = LayerFault::os("list it");
        // Overlay whiteouts sort by the name that they have in a layer.
        let mut names = Vec::new();
        for item in DirStream::read_from(dir).map_err(&os).map_err(at(path))? {
            let item = item.map_err(&os).map_err(at(path))?;
            let name = item.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            if name.starts_with(WHITEOUT) {
                let reserved = [path, name].concat();
                return Err(at(&reserved)(LayerFault::ReservedName));
            }
            let may_be_whiteout =
                matches!(item.file_type(), FileType::CharacterDevice | FileType::Unknown);
            let is_whiteout = may_be_whiteout
                && self.options.source != LayerSource::Directory
                && statat(dir, path_of(name), AtFlags::SYMLINK_NOFOLLOW)
                    .is_ok_and(|stat| is_whiteout(&stat));
            names.push((!is_whiteout, name.to_vec()));
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(names.into_iter().map(|(_, name)| name).collect())
    }

    fn entry<'e>(
        &self,
        path: &'e [u8],
        type_flag: u8,
        stat: &Stat,
        xattrs: &'e [Xattr],
    ) -> NewEntry<'e> {
        let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
        NewEntry {
            path,
            type_flag,
            link: b"",
            mode: stat.st_mode & 0o7777,
            owner: self.options.owner.unwrap_or((stat.st_uid, stat.st_gid)),
            size: 0,
            mtime: Time {
                seconds: stat.st_mtime,
                nanos: if self.options.nanoseconds { nanos } else { 0 },
            },
            device: (0, 0),
            xattrs,
        }
    }

    fn write(&mut self, entry: &NewEntry<'_>) -> Step<()> {
        self.done.entries += 1;
        let mut blocks = Vec::with_capacity(512);
        append(entry, &mut blocks);
        self.out.write_all(&blocks).map_err(LayerWriteError::Write)
    }

    fn whiteout(&mut self, dir: &[u8], name: &[u8]) -> Step<()> {
        let dir = dir.strip_prefix(b"./").unwrap_or(dir);
        self.write(&NewEntry {
            path: &[dir, name].concat(),
            type_flag: b'0',
            link: b"",
            mode: 0,
            owner: self.options.owner.unwrap_or((0, 0)),
            size: 0,
            mtime: Time::default(),
            device: (0, 0),
            xattrs: &[],
        })
    }

    fn file(&mut self, dir: BorrowedFd<'_>, name: &[u8], path: &[u8], stat: &Stat) -> Step<()> {
        if is_whiteout(stat) {
            if self.options.source == LayerSource::Directory {
                return Err(at(path)(LayerFault::Whiteout));
            }
            let above = path.strip_suffix(name).unwrap_or_default();
            return self.whiteout(above, &[WHITEOUT, name].concat());
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Socket {
            self.done.sockets += 1;
            return Ok(());
        }
        if stat.st_nlink > 1 {
            let inode = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&inode) {
                let mut entry = self.entry(path, b'1', stat, &[]);
                let first = first.clone();
                entry.link = &first;
                return self.write(&entry);
            }
            self.links.insert(inode, path.to_vec());
        }
        match kind {
            FileType::RegularFile => return self.regular(dir, name, path, stat),
            FileType::Symlink => {
                let target = readlinkat(dir, path_of(name), Vec::new())
                    .map_err(LayerFault::os("read the link"))
                    .map_err(at(path))?;
                let mut entry = self.entry(path, b'2', stat, &[]);
                entry.link = target.as_bytes();
                return self.write(&entry);
            }
            _ => {}
        }
        let type_flag = match kind {
            FileType::CharacterDevice => b'3',
            FileType::BlockDevice => b'4',
            FileType::Fifo => b'6',
            _ => return Err(at(path)(LayerFault::UnknownType)),
        };
        let mut entry = self.entry(path, type_flag, stat, &[]);
        if kind != FileType::Fifo {
            entry.device = (major(stat.st_rdev), minor(stat.st_rdev));
        }
        self.write(&entry)
    }

    fn regular(&mut self, dir: BorrowedFd<'_>, name: &[u8], path: &[u8], seen: &Stat) -> Step<()> {
        // O_NONBLOCK: were a FIFO swapped in, the open would not hang.
        let file = open(dir, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK)
            .map_err(at(path))?;
        let stat = fstat(&file).map_err(LayerFault::os("examine it")).map_err(at(path))?;
        if (stat.st_dev, stat.st_ino) != (seen.st_dev, seen.st_ino) {
            return Err(at(path)(LayerFault::Changed));
        }
        if let LayerSource::OverlayUpper(form) = self.options.source {
            refuse_overlay_metadata(&file, form, &["metacopy", "redirect"]).map_err(at(path))?;
        }
        let xattrs = wanted_xattrs(&file)
            .map_err(LayerFault::os("read its extended attributes"))
            .map_err(at(path))?;
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let mut entry = self.entry(path, b'0', &stat, &xattrs);
        entry.size = size;
        self.write(&entry)?;
        let mut rest = size;
        loop {
            self.buffer.clear();
            // One byte more than expected shows that it has grown.
            let want = usize::try_from(rest.saturating_add(1)).unwrap_or(BUFFER).min(BUFFER);
            self.buffer.resize(want, 0);
            let len = read(&file, self.buffer.as_mut_slice())
                .map_err(LayerFault::os("read it"))
                .map_err(at(path))?;
            if len == 0 {
                break;
            }
            rest = rest.checked_sub(len as u64).ok_or_else(|| at(path)(LayerFault::Changed))?;
            let data = self.buffer.get(..len).unwrap_or_default();
            self.out.write_all(data).map_err(LayerWriteError::Write)?;
        }
        if rest != 0 {
            return Err(at(path)(LayerFault::Changed));
        }
        self.done.bytes += size;
        self.buffer.clear();
        pad(size, &mut self.buffer);
        self.out.write_all(&self.buffer).map_err(LayerWriteError::Write)
    }
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Attributes by which an overlay says that the file is really elsewhere.
fn refuse_overlay_metadata(
    fd: impl AsFd,
    form: WhiteoutForm,
    names: &[&'static str],
) -> Result<(), LayerFault> {
    let prefix = match form {
        WhiteoutForm::Trusted => "trusted.overlay.",
        WhiteoutForm::User => "user.overlay.",
    };
    for name in names {
        let mut value = [0_u8; 0];
        match fgetxattr(&fd, format!("{prefix}{name}"), &mut value) {
            Ok(_) | Err(Errno::RANGE) => return Err(LayerFault::OverlayMetadata(name)),
            Err(_) => {}
        }
    }
    Ok(())
}
