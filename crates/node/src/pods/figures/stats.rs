//! Statistics of containers and pods.

use caisson_cgroup::CgroupState;
use caisson_cgroup::stats::Stats;

use super::convert;
use crate::clock::now_nanos;
use crate::metadata::{Phase, PodPhase};
use crate::pods::table::{ContainerEntry, PodEntry};
use crate::pods::view::{ContainerFilter, ContainerStats, CpuUsage, PodFilter, PodStats};
use crate::pods::{PodError, Pods, cgroups};

impl Pods {
    /// What the containers that fit use. Those that do not run have no more than
    /// what they have written.
    ///
    /// # Errors
    /// As [`Pods::containers`].
    pub fn container_stats(
        &self,
        filter: &ContainerFilter,
    ) -> Result<Vec<ContainerStats>, PodError> {
        let wanted = self.containers(filter)?;
        let found = wanted.iter().filter_map(|summary| {
            // It may have been removed meanwhile.
            let container = self.table().container(&summary.id).ok()?;
            let pod = self.table().pod(&container.pod).ok()?;
            Some(self.stats_of(&pod, &container))
        });
        Ok(found.collect())
    }

    /// What the pods that fit use.
    ///
    /// # Errors
    /// As [`Pods::pods`].
    pub fn pod_stats(&self, filter: &PodFilter) -> Result<Vec<PodStats>, PodError> {
        let wanted = self.pods(filter)?;
        let found = wanted.iter().filter_map(|summary| {
            let pod = self.table().pod(&summary.id).ok()?;
            Some(self.stats_of_pod(&pod))
        });
        Ok(found.collect())
    }

    pub(super) fn stats_of_pod(&self, pod: &PodEntry) -> PodStats {
        let counted = self.pod_counters(pod);
        let now = now_nanos();
        let stands = pod.phase() == PodPhase::Ready;
        PodStats {
            pod: pod.summary(),
            cpu: counted.as_ref().map(|stats| self.cpu(&pod.id, stats, now)),
            memory: counted.as_ref().map(|stats| convert::memory(stats, now)),
            network: if stands { self.network_usage(pod) } else { None },
            process_count: counted.as_ref().map(|stats| stats.pids.current),
            io: counted.as_ref().map(|stats| convert::io(stats, now)),
            containers: self
                .table()
                .containers_of(&pod.id)
                .iter()
                .map(|container| self.stats_of(pod, container))
                .collect(),
        }
    }

    pub(super) fn stats_of(&self, pod: &PodEntry, container: &ContainerEntry) -> ContainerStats {
        let counted = match container.phase() {
            Phase::Running => self.counters(pod, &container.id),
            _ => None,
        };
        let now = now_nanos();
        ContainerStats {
            container: container.summary(),
            cpu: counted.as_ref().map(|stats| self.cpu(&container.id, stats, now)),
            memory: counted.as_ref().map(|stats| convert::memory(stats, now)),
            swap: counted.as_ref().map(|stats| convert::swap(stats, now)),
            io: counted.as_ref().map(|stats| convert::io(stats, now)),
            tasks: counted.as_ref().map(|stats| stats.pids.current),
            writable_layer: Some(self.writable_layer(&container.id)),
        }
    }

    fn cpu(&self, id: &str, stats: &Stats, now: u64) -> CpuUsage {
        CpuUsage {
            psi: convert::psi(stats.cpu.psi.as_ref()),
            ..self.shared.samples.look(id, now, stats.cpu.usage.total)
        }
    }

    pub(super) fn pod_counters(&self, pod: &PodEntry) -> Option<Stats> {
        let state = pod.live().record.outcome.cgroup.clone()?;
        cgroups::stats(&state)
    }

    /// The counters of a container, whose cgroup is in the pod's.
    pub(super) fn counters(&self, pod: &PodEntry, container: &str) -> Option<Stats> {
        let state = pod.live().record.outcome.cgroup.clone()?;
        cgroups::stats(&inside(state, container))
    }
}

/// Where the cgroup of a container of that pod is.
pub(super) fn inside(mut pod: CgroupState, container: &str) -> CgroupState {
    let name = match pod.unit.take() {
        None => container.to_owned(),
        Some(_) => format!("{}-{container}.scope", cgroups::PREFIX),
    };
    for hierarchy in &mut pod.hierarchies {
        hierarchy.path = format!("{}/{name}", hierarchy.path);
    }
    pod
}
