//! How layers are unpacked by the user that this process runs as.

use crate::unpack::{Limits, Ownership, UnpackOptions};

/// Root of the host keeps owners and marks as they are. Root of a user
/// namespace keeps owners if several ids are mapped, and marks for overlay
/// mounts of that namespace. Everybody else owns all that is unpacked.
pub(crate) fn for_this_process(max_layer_bytes: u64) -> UnpackOptions {
    let root = rustix::process::geteuid().is_root();
    let mapped = std::fs::read_to_string("/proc/self/uid_map").map(|map| mapped(&map));
    let mut options = match mapped.unwrap_or(Mapped::All) {
        Mapped::All if root => UnpackOptions::privileged(),
        Mapped::Several if root => UnpackOptions::rootless(Ownership::AsIs),
        _ => UnpackOptions::rootless(Ownership::Flatten),
    };
    options.limits = Limits { total_bytes: max_layer_bytes, ..Limits::default() };
    options
}

#[derive(Debug, PartialEq, Eq)]
enum Mapped {
    /// As in the first user namespace.
    All,
    Several,
    One,
}

fn mapped(map: &str) -> Mapped {
    let mut ids = 0_u64;
    for line in map.lines() {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let [inside, outside, count] = numbers.as_slice() else { continue };
        if (*inside, *outside) == (0, 0) && *count >= u64::from(u32::MAX) {
            return Mapped::All;
        }
        ids = ids.saturating_add(*count);
    }
    if ids > 1 { Mapped::Several } else { Mapped::One }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_understood() {
        assert_eq!(mapped("         0          0 4294967295\n"), Mapped::All);
        assert_eq!(mapped("0 1000 1\n1 100000 65536\n"), Mapped::Several);
        assert_eq!(mapped("0 1000 1\n"), Mapped::One);
    }
}
