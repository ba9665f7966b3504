//! Metrics of pods.

use std::sync::LazyLock;

use super::facts::Facts;
use super::metric_table::KNOWN;
use crate::clock::now_nanos;
use crate::metadata::{Phase, PodPhase};
use crate::pods::table::PodEntry;
use crate::pods::view::{
    ContainerMetrics, InterfaceUsage, Metric, MetricDescriptor, MetricKind, PodMetrics,
};
use crate::pods::{PodError, Pods};

/// By which values are told apart.
const LABELS: [&str; 5] = ["container", "pod", "namespace", "image", "id"];
const NETWORK_LABELS: [&str; 4] = ["pod", "namespace", "interface", "id"];

type OfInterface = fn(&InterfaceUsage) -> u64;

/// Those of interfaces. What is dropped is not told apart from errors.
static NETWORK: [(&str, &str, OfInterface); 8] = [
    ("container_network_receive_bytes_total", "Bytes received", |i| i.rx_bytes),
    ("container_network_receive_errors_total", "Errors while receiving", |i| i.rx_errors),
    ("container_network_receive_packets_total", "Packets received", |i| i.rx_packets),
    ("container_network_receive_packets_dropped_total", "Packets dropped on the way in", |i| {
        i.rx_dropped
    }),
    ("container_network_transmit_bytes_total", "Bytes sent", |i| i.tx_bytes),
    ("container_network_transmit_errors_total", "Errors while sending", |i| i.tx_errors),
    ("container_network_transmit_packets_total", "Packets sent", |i| i.tx_packets),
    ("container_network_transmit_packets_dropped_total", "Packets dropped on the way out", |i| {
        i.tx_dropped
    }),
];

static DESCRIPTORS: LazyLock<Vec<MetricDescriptor>> = LazyLock::new(|| {
    let of_containers = KNOWN.iter().map(|known| MetricDescriptor {
        name: known.name,
        help: known.help,
        labels: &LABELS,
    });
    let of_interfaces = NETWORK.iter().map(|(name, help, _)| MetricDescriptor {
        name,
        help,
        labels: &NETWORK_LABELS,
    });
    of_containers.chain(of_interfaces).collect()
});

fn metrics(facts: &Facts, labels: &[String]) -> Vec<Metric> {
    let one = |known: &super::metric_table::Known| {
        Some(Metric {
            name: known.name,
            timestamp: facts.at,
            kind: known.kind,
            label_values: labels.to_vec(),
            value: (known.value)(facts)?,
        })
    };
    KNOWN.iter().filter_map(one).collect()
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
        let mut list = Vec::new();
        if let Some(network) = self.network_usage(pod) {
            for interface in network.default_interface.iter().chain(&network.interfaces) {
                let labels = [&request.name, &request.namespace, &interface.name, &pod.id];
                list.extend(NETWORK.iter().map(|(name, _, value)| Metric {
                    name,
                    timestamp: now,
                    kind: MetricKind::Counter,
                    label_values: labels.map(Clone::clone).to_vec(),
                    value: value(interface),
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
                    let facts = self.facts(pod, container)?;
                    let summary = container.summary();
                    let (name, image) = (&summary.request.name, &summary.image_ref);
                    let labels = [name, &request.name, &request.namespace, image, &container.id];
                    Some(ContainerMetrics {
                        container: container.id.clone(),
                        metrics: metrics(&facts, &labels.map(Clone::clone)),
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
    fn names_are_told_apart() {
        let mut names: Vec<&str> = DESCRIPTORS.iter().map(|d| d.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DESCRIPTORS.len());
        assert!(DESCRIPTORS.iter().all(|d| !d.help.is_empty()));
    }
}
