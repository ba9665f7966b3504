//! What a pod costs beside its containers, measured on those that run.

use caisson_shim::client::connect;

use super::Handler;
use crate::engine::Engine;
use crate::metadata::PodPhase;

/// So many processes of one pod are looked at.
const MOST_PROCESSES: usize = 256;

impl Engine {
    /// The memory that a pod of this handler costs beside its containers: what
    /// its supervisor and all that this has started hold, each page by its share,
    /// in bytes, of the pod that holds most. `None` if none runs.
    #[must_use]
    pub fn measured_overhead(&self, handler: &Handler) -> Option<u64> {
        let pods = self.metadata().list_pods().ok()?.records;
        let running = pods
            .iter()
            .filter(|pod| pod.phase == PodPhase::Ready && pod.document.handler == handler.name);
        running
            .filter_map(|pod| connect(&self.paths.pod(&pod.id)).ok()?.state().ok())
            .map(|state| memory_of(state.shim_pid))
            .max()
    }
}

/// Of a process and its descendants, as far as they are in the same cgroups:
/// what is in a container is in others.
fn memory_of(supervisor: i32) -> u64 {
    let cgroups = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok();
    let own = cgroups(supervisor);
    let mut total = 0_u64;
    let mut left = vec![supervisor];
    for _ in 0..MOST_PROCESSES {
        let Some(pid) = left.pop() else { break };
        if cgroups(pid) != own {
            continue;
        }
        total = total.saturating_add(share(pid));
        left.extend(crate::processes::children(pid));
    }
    total
}

/// The process's proportional share (proc(5), `smaps_rollup`), in bytes.
fn share(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default().saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::memory_of;

    #[test]
    fn a_child_counts_with_its_parent() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let both = memory_of(own);
        let one = memory_of(i32::try_from(child.id()).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(one > 0 && both > one, "{one} of {both}");
        assert_eq!(memory_of(i32::MAX), 0);
    }
}
