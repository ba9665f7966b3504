//! What a command costs where daemons do its work: processor time of
//! everything in the bench's cgroup, and peak memory of the daemons.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::error::BenchError;

/// Where processes are put that no engine answers for, such as the registry.
pub(crate) const SERVERS: &str = "servers";
/// What an engine does after its command has ended counts too, so long.
const TAIL: Duration = Duration::from_millis(300);

/// A measurement that has begun.
pub(crate) struct Meter {
    daemon: Option<u32>,
    before: f64,
}

impl Meter {
    /// Begins; `daemon` is the process whose descendants' memory counts.
    pub(crate) fn start(daemon: Option<u32>) -> Result<Self, BenchError> {
        for pid in family(daemon) {
            // Resets the peak. One that has just ended has none to reset.
            let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
        Ok(Self { daemon, before: busy_ms()? })
    }

    /// Milliseconds of processor time since the beginning, and the sum of the
    /// daemons' peaks in MiB.
    pub(crate) fn stop(self) -> Result<(f64, f64), BenchError> {
        std::thread::sleep(TAIL);
        let cpu = busy_ms()? - self.before;
        Ok((cpu, family(self.daemon).into_iter().filter_map(peak_mib).sum()))
    }
}

/// Processor time of this cgroup namespace without its servers, milliseconds.
fn busy_ms() -> Result<f64, BenchError> {
    let read = |path: &Path| fs::read_to_string(path).map_err(BenchError::path("read", path));
    for root in ["/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/cpu,cpuacct"].map(Path::new) {
        if root.join("cpuacct.usage").exists() {
            let usage = |dir: &Path| -> Result<f64, BenchError> {
                let text = read(&dir.join("cpuacct.usage"))?;
                Ok(text.trim().parse::<f64>().unwrap_or(0.0) / 1e6)
            };
            return Ok(usage(root)? - usage(&root.join(SERVERS))?);
        }
    }
    let root = Path::new("/sys/fs/cgroup");
    let usage = |dir: &Path| -> Result<f64, BenchError> {
        let text = read(&dir.join("cpu.stat"))?;
        let line = text.lines().find_map(|l| l.strip_prefix("usage_usec "));
        Ok(line.and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0) / 1e3)
    };
    Ok(usage(root)? - usage(&root.join(SERVERS))?)
}

/// A process and all its descendants.
fn family(head: Option<u32>) -> Vec<u32> {
    let Some(head) = head else { return Vec::new() };
    let mut parents: BTreeMap<u32, u32> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        if let Some(parent) = status(pid, "PPid:").and_then(|v| v.parse().ok()) {
            parents.insert(pid, parent);
        }
    }
    let mut found = vec![head];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(parents.iter().filter(|(_, p)| **p == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

fn peak_mib(pid: u32) -> Option<f64> {
    Some(status(pid, "VmHWM:")?.trim_end_matches(" kB").trim().parse::<f64>().ok()? / 1024.0)
}

fn status(pid: u32, key: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(text.lines().find_map(|l| l.strip_prefix(key))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_family_and_a_peak() {
        let me = std::process::id();
        let child = std::process::Command::new("sleep").arg("5").spawn();
        let mut child = child.unwrap();
        let found = family(Some(me));
        assert!(found.contains(&me) && found.contains(&child.id()), "{found:?}");
        assert!(peak_mib(me).unwrap() > 0.1);
        assert!(family(None).is_empty());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
