//! From the engine's answers to the contract's.

mod containers;
mod events;
mod metrics;
mod pods;
mod resources;
mod stats;

pub(crate) use containers::{container, container_status};
pub(crate) use events::event;
pub(crate) use metrics::{descriptor, pod_metrics};
pub(crate) use pods::{pod, pod_status, pod_status_response};
pub(crate) use resources::resources;
pub(crate) use stats::{container_stats, pod_stats};

/// A time. The contract's are signed.
fn time(nanos: u64) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}
