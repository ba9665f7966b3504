//! Maps of ids as they are written: user_namespaces(7).

use rustix::io::Errno;

/// Ranges of a map.
const MOST: usize = 340;

/// Ids inside from `inside` on are those from `outside` on of the first namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) inside: u32,
    pub(super) outside: u32,
    pub(super) count: u32,
}

/// The ranges that a text has.
///
/// # Errors
/// `EINVAL` if it is no map.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Range>, Errno> {
    let text = std::str::from_utf8(text).map_err(|_| Errno::INVAL)?;
    let mut ranges: Vec<Range> = Vec::new();
    for line in text.lines() {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        let mut next = || numbers.next().and_then(Result::ok).ok_or(Errno::INVAL);
        let range = Range { inside: next()?, outside: next()?, count: next()? };
        if numbers.next().is_some() || range.count == 0 {
            return Err(Errno::INVAL);
        }
        let end = |start: u32| start.checked_add(range.count).ok_or(Errno::INVAL);
        let (inside, outside) = (end(range.inside)?, end(range.outside)?);
        let clash = ranges.iter().any(|other| {
            (range.inside < other.inside + other.count && other.inside < inside)
                || (range.outside < other.outside + other.count && other.outside < outside)
        });
        if clash || ranges.len() >= MOST {
            return Err(Errno::INVAL);
        }
        ranges.push(range);
    }
    if ranges.is_empty() { Err(Errno::INVAL) } else { Ok(ranges) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_map_is_none() {
        for bad in [
            &b""[..],
            b"0 0",
            b"0 0 0",
            b"0 0 1 1",
            b"x 0 1",
            b"4294967295 0 2",
            b"0 0 2\n1 5 1",
            b"0 0 2\n5 1 1",
            b"-1 0 1",
        ] {
            assert_eq!(parse(bad), Err(Errno::INVAL), "{bad:?}");
        }
    }
}
