//! Ids and names of containers.

use std::fmt::Write as _;

use rustix::rand::{GetRandomFlags, getrandom};

/// The kernel gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("cannot get random bytes for an id: {0}")]
pub struct RandomError(#[from] rustix::io::Errno);

/// How long the short form of an id is.
pub const SHORT: usize = 12;

/// A new id: 64 hex digits. Never all decimal in its short form, so that it
/// can't be taken for a number.
///
/// # Errors
/// [`RandomError`].
pub fn new_id() -> Result<String, RandomError> {
    loop {
        let mut id = String::with_capacity(64);
        for byte in random::<32>()? {
            let _ = write!(id, "{byte:02x}");
        }
        if short(&id).bytes().any(|b| b.is_ascii_alphabetic()) {
            return Ok(id);
        }
    }
}

/// The short form of an id.
#[must_use]
pub fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

/// A made-up name, such as `patient_harbour`. With `retry` above 0 it ends in
/// a digit, so that there is always a free one.
///
/// # Errors
/// [`RandomError`].
pub fn new_name(retry: u32) -> Result<String, RandomError> {
    let [a, b, c, d] = random::<4>()?;
    let pick = |list: &[&'static str], high: u8, low: u8| {
        let index = usize::from(u16::from_be_bytes([high, low])) % list.len().max(1);
        list.get(index).copied().unwrap_or("plain")
    };
    let name = format!("{}_{}", pick(&ADJECTIVES, a, b), pick(&NOUNS, c, d));
    if retry == 0 {
        Ok(name)
    } else {
        Ok(format!("{name}{}", u32::from(a) % 10 + (retry - 1) * 10))
    }
}

/// Whether a container may be called so: at most 255 of `A-Z a-z 0-9 _ . -`,
/// the first one a letter or digit.
#[must_use]
pub fn is_name(name: &str) -> bool {
    name.len() <= 255
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn random<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += getrandom(rest, GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

const ADJECTIVES: [&str; 48] = [
    "amber", "ancient", "autumn", "brisk", "bronze", "calm", "candid", "clear", "copper", "cosy",
    "daring", "deft", "distant", "early", "fair", "fleet", "gentle", "golden", "hardy", "hidden",
    "humble", "keen", "lively", "lunar", "mellow", "merry", "misty", "modest", "nimble",
    "northern", "patient", "placid", "plucky", "polar", "quiet", "rapid", "rustic", "sandy",
    "silver", "sober", "solid", "steady", "stormy", "sunny", "swift", "tidal", "vivid", "windy",
];

const NOUNS: [&str; 48] = [
    "anchor",
    "barge",
    "beacon",
    "bollard",
    "bridge",
    "buoy",
    "canal",
    "capstan",
    "causeway",
    "cove",
    "crane",
    "current",
    "delta",
    "dock",
    "dredger",
    "estuary",
    "ferry",
    "fjord",
    "gantry",
    "groyne",
    "harbour",
    "hawser",
    "island",
    "jetty",
    "keel",
    "lagoon",
    "lantern",
    "lighthouse",
    "lock",
    "mooring",
    "packet",
    "pennant",
    "pier",
    "pilot",
    "pontoon",
    "quay",
    "reef",
    "rudder",
    "sandbank",
    "schooner",
    "shoal",
    "sluice",
    "strait",
    "tender",
    "tide",
    "tugboat",
    "weir",
    "wharf",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_well_formed() {
        let id = new_id().unwrap();
        assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(id, new_id().unwrap());
        assert_eq!(short(&id).len(), SHORT);
        for retry in 0..3 {
            assert!(is_name(&new_name(retry).unwrap()));
        }
        for bad in ["", "-ab", ".ab", "a/b", "a b", "é1", &"x".repeat(256)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
