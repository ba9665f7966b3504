//! Signals as users name them.

use caisson_sys::signal_names;

/// SIGTERM.
pub const TERM: i32 = 15;
/// SIGKILL.
pub const KILL: i32 = 9;

/// Nothing is a signal of that name or number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no signal: give a name such as TERM or SIGTERM, or a number from 1 to 64")]
pub struct UnknownSignal(String);

/// The number of a signal that is given by name (with or without `SIG`, in any
/// case, `RTMIN+3` too) or by number.
///
/// # Errors
/// [`UnknownSignal`].
pub fn parse(text: &str) -> Result<i32, UnknownSignal> {
    let unknown = || UnknownSignal(text.chars().take(40).collect());
    signal_names::number(text).filter(|number| *number > 0).ok_or_else(unknown)
}

/// The name of a signal with `SIG` in front, or its number.
#[must_use]
pub fn name(number: i32) -> String {
    signal_names::name(number).map_or_else(|| number.to_string(), |name| format!("SIG{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        assert_eq!((parse("SIGTERM"), parse("9")), (Ok(15), Ok(9)));
        assert!(parse("0").is_err() && parse("NOPE").is_err());
        assert_eq!((name(15).as_str(), name(40).as_str()), ("SIGTERM", "40"));
    }
}
