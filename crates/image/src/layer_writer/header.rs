//! Header blocks of POSIX ustar, and PAX records for what does not fit.

use crate::unpack::{Time, Xattr};

const BLOCK: usize = 512;
/// The largest number of a field with seven octal digits, and with eleven.
const SEVEN_DIGITS: u64 = 0o7_777_777;
const ELEVEN_DIGITS: u64 = 0o77_777_777_777;

/// One entry to be written.
pub(super) struct NewEntry<'a> {
    /// Path; ends in `/` for directories.
    pub(super) path: &'a [u8],
    pub(super) type_flag: u8,
    pub(super) link: &'a [u8],
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) size: u64,
    pub(super) mtime: Time,
    pub(super) device: (u32, u32),
    pub(super) xattrs: &'a [Xattr],
}

struct Block([u8; BLOCK]);

impl Block {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (to, from) in self.0.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }

    /// `width` counts the terminating NUL.
    fn octal(&mut self, at: usize, width: usize, value: u64) {
        self.put(at, format!("{value:0digits$o}", digits = width - 1).as_bytes());
    }

    fn finish(mut self) -> [u8; BLOCK] {
        self.put(257, b"ustar\x0000");
        self.put(148, b"        ");
        let sum: u64 = self.0.iter().map(|byte| u64::from(*byte)).sum();
        self.octal(148, 7, sum);
        self.0
    }
}

/// Appends the header blocks of an entry to `out`.
pub(super) fn append(entry: &NewEntry<'_>, out: &mut Vec<u8>) {
    let mut block = Block([0; BLOCK]);
    let mut records = Vec::new();
    if entry.path.len() <= 100 {
        block.put(0, entry.path);
    } else if let Some((prefix, name)) = split_path(entry.path) {
        block.put(345, prefix);
        block.put(0, name);
    } else {
        record(&mut records, b"path", entry.path);
        block.put(0, entry.path.get(..100).unwrap_or_default());
    }
    if entry.link.len() > 100 {
        record(&mut records, b"linkpath", entry.link);
    }
    block.put(157, entry.link.get(..100).unwrap_or(entry.link));
    block.octal(100, 8, u64::from(entry.mode));
    for (at, width, key, value, max) in [
        (108, 8, "uid", u64::from(entry.owner.0), SEVEN_DIGITS),
        (116, 8, "gid", u64::from(entry.owner.1), SEVEN_DIGITS),
        (124, 12, "size", entry.size, ELEVEN_DIGITS),
    ] {
        if value > max {
            record(&mut records, key.as_bytes(), value.to_string().as_bytes());
        }
        block.octal(at, width, if value > max { 0 } else { value });
    }
    // Linux has 12 bits of major and 20 of minor numbers: they always fit.
    block.octal(329, 8, u64::from(entry.device.0));
    block.octal(337, 8, u64::from(entry.device.1));
    let whole = u64::try_from(entry.mtime.seconds).ok().filter(|s| *s <= ELEVEN_DIGITS);
    if whole.is_none() || entry.mtime.nanos != 0 {
        record(&mut records, b"mtime", decimal(entry.mtime).as_bytes());
    }
    block.octal(136, 12, whole.unwrap_or(0));
    block.put(156, &[entry.type_flag]);
    for (name, value) in entry.xattrs {
        record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    if !records.is_empty() {
        extended_header(entry, &records, out);
    }
    out.extend_from_slice(&block.finish());
}

fn extended_header(entry: &NewEntry<'_>, records: &[u8], out: &mut Vec<u8>) {
    let trimmed = entry.path.strip_suffix(b"/").unwrap_or(entry.path);
    let base = trimmed.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let mut block = Block([0; BLOCK]);
    block.put(0, b"PaxHeaders/");
    block.put(11, base.get(..80).unwrap_or(base));
    block.octal(100, 8, 0o644);
    for (at, width) in [(108, 8), (116, 8), (136, 12), (329, 8), (337, 8)] {
        block.octal(at, width, 0);
    }
    block.octal(124, 12, records.len() as u64);
    block.put(156, b"x");
    out.extend_from_slice(&block.finish());
    out.extend_from_slice(records);
    pad(records.len() as u64, out);
}

/// Zeros up to the next block.
pub(super) fn pad(len: u64, out: &mut Vec<u8>) {
    let rest = usize::try_from(len % BLOCK as u64).unwrap_or_default();
    if rest != 0 {
        out.resize(out.len() + BLOCK - rest, 0);
    }
}

/// At a slash, so that the end is at most 100 bytes long and not empty, and
/// the beginning at most 155.
fn split_path(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = path.len().checked_sub(101)?;
    let at =
        (first..path.len().checked_sub(1)?.min(156)).find(|at| path.get(*at) == Some(&b'/'))?;
    let (prefix, name) = path.split_at(at);
    (!prefix.is_empty()).then_some((prefix, name.get(1..)?))
}

/// `length key=value\n`; the length counts its own digits.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let bare = key.len() + value.len() + 3;
    let mut len = bare + 1;
    while bare + len.to_string().len() != len {
        len = bare + len.to_string().len();
    }
    out.extend_from_slice(len.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn decimal(time: Time) -> String {
    // Times before 1970 count down: -1.25 is -2 seconds and 0.75.
    let (sign, seconds, nanos) = match (time.seconds < 0, time.nanos) {
        (true, 0) => ("-", time.seconds.unsigned_abs(), 0),
        (true, nanos) => ("-", (time.seconds + 1).unsigned_abs(), 1_000_000_000 - nanos),
        (false, nanos) => ("", time.seconds.unsigned_abs(), nanos),
    };
    if nanos == 0 {
        return format!("{sign}{seconds}");
    }
    let text = format!("{sign}{seconds}.{nanos:09}");
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_lengths_count_themselves() {
        for value in 0..200 {
            let mut out = Vec::new();
            record(&mut out, b"k", &vec![b'v'; value]);
            let text = String::from_utf8(out).unwrap();
            let len: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(len, text.len());
        }
    }

    #[test]
    fn times() {
        let text = |seconds, nanos| decimal(Time { seconds, nanos });
        assert_eq!(text(7, 0), "7");
        assert_eq!(text(7, 500_000_000), "7.5");
        assert_eq!(text(-1, 0), "-1");
        assert_eq!(text(-2, 750_000_000), "-1.25");
        assert_eq!(text(-1, 999_999_999), "-0.000000001");
    }

    #[test]
    fn long_paths_are_split_where_both_halves_fit() {
        let path = [&[b'a'; 60][..], b"/", &[b'b'; 60]].concat();
        let (prefix, name) = split_path(&path).unwrap();
        assert_eq!((prefix.len(), name.len()), (60, 60));
        assert!(split_path(&[b'a'; 120]).is_none());
        let dir = [&[b'a'; 120][..], b"/"].concat();
        assert!(split_path(&dir).is_none());
        let deep = [&[b'a'; 160][..], b"/b"].concat();
        assert!(split_path(&deep).is_none());
    }
}
