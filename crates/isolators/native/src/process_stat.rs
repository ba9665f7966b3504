//! Processes as `/proc/<pid>/stat` shows them.

use rustix::fs::{CWD, Mode, OFlags, openat};

/// A process's state letter and start time (proc_pid_stat(5), fields 3, 22).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    pub(crate) state: u8,
    pub(crate) start_time: u64,
}

impl ProcessStat {
    /// What the kernel says of this process; `None` if there is none.
    pub(crate) fn read(pid: i32) -> Option<Self> {
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
        let start_time = fields.nth(18)?.parse().ok()?;
        Some(Self { state, start_time })
    }

    /// Whether it has ended and only waits to be reaped.
    pub(crate) fn is_dead(self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

#[cfg(test)]
mod tests {
    use super::ProcessStat;

    #[test]
    fn hostile_names_do_not_shift_fields() {
        let line = b"7 (a) Z 1 (b)) R 1 1 1 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4711 9 9\n";
        let stat = ProcessStat::parse(line).unwrap();
        assert_eq!(stat, ProcessStat { state: b'R', start_time: 4711 });
        assert!(ProcessStat::parse(b"7 (x").is_none());
    }

    #[test]
    fn reads_itself() {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        assert!(!ProcessStat::read(pid).unwrap().is_dead());
    }
}
