//! Watching processes from outside.

use std::time::{Duration, Instant};

/// Fails the test unless `condition` becomes true within ten seconds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "it never came to this: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The value after `name:` in a text like `/proc/<pid>/status`.
#[track_caller]
pub fn proc_field(text: &str, name: &str) -> String {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("no {name} in {text:?}")).trim().to_owned()
}
