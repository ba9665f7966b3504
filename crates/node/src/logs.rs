//! Reading what containers have written.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use serde::Deserialize;

use crate::clock::parse_moment;
use crate::engine::Engine;
use crate::lifecycle::{ContainerError, Status};
use crate::metadata::ContainerRecord;

/// Longest line of a log file that is read; the supervisor writes shorter ones.
const LONGEST: u64 = 4 << 20;
/// How long nothing may happen before the container is looked at.
const LOOK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Which lines are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogOptions {
    /// Stay until the container has ended.
    pub follow: bool,
    /// Not before, nanoseconds since 1970.
    pub since: Option<u64>,
    /// Not after.
    pub until: Option<u64>,
    /// Only so many of the last lines.
    pub tail: Option<usize>,
}

/// A line, or a piece of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written, nanoseconds since 1970.
    pub time: u64,
    /// Whether it is of standard error.
    pub stderr: bool,
    /// The text, with its newline if it has one.
    pub text: String,
}

#[derive(Deserialize)]
struct JsonLine {
    #[serde(default)]
    log: String,
    #[serde(default)]
    stream: String,
    #[serde(default)]
    time: String,
}

impl Engine {
    /// Hands every wanted line to `sink`, until that breaks off.
    ///
    /// # Errors
    /// If the log can't be read.
    pub fn logs(
        &self,
        name: &str,
        options: LogOptions,
        sink: &mut dyn FnMut(LogLine) -> ControlFlow<()>,
    ) -> Result<(), ContainerError> {
        let record = self.container(name)?.record;
        let path = self.paths.log(&record.id);
        let fail = |error: std::io::Error| ContainerError::File {
            path: path.clone(),
            reason: error.to_string(),
        };
        let wanted = |line: &LogLine| {
            options.since.is_none_or(|since| line.time >= since)
                && options.until.is_none_or(|until| line.time <= until)
        };
        let mut tail = options.tail.map(|count| (count, VecDeque::new()));
        let mut current = None;
        for file in files(&path) {
            let mut reader = match open(&file) {
                Ok(reader) => reader,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(fail(error)),
            };
            while let Some(line) = reader.line().map_err(fail)? {
                if !wanted(&line) {
                    continue;
                }
                match &mut tail {
                    Some((count, last)) => {
                        last.push_back(line);
                        if last.len() > *count {
                            last.pop_front();
                        }
                    }
                    None if sink(line).is_break() => return Ok(()),
                    None => {}
                }
            }
            current = Some(reader);
        }
        for line in tail.into_iter().flat_map(|(_, last)| last) {
            if sink(line).is_break() {
                return Ok(());
            }
        }
        if options.follow {
            let mut wanted_sink =
                |line: LogLine| if wanted(&line) { sink(line) } else { ControlFlow::Continue(()) };
            self.follow(&record, &path, current, options.until, &mut wanted_sink).map_err(fail)?;
        }
        Ok(())
    }

    fn follow(
        &self,
        record: &ContainerRecord,
        path: &Path,
        mut current: Option<Reader>,
        until: Option<u64>,
        sink: &mut dyn FnMut(LogLine) -> ControlFlow<()>,
    ) -> std::io::Result<()> {
        let watch = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let dir = path.parent().unwrap_or(path);
        add_watch(&watch, dir, WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
        loop {
            // Before reading: what is written until it ends is still read.
            let ended = !self.is_up(record) || until.is_some_and(|t| t < crate::clock::now_nanos());
            loop {
                if let Some(reader) = &mut current {
                    while let Some(line) = reader.line()? {
                        if sink(line).is_break() {
                            return Ok(());
                        }
                    }
                }
                // Another file may stand there since the log was rotated.
                let there = std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
                if there.is_none() || there == current.as_ref().map(|reader| reader.inode) {
                    break;
                }
                current = open(path).ok();
            }
            if ended {
                return Ok(());
            }
            let mut fds = [PollFd::new(&watch, PollFlags::IN)];
            let _ = poll(&mut fds, Some(&LOOK));
            let mut buffer = [0u8; 4096];
            while rustix::io::read(&watch, &mut buffer).is_ok_and(|count| count > 0) {}
        }
    }

    fn is_up(&self, record: &ContainerRecord) -> bool {
        let status = self.container(&record.id).map(|view| view.status);
        matches!(status, Ok(Status::Running | Status::Paused | Status::Restarting))
    }
}

/// The files of a log, the oldest first: `log.2`, `log.1`, `log`.
fn files(path: &Path) -> Vec<PathBuf> {
    let mut rotated = Vec::new();
    for number in 1.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        let file = PathBuf::from(name);
        if !file.exists() {
            break;
        }
        rotated.push(file);
    }
    rotated.reverse();
    rotated.push(path.to_owned());
    rotated
}

