//! Pieces of the guest's memory that a call sends from or receives into.

use rustix::io::Errno;

use crate::net::Received;
use crate::platform::GuestMemory;

/// Most bytes of one call (`MAX_RW_COUNT`).
const MOST: u64 = 0x7fff_f000;
const VECTORS: u64 = 1024;

/// Pieces of the guest's memory, one after the other.
pub(super) struct Span {
    parts: Vec<(u64, u64)>,
    pub(super) left: u64,
}

impl Span {
    pub(super) fn one(address: u64, length: u64) -> Self {
        let length = length.min(MOST);
        Span { parts: vec![(address, length)], left: length }
    }

    /// Pieces by address and length.
    pub(super) fn of(mut parts: Vec<(u64, u64)>) -> Self {
        let mut left = 0;
        for (_, length) in &mut parts {
            *length = (*length).min(MOST - left);
            left += *length;
        }
        parts.reverse();
        Span { parts, left }
    }

    /// `struct iovec`s.
    pub(super) fn vectors(memory: &GuestMemory, address: u64, count: u64) -> Result<Self, Errno> {
        if count > VECTORS {
            return Err(Errno::MSGSIZE);
        }
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(0) * 16];
        memory.read(address, &mut bytes)?;
        let word = |part: &[u8]| part.try_into().map_or(0, u64::from_le_bytes);
        let mut parts = Vec::new();
        for vector in bytes.chunks_exact(16) {
            let (base, length) = vector.split_at(8);
            let length = word(length);
            if length.cast_signed() < 0 {
                return Err(Errno::INVAL);
            }
            parts.push((word(base), length));
        }
        Ok(Span::of(parts))
    }

    /// Runs `f` on the next `count` bytes, piece by piece, and goes on behind them.
    pub(super) fn step(
        &mut self,
        mut count: u64,
        mut f: impl FnMut(u64, usize) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        while count > 0 {
            let Some((address, length)) = self.parts.pop() else { return Ok(()) };
            let part = length.min(count);
            f(address, usize::try_from(part).unwrap_or(0))?;
            if part < length {
                self.parts.push((address.wrapping_add(part), length - part));
            }
            count -= part;
            self.left -= part;
        }
        Ok(())
    }

    pub(super) fn gather(&mut self, memory: &GuestMemory, count: u64) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; usize::try_from(count.min(self.left)).unwrap_or(0)];
        let mut at = 0;
        self.step(count.min(self.left), |address, length| {
            let part = bytes.get_mut(at..at + length).ok_or(Errno::FAULT)?;
            at += length;
            Ok(memory.read(address, part)?)
        })?;
        Ok(bytes)
    }

    /// Writes what was received.
    ///
    /// # Errors
    /// If memory can't be written: how many pieces could be written as a whole.
    pub(super) fn scatter(
        &mut self,
        memory: &GuestMemory,
        received: &Received,
    ) -> Result<(), usize> {
        for (index, (bytes, start)) in received.pieces.iter().enumerate() {
            let mut rest = bytes.get(*start..).unwrap_or_default();
            let written = self.step(rest.len() as u64, |address, length| {
                let (now, later) = rest.split_at_checked(length).ok_or(Errno::FAULT)?;
                rest = later;
                Ok(memory.write(address, now)?)
            });
            written.map_err(|_| index)?;
        }
        Ok(())
    }
}
