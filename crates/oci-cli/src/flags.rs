//! Flags as runc's callers write them.
//!
//! One dash or two before any name, `--name value` or `--name=value`, switches
//! as `--name` or `--name=false`, no clusters, `--` ends the flags. (A parser
//! with the usual Unix rules would read `-root` as five letters.)

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::failure::CliError;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing, or `=true` and `=false`.
    Switch,
    /// Any text; the last one counts.
    Text,
    /// A decimal number; the last one counts.
    Integer,
    /// Texts; all count.
    Texts,
    /// Decimal numbers; all count.
    Integers,
}

/// One flag of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
    pub(crate) hidden: bool,
}

impl Flag {
    pub(crate) const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { name, short: None, kind, help, hidden: false }
    }

    pub(crate) const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    /// Left out of help texts: without effect, kept for callers of old.
    pub(crate) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    fn answers_to(&self, name: &[u8]) -> bool {
        let mut letter = [0; 4];
        self.name.as_bytes() == name
            || self.short.is_some_and(|c| c.encode_utf8(&mut letter).as_bytes() == name)
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Parsed<'f> {
    values: Vec<(&'f Flag, OsString)>,
    positionals: Vec<OsString>,
}

/// Where flags end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlagsEnd {
    /// They may stand anywhere.
    Never,
    /// At the first positional argument; what follows is positional too.
    AtFirst,
    /// At the first positional argument, a command's name; what follows is
    /// left to the caller.
    AtCommand,
}

/// Reads flags and positional arguments.
pub(crate) fn parse<'f>(
    flags: &'f [Flag],
    args: &mut dyn Iterator<Item = OsString>,
    end: FlagsEnd,
) -> Result<Parsed<'f>, CliError> {
    let mut parsed = Parsed::default();
    while let Some(arg) = args.next() {
        let bytes = arg.as_bytes();
        let body = match bytes {
            b"--" => {
                parsed.positionals.extend(&mut *args);
                break;
            }
            [b'-', b'-', body @ ..] | [b'-', body @ ..] if !body.is_empty() => body,
            _ => {
                parsed.positionals.push(arg);
                match end {
                    FlagsEnd::Never => continue,
                    FlagsEnd::AtFirst => parsed.positionals.extend(&mut *args),
                    FlagsEnd::AtCommand => {}
                }
                break;
            }
        };
        let equals = body.iter().position(|b| *b == b'=');
        let (name, value) = match equals.and_then(|at| body.split_at_checked(at)) {
            Some((name, value)) => (name, value.get(1..)),
            None => (body, None),
        };
        let Some(flag) = flags.iter().find(|flag| flag.answers_to(name)) else {
            if matches!(name, b"help" | b"h") {
                return Err(CliError::HelpAsked);
            }
            let name = String::from_utf8_lossy(name);
            return Err(CliError::Usage(format!("flag provided but not defined: -{name}")));
        };
        let value = match (value, flag.kind) {
            (Some(value), _) => OsString::from_vec(value.to_vec()),
            (None, Kind::Switch) => OsString::from("true"),
            (None, _) => args.next().ok_or_else(|| {
                CliError::Usage(format!("flag needs an argument: -{}", flag.name))
            })?,
        };
        check_value(flag, &value)?;
        parsed.values.push((flag, value));
    }
    Ok(parsed)
}

fn check_value(flag: &Flag, value: &OsStr) -> Result<(), CliError> {
    let name = flag.name;
    let shown = value.to_string_lossy();
    match flag.kind {
        Kind::Switch if value.to_str().and_then(boolean).is_none() => Err(CliError::Usage(
            format!("invalid boolean value {shown:?} for -{name}: parse error"),
        )),
        Kind::Integer | Kind::Integers if integer(value).is_none() => {
            Err(CliError::Usage(format!("invalid value {shown:?} for flag -{name}: parse error")))
        }
        _ => Ok(()),
    }
}

fn integer(value: &OsStr) -> Option<i64> {
    value.to_str()?.parse().ok()
}

/// The spellings of a boolean that Go's `strconv.ParseBool` knows.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

impl Parsed<'_> {
    fn all(&self, name: &str) -> impl Iterator<Item = &OsString> {
        self.values.iter().filter(move |(flag, _)| flag.name == name).map(|(_, value)| value)
    }

    fn last(&self, name: &str) -> Option<&OsString> {
        self.values.iter().rev().find(|(flag, _)| flag.name == name).map(|(_, value)| value)
    }

    /// Whether the switch is on.
    pub(crate) fn switch(&self, name: &str) -> bool {
        self.switch_if_set(name).unwrap_or(false)
    }

    /// The switch's value, if it was mentioned.
    pub(crate) fn switch_if_set(&self, name: &str) -> Option<bool> {
        self.last(name)?.to_str().and_then(boolean)
    }

    /// The flag's text, if given.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, CliError> {
        self.last(name).map(|value| utf8(name, value)).transpose()
    }

    /// The flag's text unless absent or empty, which callers use for absent.
    pub(crate) fn filled(&self, name: &str) -> Result<Option<&str>, CliError> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    /// The flag's value as a path.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.last(name).map(PathBuf::from)
    }

    /// The flag's value as a path unless it is empty.
    pub(crate) fn filled_path(&self, name: &str) -> Option<PathBuf> {
        self.path(name).filter(|path| !path.as_os_str().is_empty())
    }

    /// The flag's number, if given.
    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.last(name).and_then(|value| integer(value))
    }

    /// Every text given for the flag.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&str>, CliError> {
        self.all(name).map(|value| utf8(name, value)).collect()
    }

    /// Every number given for the flag.
    pub(crate) fn integers(&self, name: &str) -> Vec<i64> {
        self.all(name).filter_map(|value| integer(value)).collect()
    }

    /// What is no flag.
    pub(crate) fn positionals(&self) -> &[OsString] {
        &self.positionals
    }

    /// One argument that is no flag.
    pub(crate) fn positional(&self, index: usize) -> Option<&OsStr> {
        self.positionals.get(index).map(OsString::as_os_str)
    }
}

/// `value` as text, or an error that names where it stood.
pub(crate) fn utf8<'v>(name: &str, value: &'v OsStr) -> Result<&'v str, CliError> {
    value.to_str().ok_or_else(|| {
        let value = value.to_string_lossy();
        CliError::Refused(format!("value {value:?} of {name} is not valid UTF-8"))
    })
}
