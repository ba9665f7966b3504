//! Metrics of pods, under the names that cAdvisor gave them.

use caisson_cgroup::stats::Stats;

use crate::clock::now_nanos;
use crate::metadata::{Phase, PodPhase};
use crate::pods::table::PodEntry;
use crate::pods::view::{ContainerMetrics, Metric, MetricDescriptor, MetricKind, PodMetrics};
use crate::pods::{PodError, Pods};

/// By which values are told apart.
const LABELS: [&str; 5] = ["container", "pod", "namespace", "image", "id"];
const NETWORK_LABELS: [&str; 4] = ["pod", "namespace", "interface", "id"];

struct Known {
    descriptor: MetricDescriptor,
    kind: MetricKind,
    value: fn(&Stats) -> u64,
}

const fn known(
    name: &'static str,
    help: &'static str,
    kind: MetricKind,
    value: fn(&Stats) -> u64,
) -> Known {
    Known { descriptor: MetricDescriptor { name, help, labels: &LABELS }, kind, value }
}

fn raw(stats: &Stats, v1: &str, v2: &str) -> u64 {
    stats.memory.raw.get(v1).or_else(|| stats.memory.raw.get(v2)).copied().unwrap_or(0)
}

const KNOWN: [Known; 11] = [
    known(
        "container_cpu_usage_seconds_total",
        "Processor time used, seconds",
        MetricKind::Counter,
        |s| s.cpu.usage.total / 1_000_000_000,
    ),
    known(
        "container_cpu_user_seconds_total",
        "Processor time used in user mode, seconds",
        MetricKind::Counter,
        |s| s.cpu.usage.user / 1_000_000_000,
    ),
    known(
        "container_cpu_system_seconds_total",
        "Processor time used in the kernel, seconds",
        MetricKind::Counter,
        |s| s.cpu.usage.kernel / 1_000_000_000,
    ),
    known(
        "container_cpu_cfs_throttled_periods_total",
        "Periods in which the quota was used up",
        MetricKind::Counter,
        |s| s.cpu.throttling.throttled_periods,
    ),
    known(
        "container_memory_usage_bytes",
        "Memory in use, page cache included, bytes",
        MetricKind::Gauge,
        |s| s.memory.usage.usage,
    ),
    known(
        "container_memory_working_set_bytes",
        "Memory in use without what can be dropped at once, bytes",
        MetricKind::Gauge,
        |s| s.memory.usage.usage.saturating_sub(raw(s, "total_inactive_file", "inactive_file")),
    ),
    known("container_memory_rss", "Anonymous memory, bytes", MetricKind::Gauge, |s| {
        raw(s, "total_rss", "anon")
    }),
    known("container_memory_cache", "Page cache, bytes", MetricKind::Gauge, |s| {
        raw(s, "total_cache", "file")
    }),
    known(
        "container_memory_failcnt",
        "How often the memory limit was hit",
        MetricKind::Counter,
        |s| s.memory.usage.failcnt,
    ),
    known("container_processes", "Processes", MetricKind::Gauge, |s| s.pids.current),
    known(
        "container_spec_memory_limit_bytes",
        "Memory limit, bytes; 0 is none",
        MetricKind::Gauge,
        |s| {
            if s.memory.usage.limit < 1 << 60 { s.memory.usage.limit } else { 0 }
        },
    ),
];

const fn network(name: &'static str, help: &'static str) -> MetricDescriptor {
    MetricDescriptor { name, help, labels: &NETWORK_LABELS }
}

const NETWORK: [MetricDescriptor; 4] = [
    network("container_network_receive_bytes_total", "Bytes received"),
    network("container_network_receive_errors_total", "Errors while receiving"),
    network("container_network_transmit_bytes_total", "Bytes sent"),
    network("container_network_transmit_errors_total", "Errors while sending"),
];

/// All of them.
static DESCRIPTORS: [MetricDescriptor; KNOWN.len() + NETWORK.len()] = {
    let mut all = [NETWORK[0]; KNOWN.len() + NETWORK.len()];
    let mut at = 0;
    while at < KNOWN.len() {
        all[at] = KNOWN[at].descriptor;
        at += 1;
    }
    while at < all.len() {
        all[at] = NETWORK[at - KNOWN.len()];
        at += 1;
    }
    all
};

fn metrics(stats: &Stats, labels: &[String], timestamp: u64) -> Vec<Metric> {
    KNOWN
        .iter()
        .map(|known| Metric {
            name: known.descriptor.name,
            timestamp,
            kind: known.kind,
            label_values: labels.to_vec(),
            value: (known.value)(stats),
        })
        .collect()
}

impl Pods {
    /// The metrics that pods have.
    #[must_use]
    pub fn metric_descriptors(&self) -> &'static [MetricDescriptor] {
        &DESCRIPTORS
    }

    /// The metrics of all pods that stand.
    ///
    /// # Errors
    /// None yet.
    pub fn pod_metrics(&self) -> Result<Vec<PodMetrics>, PodError> {
        let pods = self.table().pods();
        Ok(pods
            .iter()
            .filter(|pod| pod.phase() == PodPhase::Ready)
            .map(|pod| self.metrics_of(pod))
            .collect())
    }

    fn metrics_of(&self, pod: &PodEntry) -> PodMetrics {
        let request = pod.request();
        let now = now_nanos();
        let labels = |container: &str, image: &str, id: &str| {
            [container, &request.name, &request.namespace, image, id].map(str::to_owned)
        };
        let own = self.pod_counters(pod);
        let mut list =
            own.map(|stats| metrics(&stats, &labels("", "", &pod.id), now)).unwrap_or_default();
        if let Some(network) = self.network_usage(pod) {
            for interface in network.default_interface.iter().chain(&network.interfaces) {
                let labels = [&request.name, &request.namespace, &interface.name, &pod.id];
                let values = [
                    interface.rx_bytes,
                    interface.rx_errors,
                    interface.tx_bytes,
                    interface.tx_errors,
                ];
                list.extend(NETWORK.iter().zip(values).map(|(descriptor, value)| Metric {
                    name: descriptor.name,
                    timestamp: now,
                    kind: MetricKind::Counter,
                    label_values: labels.map(|text| (*text).clone()).to_vec(),
                    value,
                }));
            }
        }
        let containers = self.table().containers_of(&pod.id);
        let running = containers.iter().filter(|container| container.phase() == Phase::Running);
        PodMetrics {
            pod: pod.id.clone(),
            metrics: list,
            containers: running
                .filter_map(|container| {
                    let stats = self.counters(pod, &container.id)?;
                    let summary = container.summary();
                    let image = &summary.image_ref;
                    let labels = labels(&summary.request.name, image, &container.id);
                    Some(ContainerMetrics {
                        container: container.id.clone(),
                        metrics: metrics(&stats, &labels, now),
                    })
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_values_fit_their_labels() {
        let mut names: Vec<&str> = DESCRIPTORS.iter().map(|d| d.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DESCRIPTORS.len());
        for metric in metrics(&Stats::default(), &LABELS.map(str::to_owned), 1) {
            let descriptor = DESCRIPTORS.iter().find(|d| d.name == metric.name).unwrap();
            assert_eq!(descriptor.labels.len(), metric.label_values.len());
        }
    }
}
