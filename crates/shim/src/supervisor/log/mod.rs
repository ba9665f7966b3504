//! The container's log.
//!
//! A log that can't be written to, such as on a full disk, loses output; it
//! never holds up the container.

mod file;
mod lines;
mod time;

use file::LogFile;
use lines::Lines;

use super::step::StepError;
use crate::{LogConfig, LogDriver};

/// Which stream output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// An open log.
#[derive(Debug)]
pub(super) struct Log {
    driver: LogDriver,
    file: Option<LogFile>,
    stdout: Lines,
    stderr: Lines,
}

impl Log {
    /// Opens the log that the configuration asks for.
    pub(super) fn open(config: &LogConfig) -> Result<Self, StepError> {
        let file = match config.driver {
            LogDriver::None => None,
            LogDriver::JsonFile | LogDriver::K8s => Some(LogFile::open(config)?),
        };
        let (stdout, stderr) = (Lines::default(), Lines::default());
        Ok(Self { driver: config.driver, file, stdout, stderr })
    }

    /// Takes output as it comes.
    pub(super) fn write(&mut self, stream: Stream, data: &[u8]) {
        let Some(file) = &mut self.file else { return };
        let lines = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let driver = self.driver;
        let now = time::rfc3339(crate::now_nanos());
        lines.feed(data, |piece, whole| {
            file.append(&entry(driver, stream, &now, piece, whole));
        });
        file.flush();
    }

    /// What has come is all: lines that have not ended are written as they are.
    pub(super) fn finish(&mut self) {
        let Some(file) = &mut self.file else { return };
        let now = time::rfc3339(crate::now_nanos());
        let streams = [(Stream::Stdout, &mut self.stdout), (Stream::Stderr, &mut self.stderr)];
        for (stream, lines) in streams {
            if let Some(rest) = lines.take_rest() {
                // In the CRI's format the last piece of a line is a full one.
                let whole = self.driver == LogDriver::K8s;
                file.append(&entry(self.driver, stream, &now, &rest, whole));
            }
        }
        file.flush();
    }

    /// Opens the file anew by its name.
    pub(super) fn reopen(&mut self) -> Result<(), StepError> {
        self.file.as_mut().map_or(Ok(()), LogFile::reopen)
    }

    /// Bytes of log that could not be written.
    pub(super) fn dropped(&self) -> u64 {
        self.file.as_ref().map_or(0, LogFile::dropped)
    }
}

/// One entry of the log. `whole`: the line ends with it.
fn entry(driver: LogDriver, stream: Stream, now: &str, piece: &[u8], whole: bool) -> Vec<u8> {
    match driver {
        LogDriver::None => Vec::new(),
        LogDriver::JsonFile => {
            let mut text = String::from_utf8_lossy(piece).into_owned();
            if whole {
                text.push('\n');
            }
            let text = serde_json::Value::String(text);
            let name = stream.name();
            format!("{{\"log\":{text},\"stream\":\"{name}\",\"time\":\"{now}\"}}\n").into_bytes()
        }
        LogDriver::K8s => {
            let tag = if whole { 'F' } else { 'P' };
            let mut line = format!("{now} {} {tag} ", stream.name()).into_bytes();
            line.extend(piece);
            line.push(b'\n');
            line
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_those_of_docker_and_the_cri() {
        let now = "2026-01-02T03:04:05.000000006Z";
        let json = |piece: &[u8], whole| {
            String::from_utf8(entry(LogDriver::JsonFile, Stream::Stderr, now, piece, whole))
                .unwrap()
        };
        assert_eq!(
            json(b"a \"b\"\x1b", true),
            "{\"log\":\"a \\\"b\\\"\\u001b\\n\",\"stream\":\"stderr\",\
             \"time\":\"2026-01-02T03:04:05.000000006Z\"}\n"
        );
        let value: serde_json::Value = serde_json::from_str(&json(b"\xff\0x", false)).unwrap();
        assert_eq!(value["log"], "\u{fffd}\0x");
        let cri = entry(LogDriver::K8s, Stream::Stdout, now, b"\xff x", false);
        assert_eq!(cri, b"2026-01-02T03:04:05.000000006Z stdout P \xff x\n");
    }
}
