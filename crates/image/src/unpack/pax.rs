//! PAX extended headers (POSIX.1-2008, pax, "pax Extended Header"), with the
//! keys of GNU tar and star that matter.

use super::entry::{Time, Xattr};
use super::error::ArchiveFault;
use super::limits::Limits;
use super::number;
use super::sparse::{self, Piece};

const XATTR_KEY: &[u8] = b"SCHILY.xattr.";

/// What extended headers say about one entry; `None` where they don't.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    pub(crate) mtime: Option<Time>,
    pub(crate) atime: Option<Time>,
    pub(crate) xattrs: Vec<Xattr>,
    pub(crate) sparse: PaxSparse,
}

/// `GNU.sparse.*`.
#[derive(Clone, Debug, Default)]
pub(crate) struct PaxSparse {
    pub(crate) version: (Option<u64>, Option<u64>),
    pub(crate) name: Option<Vec<u8>>,
    /// `size` of 0.x, `realsize` of 1.0.
    pub(crate) real_size: Option<u64>,
    pub(crate) map: Option<Vec<Piece>>,
    pieces: Option<u64>,
    open_offset: Option<u64>,
}

impl PaxSparse {
    pub(crate) fn is_used(&self) -> bool {
        self.real_size.is_some() || self.map.is_some() || self.version.0.is_some()
    }
}

impl Pax {
    /// Reads the records of an extended header over what `self` has already.
    pub(crate) fn read(
        &mut self,
        mut data: &[u8],
        is_global: bool,
        limits: &Limits,
    ) -> Result<(), ArchiveFault> {
        while !data.is_empty() {
            let (key, value, rest) = split_record(data)?;
            if is_global && is_of_one_entry(key) {
                return Err(ArchiveFault::GlobalKey(String::from_utf8_lossy(key).into_owned()));
            }
            self.set(key, value, limits)?;
            data = rest;
        }
        if self.sparse.open_offset.is_some()
            || self.sparse.pieces.is_some_and(|announced| {
                self.sparse.map.as_ref().map_or(0, Vec::len) as u64 != announced
            })
        {
            return Err(ArchiveFault::Sparse("other pieces than announced"));
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8], limits: &Limits) -> Result<(), ArchiveFault> {
        match key {
            b"path" => self.path = text(value, "a PAX path")?,
            b"linkpath" => self.link = text(value, "a PAX linkpath")?,
            b"size" => self.size = whole(value, "size")?,
            b"uid" => self.uid = whole(value, "uid")?,
            b"gid" => self.gid = whole(value, "gid")?,
            b"mtime" => self.mtime = time(value, "mtime")?,
            b"atime" => self.atime = time(value, "atime")?,
            _ if key.starts_with(b"GNU.sparse.") => self.set_sparse(key, value, limits)?,
            _ => {
                if let Some(name) = key.strip_prefix(XATTR_KEY) {
                    self.set_xattr(name, value, limits)?;
                }
                // comment, ctime, uname, hdrcharset, SCHILY.acl.*,
                // LIBARCHIVE.xattr.* (which repeats SCHILY.xattr.*) …
            }
        }
        Ok(())
    }

    fn set_xattr(
        &mut self,
        name: &[u8],
        value: &[u8],
        limits: &Limits,
    ) -> Result<(), ArchiveFault> {
        if name.is_empty() || name.len() > 255 {
            return Err(ArchiveFault::Pax("the name of an extended attribute has 1 to 255 bytes"));
        }
        self.xattrs.retain(|(known, _)| known != name);
        self.xattrs.push((name.to_vec(), value.to_vec()));
        let bytes: usize = self.xattrs.iter().map(|(n, v)| n.len() + v.len()).sum();
        for (what, found, limit) in [
            ("extended attributes of an entry", self.xattrs.len(), limits.xattrs),
            ("bytes of an entry's extended attributes", bytes, limits.xattr_bytes),
        ] {
            if found > limit {
                return Err(ArchiveFault::Limit { what, found: found as u64, limit: limit as u64 });
            }
        }
        Ok(())
    }

