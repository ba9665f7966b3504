//! Paths as archives have them, checked before anything is done with them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::EntryFault;
use super::limits::Limits;

/// Prefix of whiteouts (OCI image-spec, layer.md, "Whiteouts").
pub(crate) const WHITEOUT: &[u8] = b".wh.";
/// Marks a directory as opaque.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Prefix of what AUFS kept for itself.
const AUFS: &[u8] = b".wh..wh.";
/// `NAME_MAX` of Linux.
const NAME_BYTES: usize = 255;

/// A path relative to the layer's root: plain names with one `/` between
/// them. Empty: the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RelPath(Vec<u8>);

impl RelPath {
    /// An absolute path is taken relative to the root; `.` and doubled
    /// slashes fall away.
    ///
    /// Errors: `..`, a NUL byte, empty, too long, too deep.
    pub(crate) fn new(raw: &[u8], what: &'static str, limits: &Limits) -> Result<Self, EntryFault> {
        if raw.is_empty() {
            return Err(EntryFault::BadPath("the path (or link target) is empty"));
        }
        if raw.contains(&0) {
            return Err(EntryFault::BadPath("the path (or link target) contains a NUL byte"));
        }
        check("bytes of a path", raw.len(), limits.path_bytes)?;
        let mut path = Self(Vec::with_capacity(raw.len()));
        let mut depth = 0;
        for name in names(raw) {
            if name == b".." {
                return Err(EntryFault::ParentReference(what));
            }
            check("bytes of a name in the path", name.len(), NAME_BYTES)?;
            depth += 1;
            path.push(name);
        }
        check("components of a path", depth, limits.path_depth)?;
        Ok(path)
    }

    pub(crate) fn push(&mut self, name: &[u8]) {
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The parent's path and the last name; `None` for the root.
    pub(crate) fn split(&self) -> Option<(&[u8], &[u8])> {
        if self.0.is_empty() {
            return None;
        }
        match self.0.iter().rposition(|byte| *byte == b'/') {
            None => Some((b"", &self.0)),
            Some(slash) => {
                let (parent, name) = self.0.split_at(slash);
                Some((parent, name.get(1..)?))
            }
        }
    }

    /// For messages.
    pub(crate) fn shown(&self) -> PathBuf {
        shown(&self.0)
    }
}

/// Components but `.` and nothing.
pub(crate) fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !matches!(name, [] | [b'.']))
}

pub(crate) fn path_of(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// For messages: a hostile path may be very long.
pub(crate) fn shown(path: &[u8]) -> PathBuf {
    const SHOWN: usize = 240;
    match path.split_at_checked(SHOWN) {
        Some((begin, rest)) if !rest.is_empty() => {
            path_of(&[begin, "…".as_bytes()].concat()).to_owned()
        }
        _ => path_of(path).to_owned(),
    }
}

fn check(what: &'static str, found: usize, limit: usize) -> Result<(), EntryFault> {
    if found > limit {
        Err(EntryFault::Limit { what, found: found as u64, limit: limit as u64 })
    } else {
        Ok(())
    }
}

/// What an entry's name says beyond naming a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning<'a> {
    /// A file like any other.
    Plain,
    /// This name of the same directory is gone.
    Whiteout(&'a [u8]),
    /// The directory hides what lower layers have in it.
    Opaque,
    /// AUFS's own; nothing to us.
    Aufs,
}

/// Reads the names of a path for whiteouts.
///
/// Errors: a reserved name on the way, a whiteout of `.`, `..` or nothing.
pub(crate) fn meaning(path: &RelPath) -> Result<Meaning<'_>, EntryFault> {
    // The common case, at one scan.
    if !path.as_bytes().windows(WHITEOUT.len()).any(|window| window == WHITEOUT) {
        return Ok(Meaning::Plain);
    }
    let Some((parent, name)) = path.split() else { return Ok(Meaning::Plain) };
    for above in names(parent) {
        if above.starts_with(AUFS) {
            return Ok(Meaning::Aufs);
        }
        if above.starts_with(WHITEOUT) {
            return Err(EntryFault::ReservedName(path_of(above).to_owned()));
        }
    }
    if name == OPAQUE {
        return Ok(Meaning::Opaque);
    }
    if name.starts_with(AUFS) {
        return Ok(Meaning::Aufs);
    }
    match name.strip_prefix(WHITEOUT) {
        None => Ok(Meaning::Plain),
        Some(b"" | b"." | b"..") => Err(EntryFault::BadWhiteout),
        Some(hidden) => Ok(Meaning::Whiteout(hidden)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rel(raw: &[u8]) -> Result<RelPath, EntryFault> {
        RelPath::new(raw, "the path", &Limits::default())
    }

    #[test]
    fn paths_become_relative_or_are_refused() {
        for (raw, want) in [
            (&b"a/b"[..], &b"a/b"[..]),
            (b"./a//b/", b"a/b"),
            (b"/etc/passwd", b"etc/passwd"),
            (b"./", b""),
            (b"/", b""),
            (b"...", b"..."),
            (b"a/..b", b"a/..b"),
        ] {
            assert_eq!(rel(raw).unwrap().as_bytes(), want);
        }
        for bad in [&b""[..], b"..", b"a/../b", b"/..", b"a/..", b"a\0b", &[b'a'; 256]] {
            assert!(rel(bad).is_err(), "{bad:?}");
        }
        assert!(rel(&b"a/".repeat(513)).is_err());
    }

    #[test]
    fn whiteouts() {
        let read = |raw: &[u8]| {
            meaning(&rel(raw).unwrap()).map(|m| format!("{m:?}")).map_err(|e| e.to_string())
        };
        assert_eq!(read(b"a/.wh.b").unwrap(), format!("{:?}", Meaning::Whiteout(b"b")));
        assert_eq!(read(b".wh..b").unwrap(), format!("{:?}", Meaning::Whiteout(b".b")));
        assert_eq!(read(b"a/.wh..wh..opq").unwrap(), "Opaque");
        assert_eq!(read(b".wh..wh.plnk/1.2").unwrap(), "Aufs");
        assert_eq!(read(b".wh..wh.aufs").unwrap(), "Aufs");
        assert_eq!(read(b"a.wh.b").unwrap(), "Plain");
        for bad in [&b"a/.wh."[..], b".wh..", b"a/.wh...", b"a/.wh.b/c"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
