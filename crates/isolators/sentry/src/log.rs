//! The kernel's log: what `dmesg` shows inside, with the time since boot.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

use crate::task::waiter::lock;

const LIMIT: usize = 1000;

/// Lines with their times.
#[derive(Debug)]
pub struct Log {
    booted: Instant,
    lines: Mutex<VecDeque<String>>,
}

impl Default for Log {
    fn default() -> Self {
        Log { booted: Instant::now(), lines: Mutex::default() }
    }
}

impl Log {
    /// Adds a line; the oldest one goes if there are too many.
    pub fn write(&self, line: &str) {
        let since = self.booted.elapsed();
        let time = format!("{:5}.{:06}", since.as_secs(), since.subsec_micros());
        let mut lines = lock(&self.lines);
        if lines.len() >= LIMIT {
            lines.pop_front();
        }
        lines.push_back(format!("<6>[{time}] {line}\n"));
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> String {
        lock(&self.lines).iter().map(String::as_str).collect()
    }
}
