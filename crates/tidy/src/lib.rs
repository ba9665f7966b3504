//! The house rules of the workspace, as code that tests can call.
//!
//! A rule takes text and returns [`Finding`]s. Nothing here knows the
//! repository; the tests under `tests/` do: they walk its files, apply the
//! rules, and compare with the two lists beside this crate's manifest:
//! `exceptions.txt` (which file may break which rule, and why) and
//! `ratchet.toml` (counts that may only fall).

pub mod exceptions;
pub mod layering;
pub mod mask;
pub mod ratchet;
pub mod rules;
pub mod tables;
pub mod tree;
pub mod words;

use std::fmt;

/// One breach of one rule in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Short name of the rule, as used in `exceptions.txt`.
    pub rule: &'static str,
    /// Path relative to the repository's root.
    pub path: String,
    /// Line, counted from one; zero where the whole file is meant.
    pub line: usize,
    /// What is wrong and what to do instead.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, path, line, message } = self;
        if *line == 0 {
            write!(f, "{path}: [{rule}] {message}")
        } else {
            write!(f, "{path}:{line}: [{rule}] {message}")
        }
    }
}
