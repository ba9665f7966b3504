//! `#!` lines.

/// What a script asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Path of the interpreter.
    pub interpreter: Vec<u8>,
    /// Its one argument.
    pub argument: Option<Vec<u8>>,
}

/// Bytes of a file's start that count (`BINPRM_BUF_SIZE`).
const LIMIT: usize = 256;

/// The interpreter that the start of a file names; `None` if it is no script,
/// or its line has none.
#[must_use]
pub fn parse(start: &[u8]) -> Option<Script> {
    let line = start.get(..start.len().min(LIMIT))?.strip_prefix(b"#!")?;
    let line = line.split(|b| *b == b'\n').next()?;
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    let trim = |bytes: &[u8]| {
        let start = bytes.iter().position(|b| !blank(b)).unwrap_or(bytes.len());
        let end = bytes.iter().rposition(|b| !blank(b)).map_or(start, |e| e + 1);
        bytes.get(start..end).unwrap_or_default().to_vec()
    };
    let line = trim(line);
    let end = line.iter().position(blank).unwrap_or(line.len());
    let (interpreter, rest) = line.split_at(end);
    if interpreter.is_empty() {
        return None;
    }
    let argument = trim(rest);
    let argument = (!argument.is_empty()).then_some(argument);
    Some(Script { interpreter: interpreter.to_vec(), argument })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_line_is_one_argument() {
        let script = parse(b"#! /bin/sh -e  -x \nrest").unwrap();
        assert_eq!(script.interpreter, b"/bin/sh");
        assert_eq!(script.argument.as_deref(), Some(&b"-e  -x"[..]));
        assert_eq!(parse(b"#!/bin/sh").unwrap().argument, None);
        assert_eq!(parse(b"#!\n"), None);
        assert_eq!(parse(b"\x7fELF"), None);
    }
}
