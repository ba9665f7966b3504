//! Which pods and containers are wanted. What is absent does not matter.

use std::collections::BTreeMap;

use super::{ContainerState, PodState};

/// Which pods.
#[derive(Clone, Debug, Default)]
pub struct PodFilter {
    /// Of this id, or whose id starts so.
    pub id: Option<String>,
    /// In this state.
    pub state: Option<PodState>,
    /// With all of these labels.
    pub labels: BTreeMap<String, String>,
}

/// Which containers.
#[derive(Clone, Debug, Default)]
pub struct ContainerFilter {
    /// Of this id, or whose id starts so.
    pub id: Option<String>,
    /// In this pod.
    pub pod: Option<String>,
    /// In this state.
    pub state: Option<ContainerState>,
    /// With all of these labels.
    pub labels: BTreeMap<String, String>,
}

/// Whether `labels` holds all of `wanted`.
pub(crate) fn has_labels(
    labels: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}
