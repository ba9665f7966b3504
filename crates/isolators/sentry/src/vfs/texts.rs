//! What is read of texts, and from them.

use rustix::io::Errno;

/// Gives what a text has from `offset` on, as far as there is room; how much that is.
pub(super) fn read_text(text: &[u8], into: &mut [u8], offset: u64) -> usize {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let rest = text.get(start..).unwrap_or_default();
    let count = rest.len().min(into.len());
    if let (Some(to), Some(from)) = (into.get_mut(..count), rest.get(..count)) {
        to.copy_from_slice(from);
    }
    count
}

/// The number that a text is, with spaces around it.
///
/// # Errors
/// `EINVAL` if it is none.
pub(super) fn read_number<T: std::str::FromStr>(text: &[u8]) -> Result<T, Errno> {
    let text = std::str::from_utf8(text).ok();
    text.and_then(|text| text.trim().parse().ok()).ok_or(Errno::INVAL)
}
