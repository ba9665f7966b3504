//! The file behind a log, and its predecessors.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, fstat, ftruncate, openat, renameat, unlinkat};
use rustix::io::{Errno, retry_on_intr, write};

use crate::LogConfig;
use crate::supervisor::step::{Context as _, StepError};

/// So much is gathered before it is written.
const BATCH: usize = 32 * 1024;

/// A log file that is replaced when it is full.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    max_size: u64,
    max_files: u32,
    /// `None`: it could not be opened after the last change.
    file: Option<OwnedFd>,
    size: u64,
    batch: Vec<u8>,
    dropped: u64,
}

impl LogFile {
    pub(super) fn open(config: &LogConfig) -> Result<Self, StepError> {
        let mut log = Self {
            path: config.path.clone(),
            max_size: config.max_size,
            max_files: config.max_files.max(1),
            file: None,
            size: 0,
            batch: Vec::new(),
            dropped: 0,
        };
        log.reopen()?;
        Ok(log)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn reopen(&mut self) -> Result<(), StepError> {
        self.flush();
        let opened = open(&self.path);
        self.adopt(opened).context(|| format!("open log {}", self.path.display()))
    }

    fn adopt(&mut self, opened: Result<(OwnedFd, u64), Errno>) -> Result<(), Errno> {
        match opened {
            Ok((file, size)) => {
                (self.file, self.size) = (Some(file), size);
                Ok(())
            }
            Err(error) => {
                self.file = None;
                Err(error)
            }
        }
    }

    /// Adds an entry, which never is in two files.
    pub(super) fn append(&mut self, entry: &[u8]) {
        let after = self.size + length(&self.batch) + length(entry);
        if self.max_size > 0 && after > self.max_size && after > length(entry) {
            self.flush();
            self.rotate();
        }
        self.batch.extend(entry);
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    /// Writes what was gathered. What can't be written is lost, and counted.
    pub(super) fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        if self.file.is_none() {
            let _ = self.adopt(open(&self.path));
        }
        let mut rest = self.batch.as_slice();
        if let Some(file) = &self.file {
            while !rest.is_empty() {
                match retry_on_intr(|| write(file, rest)) {
                    Ok(count @ 1..) => rest = rest.get(count..).unwrap_or_default(),
                    Ok(0) | Err(_) => break,
                }
            }
            if rest.is_empty() {
                self.size += length(&self.batch);
            } else {
                // An entry that was cut off would spoil the next one.
                let whole = self.batch.len() - rest.len();
                let written = self.batch.get(..whole).unwrap_or_default();
                let kept = written.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
                let kept_bytes = u64::try_from(kept).unwrap_or_default();
                self.size += kept_bytes;
                let _ = ftruncate(file, self.size);
                rest = self.batch.get(kept..).unwrap_or_default();
            }
        }
        self.dropped += length(rest);
        self.batch.clear();
    }

    /// Renames the files by one, the oldest goes; starts a new one.
    fn rotate(&mut self) {
        for number in (1..self.max_files).rev() {
            let from =
                if number == 1 { self.path.clone() } else { numbered(&self.path, number - 1) };
            let _ = renameat(CWD, &from, CWD, numbered(&self.path, number));
        }
        if self.max_files == 1 {
            let _ = unlinkat(CWD, &self.path, rustix::fs::AtFlags::empty());
        }
        let _ = self.adopt(open(&self.path));
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn open(path: &Path) -> Result<(OwnedFd, u64), Errno> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = openat(CWD, path, flags | OFlags::NOFOLLOW, Mode::from_raw_mode(0o640))?;
    let size = u64::try_from(fstat(&file)?.st_size).unwrap_or_default();
    Ok((file, size))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_rotate_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let config =
            LogConfig { path: path.clone(), max_size: 30, max_files: 3, ..Default::default() };
        let mut log = LogFile::open(&config).unwrap();
        for number in 0..10 {
            log.append(format!("entry {number} ...\n").as_bytes());
        }
        log.flush();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert_eq!(read(&path), "entry 8 ...\nentry 9 ...\n");
        assert_eq!(read(&numbered(&path, 1)), "entry 6 ...\nentry 7 ...\n");
        assert_eq!(read(&numbered(&path, 2)), "entry 4 ...\nentry 5 ...\n");
        assert!(!numbered(&path, 3).exists());
        assert_eq!(log.dropped(), 0);
    }

    #[test]
    fn what_the_disk_refuses_is_counted() {
        let config = LogConfig { path: "/dev/full".into(), ..Default::default() };
        let mut log = LogFile::open(&config).unwrap();
        log.append(b"0123456789\n");
        log.flush();
        assert_eq!(log.dropped(), 11);
    }
}
