//! How a command ends when it did not do what was asked.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use caisson_node::lifecycle::StartError;

use crate::advice;

/// Exit codes, docker's.
pub(crate) mod code {
    /// What was asked can't be done.
    pub(crate) const GENERAL: u8 = 1;
    /// The command line is malformed; for `run`, `exec` and their kin also
    /// that the engine failed before the container's program began.
    pub(crate) const USAGE: u8 = 125;
}

/// Why a command failed, in the words the user sees, and its exit code.
///
/// Any error turns into one by `?`: its chain of causes becomes the message,
/// and [`advice`] adds what to do next.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: Option<String>,
    hint: Option<String>,
}

impl Failure {
    /// A failure that says `message` and exits with 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { code: code::GENERAL, message: Some(message.into()), hint: None }
    }

    /// A malformed request: exits with 125.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(message).with_code(code::USAGE)
    }

    /// The engine's error where a container was to be made: exits with 125.
    pub(crate) fn of_engine<E: Error + 'static>(error: E) -> Self {
        Self::from(error).with_code(code::USAGE)
    }

    /// A container that did not start: exits with 125, 126 or 127.
    pub(crate) fn of_start(error: StartError) -> Self {
        let code = error.exit_code();
        Self::from(error).with_code(code)
    }

    /// Ends with `code` and says nothing: the container's own exit status, or
    /// several failures that were reported one by one.
    pub(crate) fn silent(code: u8) -> Self {
        Self { code, message: None, hint: None }
    }

    /// The same with another exit code.
    pub(crate) fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// The same with what to do next, below what was said of that before.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        self.hint = Some(match self.hint.take() {
            Some(before) => format!("{before}\n{hint}"),
            None => hint,
        });
        self
    }

    /// The exit code.
    #[cfg(test)]
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// Writes the message to standard error and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        // A closed standard error leaves only the exit code to tell.
        let _ = std::io::stderr().write_all(self.text().as_bytes());
        ExitCode::from(self.code)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if let Some(message) = &self.message {
            text = format!("caisson: {message}\n");
        }
        if let Some(hint) = &self.hint {
            for line in hint.lines() {
                text.push_str(&format!("  {line}\n"));
            }
        }
        text
    }
}

/// Does `work` for each of `items`, all of them whatever happens. What fails is
/// told at once where there are several; the exit code is that of the last.
pub(crate) fn each<T: AsRef<str>>(
    items: &[T],
    mut work: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut failed = None;
    for item in items {
        match work(item.as_ref()) {
            Err(failure) if items.len() > 1 && failure.message.is_some() => {
                failure.report();
                failed = Some(Failure::silent(failure.code));
            }
            Err(failure) => return Err(failure),
            Ok(()) => {}
        }
    }
    failed.map_or(Ok(()), Err)
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let failure = Self::new(chain(&error));
        match advice::next_step(&error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// The error and its causes in one line, in the kernel's own words.
fn chain(error: &dyn Error) -> String {
    without_numbers(&caisson_node::error_chain(error))
}

/// Without the "(os error 2)" behind the kernel's own words.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        match rest.strip_prefix(')') {
            Some(rest) => clean.push_str(rest),
            None => clean.push_str(&format!(" (os error {part}")),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the list")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_told_and_not_twice() {
        let cause = || std::io::Error::other("disk on fire");
        let text = Failure::from(Outer(cause())).text();
        assert_eq!(text, "caisson: cannot read the list: disk on fire\n");
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read: {0}")]
        struct Said(#[source] std::io::Error);
        assert_eq!(Failure::from(Said(cause())).text(), "caisson: cannot read: disk on fire\n");
    }

    #[test]
    fn numbers_of_errors_are_left_out() {
        let error = std::io::Error::from_raw_os_error(2);
        assert_eq!(chain(&Outer(error)), "cannot read the list: No such file or directory");
        assert_eq!(without_numbers("a (os error x) b"), "a (os error x) b");
    }

    #[test]
    fn each_is_tried() {
        let mut tried = Vec::new();
        let result = each(&["a", "b", "c"], |item| {
            tried.push(item.to_owned());
            if item == "b" { Err(Failure::new("no").with_code(3)) } else { Ok(()) }
        });
        assert_eq!(tried, ["a", "b", "c"]);
        assert_eq!(result.unwrap_err().code(), 3);
    }

    #[test]
    fn hints_stand_below_and_silence_is_silent() {
        let text = Failure::usage("no").hint("try\nthis").text();
        assert_eq!(text, "caisson: no\n  try\n  this\n");
        assert_eq!(Failure::silent(7).text(), "");
        assert_eq!(Failure::silent(7).code(), 7);
    }
}
