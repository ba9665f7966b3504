//! A finding, and the checks that all sections share.

use crate::error::ConfigError;
use std::fmt::Display;

/// What is wrong, with a JSON path relative to the value that was checked.
#[derive(Debug)]
pub(super) struct Fault {
    path: String,
    reason: String,
}

pub(super) type Check = Result<(), Fault>;

impl Fault {
    pub(super) fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }

    /// The same, seen from the value that has the checked one at `prefix`.
    pub(super) fn under(self, prefix: impl Display) -> Self {
        let joint = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        Self { path: format!("{prefix}{joint}{}", self.path), reason: self.reason }
    }

    pub(super) fn in_document(self, document: &str) -> ConfigError {
        ConfigError::Invalid { document: document.to_owned(), path: self.path, reason: self.reason }
    }
}

/// A finding, as an error.
pub(super) fn fault(path: impl Into<String>, reason: impl Into<String>) -> Check {
    Err(Fault::new(path, reason))
}

/// Runs a check on every element of the list `name`.
pub(super) fn each<T>(name: &str, items: &[T], check: impl Fn(&T) -> Check) -> Check {
    for (index, item) in items.iter().enumerate() {
        check(item).map_err(|fault| fault.under(format_args!("{name}[{index}]")))?;
    }
    Ok(())
}

/// Refuses NUL, which no string that goes to the kernel can hold.
pub(super) fn text(path: &str, value: &str) -> Check {
    if value.as_bytes().contains(&0) { fault(path, "contains a NUL byte") } else { Ok(()) }
}

/// [`text`] for a list.
pub(super) fn texts(name: &str, values: &[String]) -> Check {
    each(name, values, |value| text("", value))
}

/// Requires an absolute path.
pub(super) fn absolute(path: &str, value: &str) -> Check {
    text(path, value)?;
    if value.is_empty() {
        return fault(path, "missing");
    }
    if value.starts_with('/') {
        return Ok(());
    }
    fault(path, format!("{value:?} is not an absolute path"))
}

/// Requires `NAME=value` of every entry.
pub(super) fn environment(name: &str, entries: &[String]) -> Check {
    each(name, entries, |entry| {
        text("", entry)?;
        match entry.find('=') {
            None => fault("", format!("{entry:?} has no '='")),
            Some(0) => fault("", format!("{entry:?} has no name before '='")),
            Some(_) => Ok(()),
        }
    })
}