    fn set_sparse(
        &mut self,
        key: &[u8],
        value: &[u8],
        limits: &Limits,
    ) -> Result<(), ArchiveFault> {
        let sparse = &mut self.sparse;
        match key {
            b"GNU.sparse.major" => sparse.version.0 = whole(value, "GNU.sparse.major")?,
            b"GNU.sparse.minor" => sparse.version.1 = whole(value, "GNU.sparse.minor")?,
            b"GNU.sparse.name" => sparse.name = text(value, "GNU.sparse.name")?,
            b"GNU.sparse.size" => sparse.real_size = whole(value, "GNU.sparse.size")?,
            b"GNU.sparse.realsize" => sparse.real_size = whole(value, "GNU.sparse.realsize")?,
            b"GNU.sparse.map" => {
                sparse.map = Some(sparse::read_list(value, limits.sparse_pieces)?);
            }
            b"GNU.sparse.numblocks" => {
                sparse.pieces = whole(value, "GNU.sparse.numblocks")?;
                sparse.map.get_or_insert_default();
            }
            b"GNU.sparse.offset" => {
                let offset = whole(value, "GNU.sparse.offset")?;
                if sparse.open_offset.is_some() || offset.is_none() {
                    return Err(ArchiveFault::Sparse("an offset without a length"));
                }
                sparse.open_offset = offset;
            }
            b"GNU.sparse.numbytes" => {
                let (Some(offset), Some(len)) =
                    (sparse.open_offset.take(), whole(value, "GNU.sparse.numbytes")?)
                else {
                    return Err(ArchiveFault::Sparse("a length without an offset"));
                };
                let map = sparse.map.get_or_insert_default();
                sparse::push(map, Piece { offset, len }, limits.sparse_pieces)?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Would change which bytes belong to which entry, for all that follow.
fn is_of_one_entry(key: &[u8]) -> bool {
    matches!(key, b"path" | b"linkpath" | b"size")
        || key.starts_with(b"GNU.sparse.")
        || key.starts_with(XATTR_KEY)
}

/// Key, value, and what follows the record.
type Record<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// `length key=value\n`, the length counting itself.
fn split_record(data: &[u8]) -> Result<Record<'_>, ArchiveFault> {
    let bad = ArchiveFault::Pax;
    let space = data
        .iter()
        .take(21)
        .position(|byte| *byte == b' ')
        .ok_or(bad("no length in front of it"))?;
    let (digits, _) = data.split_at(space);
    let len = number::decimal(digits)
        .and_then(|len| usize::try_from(len).ok())
        .ok_or(bad("its length is no number"))?;
    let (record, rest) = data.split_at_checked(len).ok_or(bad("it is longer than the header"))?;
    let body = record
        .get(space + 1..)
        .and_then(|body| body.strip_suffix(b"\n"))
        .ok_or(bad("it does not end in a newline where its length says"))?;
    let equals = body.iter().position(|byte| *byte == b'=').ok_or(bad("it has no `=`"))?;
    let (key, value) = body.split_at(equals);
    if key.is_empty() || key.contains(&0) {
        return Err(bad("its key is empty or has a NUL byte"));
    }
    Ok((key, value.get(1..).unwrap_or_default(), rest))
}

/// An empty value takes a record back.
fn text(value: &[u8], what: &'static str) -> Result<Option<Vec<u8>>, ArchiveFault> {
    if value.contains(&0) {
        return Err(ArchiveFault::Nul(what));
    }
    Ok(Some(value.to_vec()).filter(|v| !v.is_empty()))
}

fn whole(value: &[u8], field: &'static str) -> Result<Option<u64>, ArchiveFault> {
    if value.is_empty() {
        return Ok(None);
    }
    number::decimal(value).map(Some).ok_or_else(|| not_a_number(value, field))
}

fn not_a_number(value: &[u8], field: &'static str) -> ArchiveFault {
    let shown = value.get(..value.len().min(64)).unwrap_or_default();
    ArchiveFault::Number { field, value: String::from_utf8_lossy(shown).into_owned() }
}

/// Decimal seconds, perhaps negative, perhaps with a fraction, which is cut
/// to nanoseconds towards the past.
fn time(value: &[u8], field: &'static str) -> Result<Option<Time>, ArchiveFault> {
    if value.is_empty() {
        return Ok(None);
    }
    parse_time(value).map(Some).ok_or_else(|| not_a_number(value, field))
}

fn parse_time(value: &[u8]) -> Option<Time> {
    let (is_negative, digits) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut halves = digits.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(number::decimal(halves.next()?)?).ok()?;
    let fraction = halves.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanos = (0..9).fold(0_u32, |nanos, place| {
        nanos * 10 + fraction.get(place).map_or(0, |digit| u32::from(digit - b'0'))
    });
    if !is_negative {
        return Some(Time { seconds, nanos });
    }
    let has_more = fraction.iter().skip(9).any(|digit| *digit != b'0');
    match nanos + u32::from(has_more) {
        0 => Some(Time { seconds: -seconds, nanos: 0 }),
        below => Some(Time { seconds: (-seconds).checked_sub(1)?, nanos: 1_000_000_000 - below }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &[u8]) -> Result<Pax, ArchiveFault> {
        let mut pax = Pax::default();
        pax.read(data, false, &Limits::default()).map(|()| pax)
    }

    #[test]
    fn records() {
        let pax = read(b"12 path=a/b\n16 size=1234567\n6 k=\n").unwrap_err();
        assert!(matches!(pax, ArchiveFault::Pax(_)));
        let pax = read(b"12 path=a/b\n11 size=12\n30 SCHILY.xattr.user.x=a=b\0\n!\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(pax.size, Some(12));
        assert_eq!(pax.xattrs, [(b"user.x".to_vec(), b"a=b\0\n!".to_vec())]);
        for bad in [
            &b"x"[..],
            b"12 path=a/b",
            b"13 path=a/b\n",
            b"11 path=a/b\n",
            b"99999999999999999999 a=b\n",
            b"4 =\n\n",
            b"5 a\n\n\n",
            b"0 path=a\n",
            b"10 path=\0\n",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times() {
        let at = |text: &str| parse_time(text.as_bytes()).map(|t| (t.seconds, t.nanos));
        assert_eq!(at("1.5"), Some((1, 500_000_000)));
        assert_eq!(at("1700000000.123456789"), Some((1_700_000_000, 123_456_789)));
        assert_eq!(at("1.1234567899"), Some((1, 123_456_789)));
        assert_eq!(at("-1"), Some((-1, 0)));
        assert_eq!(at("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(at("-0.0000000001"), Some((-1, 999_999_999)));
        assert_eq!(at("7."), Some((7, 0)));
        for bad in ["", "-", ".5", "1.x", "1e3", "+1", "99999999999999999999"] {
            assert_eq!(at(bad), None, "{bad}");
        }
    }

    #[test]
    fn global_headers_may_not_move_data() {
        let mut pax = Pax::default();
        assert!(pax.read(b"11 size=12\n", true, &Limits::default()).is_err());
        assert!(pax.read(b"12 mtime=12\n", true, &Limits::default()).is_ok());
    }
}
