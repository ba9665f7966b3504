//! Metrics.

use caisson_node::pods::view::{Metric, MetricDescriptor, MetricKind, PodMetrics};

use super::time;
use crate::v1;

/// A metric by name.
pub(crate) fn descriptor(from: &MetricDescriptor) -> v1::MetricDescriptor {
    v1::MetricDescriptor {
        name: from.name.to_owned(),
        help: from.help.to_owned(),
        label_keys: from.labels.iter().map(|label| (*label).to_owned()).collect(),
    }
}

fn metric(from: Metric) -> v1::Metric {
    let kind = match from.kind {
        MetricKind::Counter => v1::MetricType::Counter,
        MetricKind::Gauge => v1::MetricType::Gauge,
    };
    v1::Metric {
        name: from.name.to_owned(),
        timestamp: time(from.timestamp),
        metric_type: kind as i32,
        label_values: from.label_values,
        value: Some(v1::UInt64Value { value: from.value }),
    }
}

/// A pod's values.
pub(crate) fn pod_metrics(from: PodMetrics) -> v1::PodSandboxMetrics {
    let containers = from.containers.into_iter().map(|container| v1::ContainerMetrics {
        container_id: container.container,
        metrics: container.metrics.into_iter().map(metric).collect(),
    });
    v1::PodSandboxMetrics {
        pod_sandbox_id: from.pod,
        metrics: from.metrics.into_iter().map(metric).collect(),
        container_metrics: containers.collect(),
    }
}
