//! The log: lines as logrus writes them, in text or JSON.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::clock::rfc3339_seconds;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// `time="…" level=… msg="…"`.
    #[default]
    Text,
    /// `{"level":"…","msg":"…","time":"…"}`.
    Json,
}

/// Where the log goes. The file is opened when there is something to say, so
/// that a command that succeeds does not touch it.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Whether to log more than warnings.
    pub(crate) debug: bool,
    /// How lines look.
    pub(crate) format: Format,
    /// The file; standard error if absent or empty.
    pub(crate) file: Option<PathBuf>,
}

impl Log {
    /// Logs the error that ends the program, and shows it to the user.
    pub(crate) fn fatal(&self, message: &str) {
        let to_file = self.write("error", message);
        if to_file {
            let _ = std::io::stderr().write_all(format!("{message}\n").as_bytes());
        }
    }

    /// Logs what went wrong although the program goes on.
    pub(crate) fn warn(&self, message: &str) {
        self.write("warning", message);
    }

    /// Logs what is done, if `--debug` was given.
    pub(crate) fn debug(&self, message: impl FnOnce() -> String) {
        if self.debug {
            self.write("debug", &message());
        }
    }

    /// Writes one line; true if it went to a file.
    fn write(&self, level: &str, message: &str) -> bool {
        let line = line(self.format, level, message, SystemTime::now());
        if let Some(path) = self.file.as_ref().filter(|path| !path.as_os_str().is_empty()) {
            let opened = OpenOptions::new().create(true).append(true).mode(0o644).open(path);
            match opened.and_then(|mut file| file.write_all(line.as_bytes())) {
                Ok(()) => return true,
                Err(error) => {
                    let note = format!("write log {}: {error}\n", path.display());
                    let _ = std::io::stderr().write_all(note.as_bytes());
                }
            }
        }
        let _ = std::io::stderr().write_all(line.as_bytes());
        false
    }
}

fn line(format: Format, level: &str, message: &str, now: SystemTime) -> String {
    let time = rfc3339_seconds(now);
    let quoted = quote(message);
    match format {
        Format::Text => format!("time=\"{time}\" level={level} msg={quoted}\n"),
        Format::Json => format!("{{\"level\":\"{level}\",\"msg\":{quoted},\"time\":\"{time}\"}}\n"),
    }
}

/// `text` as a JSON string, which is also how logrus quotes in text.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{Format, line};

    #[test]
    fn lines_look_like_logrus() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_226_450_700);
        assert_eq!(
            line(Format::Json, "error", "container does not exist", now),
            "{\"level\":\"error\",\"msg\":\"container does not exist\",\"time\":\"2026-11-21T02:00:50Z\"}\n"
        );
        assert_eq!(
            line(Format::Text, "error", "a \"b\"\nc", now),
            "time=\"2026-11-21T02:00:50Z\" level=error msg=\"a \\\"b\\\"\\nc\"\n"
        );
    }

    #[test]
    fn any_message_is_valid_json() {
        let message = "quote \" slash \\ bell \u{7} tab \t é \u{1F600}";
        let line = line(Format::Json, "error", message, SystemTime::now());
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["msg"], message);
    }
}
