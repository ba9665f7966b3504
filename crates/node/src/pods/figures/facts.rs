//! What metrics are made of.

use caisson_cgroup::stats::Stats;

use crate::clock::now_nanos;
use crate::pods::table::{ContainerEntry, PodEntry};
use crate::pods::view::FilesystemUsage;
use crate::pods::{Pods, cgroups};

/// A container or pod at one moment.
pub(super) struct Facts {
    pub(super) stats: Stats,
    pub(super) at: u64,
    pub(super) started: u64,
    pub(super) ooms: u64,
    pub(super) processes: u64,
    pub(super) descriptors: u64,
    pub(super) sockets: u64,
    pub(super) files: FilesystemUsage,
    /// Bytes, inodes and free inodes of the file system that it writes to.
    pub(super) file_system: (u64, u64, u64),
    pub(super) cpu_period: u64,
    pub(super) cpu_quota: u64,
    pub(super) cpu_shares: u64,
}

impl Pods {
    pub(super) fn facts(&self, pod: &PodEntry, container: &ContainerEntry) -> Option<Facts> {
        let state = super::stats::inside(pod.live().record.outcome.cgroup.clone()?, &container.id);
        let stats = cgroups::stats(&state)?;
        let pids = cgroups::pids(&state);
        let (mut descriptors, mut sockets) = (0, 0);
        for pid in &pids {
            let list = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            for entry in list {
                descriptors += 1;
                let target = std::fs::read_link(entry.path()).unwrap_or_default();
                sockets += u64::from(target.to_string_lossy().starts_with("socket:"));
            }
        }
        let (started, ooms, limits) = {
            let live = container.live();
            let outcome = &live.record.outcome;
            let limits = live.request.resources.clone().unwrap_or_default();
            (outcome.started.unwrap_or(0), u64::from(outcome.oom_killed), limits)
        };
        let set = |value: i64| u64::try_from(value).unwrap_or(0);
        let file_system = rustix::fs::statvfs(self.engine().paths.root());
        Some(Facts {
            stats,
            at: now_nanos(),
            started,
            ooms,
            processes: pids.len() as u64,
            descriptors,
            sockets,
            files: self.writable_layer(&container.id),
            file_system: file_system.map_or((0, 0, 0), |found| {
                (found.f_blocks.saturating_mul(found.f_frsize), found.f_files, found.f_ffree)
            }),
            cpu_period: set(limits.cpu_period),
            cpu_quota: set(limits.cpu_quota),
            cpu_shares: set(limits.cpu_shares),
        })
    }
}
