//! A strict reader of tar archives: one entry after the other, headers put
//! together, nothing guessed.
//!
//! The `tar` crate is not used here: it caps no extension header, reads
//! modification times as unsigned, knows no PAX sparse files, and lets a PAX
//! size and the header's size differ.

use std::io::{BufRead, Read};
use std::path::PathBuf;

use super::entry::{Entry, EntryKind, Time};
use super::error::{ArchiveError, ArchiveFault};
use super::header::{BLOCK, Header};
use super::limits::Limits;
use super::path::shown;
use super::pax::Pax;
use super::sparse::{self, Piece};

/// From this size on, a header's size field may be left to PAX alone.
const OCTAL_SIZE_END: u64 = 1 << 33;

/// Reads a tar archive (ustar, GNU, PAX, V7, star) from `R`, entry by entry.
///
/// Refuses, with offset and name, whatever readers could understand in two
/// ways. After an error the reader is of no further use.
///
/// As a [`Read`] it gives the data of the entry that [`TarReader::next_entry`]
/// returned last; of a sparse file, what is stored, without the holes.
pub struct TarReader<R> {
    input: R,
    limits: Limits,
    offset: u64,
    entries: u64,
    file_bytes: u64,
    /// Data of the current entry that was not taken yet.
    remaining: u64,
    /// Zeros that fill up its last block.
    padding: u64,
    global: Pax,
    /// For messages: where the header began, and whose it is.
    at: u64,
    path: Option<PathBuf>,
}

/// Extension headers read so far for the entry to come.
#[derive(Default)]
struct Extensions {
    pax: Option<Pax>,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Extensions {
    const fn is_empty(&self) -> bool {
        self.pax.is_none() && self.path.is_none() && self.link.is_none()
    }
}

impl<R: BufRead> TarReader<R> {
    /// Begins at the first header.
    pub fn new(input: R, limits: Limits) -> Self {
        Self {
            input,
            limits,
            offset: 0,
            entries: 0,
            file_bytes: 0,
            remaining: 0,
            padding: 0,
            global: Pax::default(),
            at: 0,
            path: None,
        }
    }

    /// Bytes of the archive read so far.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next entry, or `None` at the end, when everything behind the end
    /// mark has been read and was zeros. An archive may also end without a
    /// mark, between two entries. Data of the entry before that was not taken
    /// is skipped.
    ///
    /// # Errors
    /// Malformed, truncated, beyond a limit, or the source failed.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ArchiveError> {
        self.next_inner().map_err(|fault| self.error(fault))
    }

