//! The content of a small file: in the sentry's memory, or in a piece of a store.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;

use super::super::texts::read_text;
use super::store::{Piece, Store};

/// Bytes that are copied at once.
const AT_ONCE: u64 = 64 << 10;

#[derive(Debug)]
pub(super) enum Small {
    Memory(Vec<u8>),
    /// And its length. What is behind that in the piece may be anything.
    Stored(Piece, u64),
}

impl Default for Small {
    fn default() -> Self {
        Small::Memory(Vec::new())
    }
}

impl Small {
    pub(super) fn len(&self) -> u64 {
        match self {
            Small::Memory(bytes) => bytes.len() as u64,
            Small::Stored(_, length) => *length,
        }
    }

    pub(super) fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        match self {
            Small::Memory(bytes) => Ok(read_text(bytes, into, offset)),
            Small::Stored(piece, length) => {
                let left = usize::try_from(length.saturating_sub(offset)).unwrap_or(usize::MAX);
                let count = into.len().min(left);
                match into.get_mut(..count).filter(|into| !into.is_empty()) {
                    Some(into) => piece.read(into, offset),
                    None => Ok(0),
                }
            }
        }
    }

    /// Writes at `start`, which is behind the end by two pages at most; returns how much, which
    /// is less than all only if the host has no room for it.
    pub(super) fn write(
        &mut self,
        store: Option<&Arc<Store>>,
        from: &[u8],
        start: u64,
    ) -> Result<usize, Errno> {
        let end = start + from.len() as u64;
        if let Some(store) = store {
            self.store(store, end)?;
        }
        match self {
            Small::Memory(bytes) => {
                let place = |offset: u64| usize::try_from(offset).map_err(|_| Errno::FBIG);
                let (at, end) = (place(start)?, place(end)?);
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                if let Some(to) = bytes.get_mut(at..end) {
                    to.copy_from_slice(from);
                }
                Ok(from.len())
            }
            Small::Stored(piece, length) => {
                let gap =
                    usize::try_from(start.saturating_sub(*length)).map_err(|_| Errno::FBIG)?;
                if gap == 0 {
                    let done = piece.write(from, start)?;
                    *length = (*length).max(start + done as u64);
                    return Ok(done);
                }
                let mut all = vec![0; gap];
                all.extend_from_slice(from);
                let done = piece.write(&all, *length);
                let own = done.map(|done| done.saturating_sub(gap));
                let Some(own) = own.ok().filter(|own| *own > 0) else {
                    // Nobody counts what was written of the gap.
                    piece.cut(*length);
                    return done.and(Err(Errno::NOSPC));
                };
                let done = gap + own;
                *length += done as u64;
                Ok(own)
            }
        }
    }

    /// Gives it another length, which is at most two pages more.
    pub(super) fn resize(&mut self, store: Option<&Arc<Store>>, size: u64) -> Result<(), Errno> {
        if let Some(zeros) = size.checked_sub(self.len()).filter(|zeros| *zeros > 0) {
            let zeros = vec![0; usize::try_from(zeros).map_err(|_| Errno::FBIG)?];
            let end = self.len();
            let done = self.write(store, &zeros, end)?;
            if done < zeros.len() {
                self.resize(store, end)?;
                return Err(Errno::NOSPC);
            }
            return Ok(());
        }
        match self {
            Small::Memory(bytes) => bytes.truncate(usize::try_from(size).unwrap_or(usize::MAX)),
            Small::Stored(..) if size == 0 => *self = Small::default(),
            Small::Stored(piece, length) => {
                *length = size;
                piece.cut(size);
            }
        }
        Ok(())
    }

    /// Has it lie in a piece that holds so many bytes.
    fn store(&mut self, store: &Arc<Store>, most: u64) -> Result<(), Errno> {
        if matches!(self, Small::Stored(piece, _) if piece.holds(most)) {
            return Ok(());
        }
        let mut piece = store.piece(most.max(self.len()))?;
        self.copy(|bytes, at| piece.write(bytes, at))?;
        *self = Small::Stored(piece, self.len());
        Ok(())
    }

    /// Copies it into a file.
    pub(super) fn copy_to(&self, file: &OwnedFd) -> Result<(), Errno> {
        self.copy(|bytes, at| rustix::io::pwrite(file, bytes, at))
    }

    fn copy(&self, mut write: impl FnMut(&[u8], u64) -> Result<usize, Errno>) -> Result<(), Errno> {
        let length = self.len();
        let most = usize::try_from(length.min(AT_ONCE)).unwrap_or(0);
        let (mut bytes, mut at) = (vec![0; most], 0);
        while at < length {
            let count = self.read(&mut bytes, at)?;
            let mut rest = bytes.get(..count).filter(|rest| !rest.is_empty()).ok_or(Errno::IO)?;
            while !rest.is_empty() {
                let done = write(rest, at)?;
                if done == 0 {
                    return Err(Errno::IO);
                }
                at += done as u64;
                rest = rest.get(done..).unwrap_or_default();
            }
        }
        Ok(())
    }
}
