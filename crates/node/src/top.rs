//! The processes of a container.

use serde::Serialize;

use crate::clock::now_nanos;
use crate::engine::Engine;
use crate::lifecycle::ContainerError;

/// Clock ticks per second in `/proc/<pid>/stat` (USER_HZ is 100 on every
/// architecture that we run on).
const TICKS: u64 = 100;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessRow {
    /// Who it runs as, on the host.
    pub uid: u32,
    /// Its number on the host.
    pub pid: i32,
    /// Its parent.
    pub ppid: i32,
    /// Its state, a letter of proc(5).
    pub state: char,
    /// When it began, nanoseconds since 1970.
    pub started: u64,
    /// Processor time, hundredths of a second.
    pub ticks: u64,
    /// Resident memory, bytes.
    pub resident: u64,
    /// Its terminal's number; 0 for none.
    pub terminal: i32,
    /// Program and arguments.
    pub command: String,
}

impl Engine {
    /// The processes of a container that runs, as the host sees them.
    ///
    /// # Errors
    /// [`ContainerError::WrongStatus`].
    pub fn processes(&self, name: &str) -> Result<Vec<ProcessRow>, ContainerError> {
        let (_, shim) = self.running(name, "only what runs has processes")?;
        let boot = boot_time();
        let mut rows: Vec<ProcessRow> =
            shim.pids()?.into_iter().filter_map(|pid| process(pid, boot)).collect();
        rows.sort_by_key(|row| (row.started, row.pid));
        Ok(rows)
    }
}

/// When the machine booted, nanoseconds since 1970.
fn boot_time() -> u64 {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds: f64 =
        uptime.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or_default();
    let uptime = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    now_nanos().saturating_sub(u64::try_from(uptime.as_nanos()).unwrap_or_default())
}

/// `None` if it has ended meanwhile.
fn process(pid: i32, boot: u64) -> Option<ProcessRow> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let stat = read("stat")?;
    let status = read("status")?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    row(pid, &stat, uid.split_whitespace().next()?, &command, boot)
}

fn row(pid: i32, stat: &str, uid: &str, command: &[u8], boot: u64) -> Option<ProcessRow> {
    // The name stands in parentheses and may hold any character, also those.
    let (head, rest) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
    let command = if command.is_empty() {
        format!("[{name}]")
    } else {
        let text = String::from_utf8_lossy(command);
        text.trim_end_matches('\0').replace('\0', " ")
    };
    Some(ProcessRow {
        uid: uid.parse().ok()?,
        pid,
        ppid: fields.get(1)?.parse().ok()?,
        state: fields.first()?.chars().next()?,
        started: boot + number(19)?.saturating_mul(1_000_000_000 / TICKS),
        ticks: number(11)?.saturating_add(number(12)?),
        resident: number(21)?.saturating_mul(4096),
        terminal: fields.get(4)?.parse().ok()?,
        command,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_anything() {
        let stat = "7 (a) b (c) S 1 7 7 34816 7 0 0 0 0 0 150 50 0 0 20 0 1 0 1000 4096 25 0";
        let row = row(7, stat, "33", b"sh\0-c\0x\0", 0).unwrap();
        assert_eq!((row.ppid, row.state, row.ticks), (1, 'S', 200));
        assert_eq!((row.terminal, row.resident), (34816, 25 * 4096));
        assert_eq!((row.command.as_str(), row.started), ("sh -c x", 10_000_000_000));
        assert_eq!(super::row(7, stat, "33", b"", 0).unwrap().command, "[a) b (c]");
        assert!(super::row(7, "", "33", b"", 0).is_none());
    }

    #[test]
    fn this_process_is_one() {
        let own = process(std::process::id().try_into().unwrap(), boot_time()).unwrap();
        assert!(own.started <= now_nanos() && !own.command.is_empty());
    }
}
