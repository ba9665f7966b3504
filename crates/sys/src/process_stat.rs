//! Processes as `/proc/<pid>/stat` shows them.

use rustix::fs::{CWD, Mode, OFlags, openat};

/// What the kernel says of a process (proc_pid_stat(5), fields 3, 4, 6, 22).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStat {
    state: u8,
    /// Its parent's number.
    pub parent: i32,
    /// The number of its session's leader, who may have ended.
    pub session: i32,
    /// When it was started, in clock ticks since boot: with the number it tells
    /// a process apart from later ones.
    pub start_time: u64,
}

impl ProcessStat {
    /// `None` if there is no such process.
    #[must_use]
    pub fn read(pid: i32) -> Option<Self> {
        let path = format!("/proc/{pid}/stat");
        let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        // One read(2) returns the whole line, which is shorter than this.
        let mut content = [0_u8; 1024];
        let length = rustix::io::read(&file, &mut content).ok()?;
        Self::parse(content.get(..length)?)
    }

    fn parse(content: &[u8]) -> Option<Self> {
        // The name, field 2, may hold anything, even parentheses.
        let end = content.iter().rposition(|&byte| byte == b')')?;
        let rest = std::str::from_utf8(content.get(end + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let parent = fields.next()?.parse().ok()?;
        let session = fields.nth(1)?.parse().ok()?;
        let start_time = fields.nth(15)?.parse().ok()?;
        Some(Self { state, parent, session, start_time })
    }

    /// Whether a signal has stopped it (state `T`).
    #[must_use]
    pub fn is_stopped(self) -> bool {
        self.state == b'T'
    }

    /// Whether it is in a sleep that only its end interrupts (state `D`).
    #[must_use]
    pub fn is_deep_asleep(self) -> bool {
        self.state == b'D'
    }

    /// Whether it has ended and only waits to be reaped.
    #[must_use]
    pub fn is_dead(self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

#[cfg(test)]
mod tests {
    use super::ProcessStat;

    #[test]
    fn hostile_names_do_not_shift_fields() {
        let line = b"7 (a) Z 1 (b)) R 6 1 2 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4711 9 9\n";
        let stat = ProcessStat::parse(line).unwrap();
        assert_eq!(stat, ProcessStat { state: b'R', parent: 6, session: 2, start_time: 4711 });
        assert!(ProcessStat::parse(b"7 (x").is_none());
    }

    #[test]
    fn reads_itself() {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        assert!(!ProcessStat::read(pid).unwrap().is_dead());
    }
}
