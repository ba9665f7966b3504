//! Metrics of pods.

/// What a number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A metric that pods have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricDescriptor {
    /// Its name.
    pub name: &'static str,
    /// For people.
    pub help: &'static str,
    /// What its values are told apart by, in this order.
    pub labels: &'static [&'static str],
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// As in [`MetricDescriptor::name`].
    pub name: &'static str,
    /// Nanoseconds since 1970.
    pub timestamp: u64,
    /// What it means.
    pub kind: MetricKind,
    /// Values of the descriptor's labels.
    pub label_values: Vec<String>,
    /// The number.
    pub value: u64,
}

/// The values of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodMetrics {
    /// The pod.
    pub pod: String,
    /// Its own.
    pub metrics: Vec<Metric>,
    /// Its containers'.
    pub containers: Vec<ContainerMetrics>,
}

/// The values of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerMetrics {
    /// The container.
    pub container: String,
    /// Its values.
    pub metrics: Vec<Metric>,
}
