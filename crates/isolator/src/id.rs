//! Names of sandboxes and containers.

use std::fmt;
use std::str::FromStr;

/// A sandbox's or container's name: 1 to 255 bytes of `A-Z a-z 0-9 _ + - .`,
/// but not `.` or `..`. It is therefore always one path component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

/// Why a string is no [`ContainerId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid id format: container id {0:?} must be 1 to 255 of A-Z a-z 0-9 _ + - . and not . or .."
)]
pub struct InvalidId(String);

impl ContainerId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'-' | b'.');
        let well_formed = !text.is_empty() && text.len() <= 255 && text.bytes().all(allowed);
        if well_formed && text != "." && text != ".." {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId(text.chars().take(300).collect()))
        }
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::ContainerId;

    #[test]
    fn ids_are_single_path_components() {
        for good in ["a", "A-b_c.d+e", "...", "0123", &"x".repeat(255)] {
            assert_eq!(good.parse::<ContainerId>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "/", "a b", "é", "a\0", &"x".repeat(256)] {
            assert!(bad.parse::<ContainerId>().is_err(), "{bad:?}");
        }
    }
}
