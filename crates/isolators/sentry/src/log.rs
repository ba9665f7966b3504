//! The kernel's log: what `dmesg` shows inside, with the time since boot.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::task::waiter::lock;

const LIMIT: usize = 1000;

/// Lines with their times.
#[derive(Debug)]
pub struct Log {
    booted: Instant,
    lines: Mutex<VecDeque<String>>,
    /// One bit for each call that was told of.
    told: [AtomicU64; 8],
}

impl Default for Log {
    fn default() -> Self {
        Log { booted: Instant::now(), lines: Mutex::default(), told: Default::default() }
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
        // Programs choose their names: neither lines nor sequences of a terminal's.
        let line = line.replace(char::is_control, "?");
        lines.push_back(format!("<6>[{time}] {line}\n"));
    }

    /// Whether a call's number is asked about for the first time. Those from 511 on count as one.
    pub fn is_first_of(&self, number: u64) -> bool {
        let number = number.min(511);
        let word = usize::try_from(number / 64).ok().and_then(|index| self.told.get(index));
        let bit = 1 << (number % 64);
        word.is_some_and(|word| word.fetch_or(bit, Ordering::Relaxed) & bit == 0)
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> String {
        lock(&self.lines).iter().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_new_once() {
        let log = Log::default();
        assert!((0..512).all(|number| log.is_first_of(number)));
        assert!(!(0..1024).chain([u64::MAX]).any(|number| log.is_first_of(number)));
    }
}
