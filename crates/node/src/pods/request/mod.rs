//! What a caller asks for: pods and their containers, in terms of no protocol.
//!
//! Everything here is an allegation: numbers are as wide as protocols have
//! them, and are checked when a request is taken.

mod container;
mod pod;
mod resources;
mod security;

pub use container::{
    ContainerDevice, ContainerMount, ImageChoice, PodContainerRequest, Propagation,
};
pub use pod::{PodDns, PodPort, PodRequest, PortProtocol};
pub use resources::{HugepageLimit, PodResources};
pub use security::{
    CapabilityRequest, ContainerSecurity, IdMapping, NamespaceChoice, NamespaceOptions,
    PodSecurity, ProfileChoice, RunAs, SelinuxLabel, SupplementalGroupsPolicy, UserNamespace,
};