    /// Data of the entry, as much as is at hand; empty at its end.
    ///
    /// # Errors
    /// The archive ends before the entry does, or the source failed.
    pub fn data(&mut self) -> Result<&[u8], ArchiveError> {
        if self.remaining == 0 {
            return Ok(&[]);
        }
        let remaining = self.remaining;
        let (at, path) = (self.at, &self.path);
        let fail = |fault| ArchiveError { offset: at, path: path.clone(), fault };
        match self.input.fill_buf() {
            Ok([]) => Err(fail(ArchiveFault::Truncated { missing: remaining })),
            Ok(bytes) => {
                let len = usize::try_from(remaining).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.get(..len).unwrap_or_default())
            }
            Err(error) => Err(fail(ArchiveFault::Read(error))),
        }
    }

    /// Takes `len` bytes of what [`TarReader::data`] showed.
    pub fn consume(&mut self, len: usize) {
        self.input.consume(len);
        let len = len as u64;
        self.offset += len;
        self.remaining = self.remaining.saturating_sub(len);
    }

    fn error(&self, fault: ArchiveFault) -> ArchiveError {
        ArchiveError { offset: self.at, path: self.path.clone(), fault }
    }

    fn next_inner(&mut self) -> Result<Option<Entry>, ArchiveFault> {
        self.skip(self.remaining + self.padding)?;
        (self.remaining, self.padding) = (0, 0);
        self.path = None;
        let mut ext = Extensions::default();
        loop {
            self.at = self.offset;
            let mut block = [0; BLOCK];
            if !self.read_block(&mut block)? || self.is_end(&block)? {
                return if ext.is_empty() {
                    Ok(None)
                } else {
                    Err(ArchiveFault::DanglingExtension)
                };
            }
            self.entries += 1;
            limit("entries and extension headers", self.entries, self.limits.entries)?;
            let header = Header::new(&block)?;
            match header.type_flag() {
                b'x' => {
                    let mut pax = self.global.clone();
                    let data = self.extension(&header, self.limits.pax_bytes)?;
                    pax.read(&data, false, &self.limits)?;
                    once(&mut ext.pax, pax, 'x')?;
                }
                b'g' => {
                    let data = self.extension(&header, self.limits.pax_bytes)?;
                    self.global.read(&data, true, &self.limits)?;
                }
                b'L' => once(&mut ext.path, self.long_name(&header)?, 'L')?,
                b'K' => once(&mut ext.link, self.long_name(&header)?, 'K')?,
                // A label of the volume.
                b'V' if ext.is_empty() => {}
                flag => return self.entry(&header, flag, ext).map(Some),
            }
        }
    }

    /// `false` at the end of the input, when it ends between blocks.
    fn read_block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, ArchiveFault> {
        let mut filled = 0;
        while let Some(space @ [_, ..]) = block.get_mut(filled..) {
            let bytes = self.input.fill_buf().map_err(ArchiveFault::Read)?;
            if bytes.is_empty() {
                return if filled == 0 {
                    Ok(false)
                } else {
                    Err(ArchiveFault::Truncated { missing: (BLOCK - filled) as u64 })
                };
            }
            let len = space.len().min(bytes.len());
            if let (Some(to), Some(from)) = (space.get_mut(..len), bytes.get(..len)) {
                to.copy_from_slice(from);
            }
            self.input.consume(len);
            filled += len;
        }
        self.advance(BLOCK as u64)?;
        Ok(true)
    }

    fn advance(&mut self, len: u64) -> Result<(), ArchiveFault> {
        self.offset += len;
        limit("bytes of the archive", self.offset, self.limits.total_bytes)
    }

    /// Two blocks of zeros end an archive; only zeros may follow, as GNU tar
    /// pads to 10 KiB.
    fn is_end(&mut self, block: &[u8; BLOCK]) -> Result<bool, ArchiveFault> {
        if block.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        loop {
            let bytes = self.input.fill_buf().map_err(ArchiveFault::Read)?;
            if bytes.is_empty() {
                return Ok(true);
            }
            if bytes.iter().any(|byte| *byte != 0) {
                return Err(ArchiveFault::TrailingGarbage);
            }
            let len = bytes.len();
            self.input.consume(len);
            self.advance(len as u64)?;
        }
    }

    fn skip(&mut self, mut len: u64) -> Result<(), ArchiveFault> {
        while len > 0 {
            let bytes = self.input.fill_buf().map_err(ArchiveFault::Read)?;
            if bytes.is_empty() {
                return Err(ArchiveFault::Truncated { missing: len });
            }
            let step = bytes.len().min(usize::try_from(len).unwrap_or(usize::MAX));
            self.input.consume(step);
            self.offset += step as u64;
            len -= step as u64;
        }
        Ok(())
    }

    /// The whole data of an extension header, its padding skipped.
    fn extension(&mut self, header: &Header<'_>, max: u64) -> Result<Vec<u8>, ArchiveFault> {
        let size = header.size()?;
        limit("bytes of an extension header", size, max)?;
        let mut data = Vec::new();
        let read = (&mut self.input).take(size).read_to_end(&mut data);
        let read = read.map_err(ArchiveFault::Read)? as u64;
        self.advance(read)?;
        if read < size {
            return Err(ArchiveFault::Truncated { missing: size - read });
        }
        self.skip(padding_of(size))?;
        Ok(data)
    }

    fn long_name(&mut self, header: &Header<'_>) -> Result<Vec<u8>, ArchiveFault> {
        // The terminating NUL is counted, and some writers add more.
        let max = self.limits.path_bytes as u64 + BLOCK as u64;
        let mut name = self.extension(header, max)?;
        let len = name.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        name.truncate(len);
        if name.contains(&0) {
            return Err(ArchiveFault::Nul("a GNU long name"));
        }
        if name.is_empty() {
            return Err(ArchiveFault::Pax("an empty GNU long name"));
        }
        Ok(name)
    }

    fn entry(
        &mut self,
        header: &Header<'_>,
        flag: u8,
        ext: Extensions,
    ) -> Result<Entry, ArchiveFault> {
        let mut pax = ext.pax.unwrap_or_else(|| self.global.clone());
        let pax_path = pax.sparse.name.take().or(pax.path.take());
        let path = one_name(pax_path, ext.path)?.unwrap_or_else(|| header.path());
        self.path = Some(shown(&path));
        let link = one_name(pax.link.take(), ext.link)?.unwrap_or_else(|| header.link());

        let kind = match flag {
            // Before there was a type for them, directories had a slash.
            0 | b'0' if path.ends_with(b"/") => EntryKind::Directory,
            0 | b'0' | b'7' | b'S' => EntryKind::Regular,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::CharDevice,
            b'4' => EntryKind::BlockDevice,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            other => return Err(ArchiveFault::UnknownType(char::from(other))),
        };
        let header_size = header.size()?;
        let stored = match pax.size {
            Some(size) if size != header_size && header_size != 0 && size < OCTAL_SIZE_END => {
                return Err(ArchiveFault::SizeConflict { header: header_size, pax: size });
            }
            Some(size) => size,
            None => header_size,
        };
        if kind != EntryKind::Regular && stored != 0 {
            return Err(ArchiveFault::UnexpectedData { kind, size: stored });
        }
        limit("bytes of a file", stored, self.limits.file_bytes)?;
        self.remaining = stored;
        self.padding = padding_of(stored);

        let map = if flag == b'S' {
            Some(self.old_gnu_sparse(header)?)
        } else if pax.sparse.is_used() && kind == EntryKind::Regular {
            Some(self.pax_sparse(&mut pax)?)
        } else {
            None
        };
        let (pieces, size) = match map {
            Some((pieces, size)) => {
                limit("bytes of a sparse file", size, self.limits.file_bytes)?;
                sparse::check(&pieces, size, self.remaining)?;
                (Some(pieces), size)
            }
            None => (None, stored),
        };
        self.file_bytes = self.file_bytes.saturating_add(size);
        limit("bytes of all files", self.file_bytes, self.limits.total_bytes)?;
        let header_time = Time { seconds: header.mtime()?, nanos: 0 };
        let device = match kind {
            EntryKind::CharDevice | EntryKind::BlockDevice => header.device()?,
            _ => (0, 0),
        };
        Ok(Entry {
            index: self.entries,
            kind,
            path,
            link,
            mode: header.mode()?,
            uid: owner(pax.uid, "uid", || header.uid())?,
            gid: owner(pax.gid, "gid", || header.gid())?,
            size,
            mtime: pax.mtime.unwrap_or(header_time),
            atime: pax.atime,
            xattrs: pax.xattrs,
            device,
            pieces,
        })
    }

    /// Blocks that continue the map lie between header and data, and are not
    /// counted in the size.
    fn old_gnu_sparse(&mut self, header: &Header<'_>) -> Result<(Vec<Piece>, u64), ArchiveFault> {
        if !header.is_gnu() {
            return Err(ArchiveFault::Sparse("type S without GNU's magic"));
        }
        let (area, mut continues, size) = header.old_gnu_sparse()?;
        let mut map = Vec::new();
        sparse::read_old_gnu(area, &mut map, self.limits.sparse_pieces)?;
        let mut blocks = 0;
        while continues {
            // A block without a piece adds nothing to the map: count blocks too.
            blocks += 1;
            limit("pieces of a sparse file", blocks, self.limits.sparse_pieces as u64)?;
            let mut block = [0; BLOCK];
            if !self.read_block(&mut block)? {
                return Err(ArchiveFault::Truncated { missing: BLOCK as u64 });
            }
            let (area, rest) = block.split_at(504);
            continues = rest.first() != Some(&0);
            sparse::read_old_gnu(area, &mut map, self.limits.sparse_pieces)?;
        }
        Ok((map, size))
    }

    fn pax_sparse(&mut self, pax: &mut Pax) -> Result<(Vec<Piece>, u64), ArchiveFault> {
        let size = pax.sparse.real_size.ok_or(ArchiveFault::Sparse("its size is missing"))?;
        let map = match (pax.sparse.version, pax.sparse.map.take()) {
            ((None, None) | (Some(0), Some(0 | 1)), Some(map)) => map,
            ((Some(1), Some(0)), None) => self.map_in_data()?,
            _ => return Err(ArchiveFault::Sparse("unknown version")),
        };
        Ok((map, size))
    }

    /// PAX 1.0: the map comes first in the data, as decimal lines, filled up
    /// to whole blocks.
    fn map_in_data(&mut self) -> Result<Vec<Piece>, ArchiveFault> {
        let mut lines = MapLines { block: [0; BLOCK], at: BLOCK };
        let count = lines.next(self)?;
        limit("pieces of a sparse file", count, self.limits.sparse_pieces as u64)?;
        let mut map = Vec::new();
        for _ in 0..count {
            let piece = Piece { offset: lines.next(self)?, len: lines.next(self)? };
            sparse::push(&mut map, piece, self.limits.sparse_pieces)?;
        }
        Ok(map)
    }
}

