//! Lists of CPUs and memory nodes such as `0-3,8`.

use std::ops::RangeInclusive;

/// Highest CPU number that any Linux configuration has (`NR_CPUS` 8192).
pub const CPU_MAX: u32 = 8191;

/// Highest memory node that any Linux configuration has (`NODES_SHIFT` 10).
pub const NODE_MAX: u32 = 1023;

/// Why a list was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexListError {
    /// An element that is neither a number nor a range of numbers.
    #[error("{0:?} is neither a number nor a range of numbers")]
    Malformed(String),
    /// A range that ends before it begins.
    #[error("range {0:?} ends before it begins")]
    Reversed(String),
    /// A number above the limit.
    #[error("{0:?} is above the limit of {1}")]
    TooLarge(String, u32),
    /// A list without any number.
    #[error("names no number at all")]
    Empty,
}

/// Reads a list: numbers and ranges, separated by commas. Space around
/// elements and empty elements are permitted, as in runc.
///
/// # Errors
/// See [`IndexListError`].
pub fn parse(list: &str, max: u32) -> Result<Vec<RangeInclusive<u32>>, IndexListError> {
    let mut ranges = Vec::new();
    for element in list.split(',').map(str::trim).filter(|element| !element.is_empty()) {
        let (first, last) = element.split_once('-').unwrap_or((element, element));
        let number = |text: &str| -> Result<u32, IndexListError> {
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(IndexListError::Malformed(element.to_owned()));
            }
            match text.parse() {
                Ok(number) if number <= max => Ok(number),
                _ => Err(IndexListError::TooLarge(element.to_owned(), max)),
            }
        };
        let (first, last) = (number(first)?, number(last)?);
        if last < first {
            return Err(IndexListError::Reversed(element.to_owned()));
        }
        ranges.push(first..=last);
    }
    if ranges.is_empty() { Err(IndexListError::Empty) } else { Ok(ranges) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_and_ranges() {
        assert_eq!(parse("0-3, 8,", 10).unwrap(), [0..=3, 8..=8]);
        assert_eq!(parse("10", 10).unwrap(), [10..=10]);
    }

    #[test]
    fn refuses_the_rest() {
        for list in ["", ",", "a", "1-", "-1", "1-2-3", "+1", "0x1", "3-1", "11", "99999999999"] {
            assert!(parse(list, 10).is_err(), "{list}");
        }
    }
}