struct Reader {
    file: BufReader<File>,
    inode: (u64, u64),
    partial: Vec<u8>,
}

fn open(path: &Path) -> std::io::Result<Reader> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    Ok(Reader {
        inode: (metadata.dev(), metadata.ino()),
        file: BufReader::new(file),
        partial: Vec::new(),
    })
}

impl Reader {
    /// The next whole line; `None` if there is none yet. Lines that mean
    /// nothing are passed over.
    fn line(&mut self) -> std::io::Result<Option<LogLine>> {
        loop {
            let limit =
                LONGEST.saturating_sub(u64::try_from(self.partial.len()).unwrap_or(LONGEST));
            let mut limited = std::io::Read::take(&mut self.file, limit.max(1));
            let count = limited.read_until(b'\n', &mut self.partial)?;
            if self.partial.last() != Some(&b'\n') {
                if count == 0 {
                    return Ok(None);
                }
                if limit <= 1 {
                    self.partial.clear();
                }
                continue;
            }
            let line = parse(&self.partial);
            self.partial.clear();
            if line.is_some() {
                return Ok(line);
            }
        }
    }
}

/// A line as docker's `json-file` or the CRI has it.
fn parse(line: &[u8]) -> Option<LogLine> {
    if line.first() == Some(&b'{') {
        let line: JsonLine = serde_json::from_slice(line).ok()?;
        return Some(LogLine {
            time: parse_moment(&line.time)?,
            stderr: line.stream == "stderr",
            text: line.log,
        });
    }
    let text = String::from_utf8_lossy(line);
    let mut words = text.splitn(4, ' ');
    let (time, stream, tag, text) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let text = if tag.starts_with('P') { text.trim_end_matches('\n') } else { text };
    Some(LogLine { time: parse_moment(time)?, stderr: stream == "stderr", text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_read() {
        let json = br#"{"log":"a \"b\"\n","stream":"stderr","time":"1970-01-01T00:00:01.5Z"}"#;
        let line = parse(json).unwrap();
        assert_eq!(
            (line.text.as_str(), line.stderr, line.time),
            ("a \"b\"\n", true, 1_500_000_000)
        );
        let full = parse(b"1970-01-01T00:00:01Z stdout F a  b\n").unwrap();
        assert_eq!((full.text.as_str(), full.stderr), ("a  b\n", false));
        assert_eq!(parse(b"1970-01-01T00:00:01Z stdout P part\n").unwrap().text, "part");
        for bad in [&b""[..], b"{", b"x stdout F y", b"1970-01-01T00:00:01Z stdout"] {
            assert!(parse(bad).is_none());
        }
    }

    #[test]
    fn rotated_files_come_first_and_half_lines_wait() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log");
        for (name, text) in [("log.2", "1"), ("log.1", "2"), ("log", "3")] {
            let line = format!("1970-01-01T00:00:01Z stdout F {text}\n");
            std::fs::write(temp.path().join(name), line).unwrap();
        }
        let names: Vec<_> = files(&path);
        assert_eq!(names.len(), 3);
        assert!(names[0].ends_with("log.2") && names[2].ends_with("log"));
        std::fs::write(&path, "1970-01-01T00:00:01Z stdout F ha").unwrap();
        let mut reader = open(&path).unwrap();
        assert!(reader.line().unwrap().is_none());
        let mut file = File::options().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, b"lf\n").unwrap();
        assert_eq!(reader.line().unwrap().unwrap().text, "half\n");
    }
}