/// Decimal lines in blocks of an entry's data.
struct MapLines {
    block: [u8; BLOCK],
    at: usize,
}

impl MapLines {
    fn next<R: BufRead>(&mut self, reader: &mut TarReader<R>) -> Result<u64, ArchiveFault> {
        let mut digits = Vec::new();
        loop {
            if self.at == BLOCK {
                reader.remaining = reader
                    .remaining
                    .checked_sub(BLOCK as u64)
                    .ok_or(ArchiveFault::Sparse("the map is longer than the data"))?;
                if !reader.read_block(&mut self.block)? {
                    return Err(ArchiveFault::Truncated { missing: BLOCK as u64 });
                }
                self.at = 0;
            }
            let byte = self.block.get(self.at).copied().unwrap_or_default();
            self.at += 1;
            if byte == b'\n' {
                return super::number::decimal(&digits)
                    .ok_or(ArchiveFault::Sparse("an offset or length is no number"));
            }
            digits.push(byte);
            if digits.len() > 20 {
                return Err(ArchiveFault::Sparse("an offset or length is no number"));
            }
        }
    }
}

impl<R: BufRead> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let data = self.data().map_err(std::io::Error::other)?;
        let len = data.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), data.get(..len)) {
            to.copy_from_slice(from);
        }
        self.consume(len);
        Ok(len)
    }
}

const fn padding_of(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

fn limit(what: &'static str, found: u64, limit: u64) -> Result<(), ArchiveFault> {
    if found > limit { Err(ArchiveFault::Limit { what, found, limit }) } else { Ok(()) }
}

fn once<T>(slot: &mut Option<T>, value: T, flag: char) -> Result<(), ArchiveFault> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(ArchiveFault::RepeatedExtension(flag)),
    }
}

/// A GNU long name beside a PAX one has to say the same.
fn one_name(pax: Option<Vec<u8>>, gnu: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, ArchiveFault> {
    match (pax, gnu) {
        (Some(pax), Some(gnu)) if pax != gnu => Err(ArchiveFault::NameConflict),
        (pax, gnu) => Ok(pax.or(gnu)),
    }
}

fn owner(
    pax: Option<u64>,
    field: &'static str,
    header: impl FnOnce() -> Result<u64, ArchiveFault>,
) -> Result<u32, ArchiveFault> {
    let id = pax.map_or_else(header, Ok)?;
    // The last one means "leave it as it is" to chown(2).
    u32::try_from(id)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| ArchiveFault::Number { field, value: id.to_string() })
}
