//! `ociVersion`.

use super::fault::{Check, fault};

/// Accepts every version with the major number 1, with or without suffix
/// (`1.0.2-dev`): minor versions only add fields, and unknown fields are
/// ignored.
pub(super) fn check(version: &str) -> Check {
    if version.is_empty() {
        return fault("ociVersion", "missing");
    }
    match major(version) {
        Some(1) => Ok(()),
        Some(_) => fault("ociVersion", format!("{version:?} is not supported, only 1.x.y is")),
        None => fault("ociVersion", format!("{version:?} is not a version such as 1.3.0")),
    }
}

/// The major number of a semantic version.
fn major(version: &str) -> Option<u32> {
    let core = version.split(['-', '+']).next()?;
    // A separator must be followed by something.
    if version.len() == core.len() + 1 {
        return None;
    }
    let mut numbers = core.split('.').map(|number| {
        if number.bytes().all(|byte| byte.is_ascii_digit()) { number.parse().ok() } else { None }
    });
    let major: u32 = numbers.next()??;
    numbers.next()??;
    numbers.next()??;
    if numbers.next().is_some() { None } else { Some(major) }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn accepts_major_version_one() {
        for version in ["1.0.0", "1.0.2-dev", "1.1.0-rc.2", "1.2.1", "1.3.0+dev", "1.9.0"] {
            assert!(check(version).is_ok(), "{version}");
        }
        for version in
            ["", "1", "1.0", "1.0.x", "v1.0.0", "0.9.0", "2.0.0", "1.0.0.0", "1.0.0-", "1..0"]
        {
            assert!(check(version).is_err(), "{version}");
        }
    }
}
