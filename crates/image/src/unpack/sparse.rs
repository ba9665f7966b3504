//! Maps of sparse files: old GNU headers, and PAX 0.0, 0.1 and 1.0 (tar(5),
//! GNU tar manual, "Storing Sparse Files").

use super::error::ArchiveFault;
use super::number;

/// A stretch of data in a sparse file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub len: u64,
}

/// Offset and length fields of the old GNU format, 12 bytes each.
const OLD_GNU_PIECE: usize = 24;

/// Adds the pieces of an old GNU header, or of a block that continues it, to
/// `map`. A piece of nothing at offset 0 ends the list.
pub(crate) fn read_old_gnu(
    area: &[u8],
    map: &mut Vec<Piece>,
    max: usize,
) -> Result<(), ArchiveFault> {
    for slot in area.chunks_exact(OLD_GNU_PIECE) {
        let (offset, len) = slot.split_at(OLD_GNU_PIECE / 2);
        if offset.first() == Some(&0) {
            break;
        }
        let number = |bytes| {
            number::field(bytes)
                .and_then(|n| u64::try_from(n).ok())
                .ok_or(ArchiveFault::Sparse("an offset or length is no number"))
        };
        push(map, Piece { offset: number(offset)?, len: number(len)? }, max)?;
    }
    Ok(())
}

/// Reads the value of `GNU.sparse.map`: offset, length, offset, length …
pub(crate) fn read_list(list: &[u8], max: usize) -> Result<Vec<Piece>, ArchiveFault> {
    let mut map = Vec::new();
    if list.is_empty() {
        return Ok(map);
    }
    let mut numbers = list.split(|byte| *byte == b',');
    while let Some(offset) = numbers.next() {
        let len = numbers.next().ok_or(ArchiveFault::Sparse("an offset without a length"))?;
        let number = |bytes| {
            number::decimal(bytes).ok_or(ArchiveFault::Sparse("an offset or length is no number"))
        };
        push(&mut map, Piece { offset: number(offset)?, len: number(len)? }, max)?;
    }
    Ok(map)
}

pub(crate) fn push(map: &mut Vec<Piece>, piece: Piece, max: usize) -> Result<(), ArchiveFault> {
    if map.len() >= max {
        return Err(ArchiveFault::Limit {
            what: "pieces of a sparse file",
            found: u64::try_from(map.len()).unwrap_or(u64::MAX).saturating_add(1),
            limit: u64::try_from(max).unwrap_or(u64::MAX),
        });
    }
    map.push(piece);
    Ok(())
}

/// The pieces are in order, don't overlap, lie inside the file, and are as
/// much data as is stored.
pub(crate) fn check(map: &[Piece], file_size: u64, stored: u64) -> Result<(), ArchiveFault> {
    let mut end = 0_u64;
    let mut data = 0_u64;
    for piece in map {
        if piece.offset < end {
            return Err(ArchiveFault::Sparse("pieces overlap or are out of order"));
        }
        end = piece
            .offset
            .checked_add(piece.len)
            .filter(|end| *end <= file_size)
            .ok_or(ArchiveFault::Sparse("a piece lies beyond the end of the file"))?;
        data = data.saturating_add(piece.len);
    }
    if data == stored {
        Ok(())
    } else {
        Err(ArchiveFault::Sparse("the pieces are not as long as the data that is stored"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn piece(offset: u64, len: u64) -> Piece {
        Piece { offset, len }
    }

    #[test]
    fn lists() {
        assert_eq!(read_list(b"0,512,4096,7", 9).unwrap(), [piece(0, 512), piece(4096, 7)]);
        assert!(read_list(b"", 9).unwrap().is_empty());
        for bad in [&b"1"[..], b"1,", b"1,2,", b"a,1", b"1,-1"] {
            assert!(read_list(bad, 9).is_err(), "{bad:?}");
        }
        assert!(read_list(b"0,1,2,1,4,1", 2).is_err());
    }

    #[test]
    fn maps_that_lie() {
        assert!(check(&[piece(0, 5), piece(10, 5)], 20, 10).is_ok());
        assert!(check(&[piece(20, 0)], 20, 0).is_ok());
        assert!(check(&[piece(10, 5), piece(0, 5)], 20, 10).is_err());
        assert!(check(&[piece(0, 5), piece(4, 5)], 20, 10).is_err());
        assert!(check(&[piece(0, 21)], 20, 21).is_err());
        assert!(check(&[piece(u64::MAX, 2)], 20, 2).is_err());
        assert!(check(&[piece(0, 5)], 20, 6).is_err());
    }
}
