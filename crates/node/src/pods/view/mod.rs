//! What the engine tells of pods and containers.

mod container;
mod event;
mod filter;
mod metrics;
mod operation;
mod pod;
mod runtime;
mod stats;

pub use container::{
    ContainerState, ContainerStatus, ContainerSummary, ContainerUser, MountStatus,
};
pub use event::{PodEvent, PodEventKind};
pub(crate) use filter::has_labels;
pub use filter::{ContainerFilter, PodFilter};
pub use metrics::{ContainerMetrics, Metric, MetricDescriptor, MetricKind, PodMetrics};
pub use operation::OperationView;
pub use pod::{PodState, PodStatus, PodSummary};
pub use runtime::{CgroupDriver, Condition, HandlerFeatures, RuntimeStatus};
pub use stats::{
    ContainerStats, CpuUsage, FilesystemUsage, InterfaceUsage, IoUsage, MemoryUsage, NetworkUsage,
    PodStats, Psi, PsiFigures, SwapUsage,
};
