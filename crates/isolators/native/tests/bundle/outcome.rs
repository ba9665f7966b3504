//! How a call of the runtime ended.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Exit status and output. Output is read when asked for: what a container
/// says later is in it too.
#[derive(Clone, Debug)]
pub struct Ended {
    command: String,
    status: ExitStatus,
    out: PathBuf,
    err: PathBuf,
}

impl Ended {
    pub(super) fn new(command: String, status: ExitStatus, out: PathBuf, err: PathBuf) -> Self {
        Self { command, status, out, err }
    }

    /// Standard output so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.out).unwrap()).into_owned()
    }

    /// Standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.err).unwrap()).into_owned()
    }

    /// The exit code; 128 and the signal's number for a death by signal.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Fails the test unless the exit code is 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.code() == 0, "{}", self.account());
        self
    }

    /// Fails the test unless it ended with this code; returns standard error.
    #[track_caller]
    pub fn fails(&self, code: i32) -> String {
        assert_eq!(self.code(), code, "{}", self.account());
        self.stderr()
    }

    /// Fails the test unless it ended with 1 and one line on standard error
    /// that holds all of `words`.
    #[track_caller]
    pub fn refused(&self, words: &[&str]) -> String {
        let said = self.fails(1);
        assert_eq!(said.trim_end().lines().count(), 1, "not one line: {}", self.account());
        for word in words {
            assert!(said.contains(word), "{word:?} is missing: {}", self.account());
        }
        said
    }

    /// Standard output's lines, trimmed, of a successful call.
    #[track_caller]
    pub fn lines(self) -> Vec<String> {
        let text = self.ok().stdout();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    fn account(&self) -> String {
        let (out, err) = (self.stdout(), self.stderr());
        format!("{}: exit {}\nstdout: {out}\nstderr: {err}", self.command, self.code())
    }
}
