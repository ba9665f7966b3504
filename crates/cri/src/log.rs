//! The daemon's log: a line for each event on standard error, as text or JSON.

use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};

use caisson_node::clock::{now_nanos, rfc3339};

use crate::call::Call;

/// How grave an event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something failed that should not.
    Error,
    /// A request failed.
    Warn,
    /// Something was done.
    #[default]
    Info,
    /// Everything.
    Debug,
}

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one object a line.
    Json,
}

/// The process has one log: its level, and 16 more for JSON.
static SET: AtomicU8 = AtomicU8::new(Level::Info as u8);
const JSON: u8 = 16;

impl Level {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Error, "error"),
        (Self::Warn, "warn"),
        (Self::Info, "info"),
        (Self::Debug, "debug"),
    ];

    /// The level of a word in the settings.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, name)| *name == word).map(|(level, _)| level)
    }

    fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(level, _)| *level == self).map_or("", |(_, name)| name)
    }
}

/// From now on events up to `level` are logged, as `format` says.
pub fn set(level: Level, format: Format) {
    let json = if format == Format::Json { JSON } else { 0 };
    SET.store(level as u8 | json, Ordering::Relaxed);
}

/// Whether events of `level` are logged.
#[must_use]
pub fn enabled(level: Level) -> bool {
    level as u8 <= SET.load(Ordering::Relaxed) % JSON
}

/// Logs an event: what happened, and what tells it from others of its kind. What
/// happens for a call has its number as `request`.
pub fn log(level: Level, message: &str, fields: &[(&str, &dyn Display)]) {
    if enabled(level) {
        let json = SET.load(Ordering::Relaxed) >= JSON;
        let line = of_call(fields, |fields| line(now_nanos(), level, message, fields, json));
        // Nobody is told when standard error is closed.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

/// With the number of the call that is being answered, if one is.
fn of_call<T>(
    fields: &[(&str, &dyn Display)],
    then: impl FnOnce(&[(&str, &dyn Display)]) -> T,
) -> T {
    match Call::current().map(|call| call.id()) {
        None => then(fields),
        Some(id) => {
            let mut all: Vec<(&str, &dyn Display)> = vec![("request", &id)];
            all.extend(fields.iter().filter(|(key, _)| *key != "request"));
            then(&all)
        }
    }
}

fn line(
    nanos: u64,
    level: Level,
    message: &str,
    fields: &[(&str, &dyn Display)],
    json: bool,
) -> String {
    let mut time = rfc3339(nanos);
    // Microseconds do.
    time.truncate(26);
    let mut text = String::with_capacity(160);
    if json {
        let _ = write!(text, "{{\"time\":\"{time}Z\",\"level\":\"{}\",\"msg\":", level.word());
        text.push_str(&quoted(message));
        for (key, value) in fields {
            let _ = write!(text, ",\"{key}\":{}", quoted(&value.to_string()));
        }
        text.push('}');
    } else {
        let _ = write!(text, "{time}Z {:5} {message}", level.word());
        for (key, value) in fields {
            let value = value.to_string();
            let plain = !value.is_empty()
                && value.chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '=');
            let _ = match plain {
                true => write!(text, " {key}={value}"),
                false => write!(text, " {key}={}", quoted(&value)),
            };
        }
    }
    text.push('\n');
    text
}

/// As JSON quotes it: no line end and no escape sequence gets through.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line() {
        let fields: [(&str, &dyn Display); 3] =
            [("pod", &"a1"), ("error", &"no\n\"way\""), ("n", &7)];
        let text = line(0, Level::Warn, "not done", &fields, false);
        assert_eq!(
            text,
            "1970-01-01T00:00:00.000000Z warn  not done pod=a1 error=\"no\\n\\\"way\\\"\" n=7\n"
        );
        let json = line(0, Level::Warn, "not done", &fields, true);
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["error"], "no\n\"way\"");
        assert_eq!(read["level"], "warn");
        assert_eq!(json.lines().count(), 1);
    }

    #[test]
    fn what_happens_for_a_call_has_its_number() {
        let text = || of_call(&[("pod", &"a1")], |all| line(0, Level::Info, "x", all, true));
        let json = Call::on_thread(Some(Call::new(7, None)), text);
        assert!(json.contains("\"msg\":\"x\",\"request\":\"7\",\"pod\":\"a1\"}"), "{json}");
        assert!(!text().contains("request"));
    }

    #[test]
    fn words_are_levels() {
        for (level, word) in Level::ALL {
            assert_eq!(Level::from_word(word), Some(level));
            assert_eq!(level.word(), word);
        }
        assert_eq!(Level::from_word("trace"), None);
    }
}
