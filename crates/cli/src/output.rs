//! Standard output: text, JSON, tables.
//!
//! A command's result goes to standard output by the functions here and by
//! [`listing`]; everything else it has to say goes to standard error.

pub(crate) mod filters;
pub(crate) mod listing;
pub(crate) mod patterns;
pub(crate) mod sizes;
pub(crate) mod times;

use std::io::{self, Write as _};

use serde::Serialize;

use crate::failure::Failure;

/// What a shell shows for a program that SIGPIPE ended.
const READER_GONE: u8 = 141;

/// `--format` of a command that shows one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ObjectFormat {
    /// Indented JSON.
    Json,
}

/// Standard output does not take what is written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
struct WriteError(#[source] io::Error);

/// Writes all of `bytes`. Where the reader has gone away (`| head`), the
/// command ends without a message.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(Failure::silent(READER_GONE))
        }
        Err(error) => Err(WriteError(error).into()),
    }
}

/// Writes `text` as it is: a line needs its newline.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

/// Writes `value` as indented JSON and a newline.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<(), Failure> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    bytes(&text)
}

/// `text` fit for a terminal: control characters, which an image's or a
/// registry's author could have put there, are shown as escapes.
pub(crate) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

#[cfg(test)]
mod tests {
    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(super::printable("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(super::printable("grün"), "grün");
    }
}
