//! Networks of pods: the built-in bridge, published ports, CNI, and the
//! programs that carry packets for users without privileges.

pub mod bridge;
pub mod check;
pub mod cni;
pub mod dns;
mod netlink;
pub mod netns;
pub mod network;
pub mod ports;
pub mod process;
pub mod program;
pub mod request;
pub mod settings;
pub mod state;
pub mod subnet;

pub use check::{Finding, Severity};
pub use dns::{DnsConfig, DnsError, ExtraHost, HostsRequest, hosts, resolv_conf};
pub use network::{Collected, Network, NetworkError};
pub use ports::mapping::{PortMapping, PortMappingError, Protocol};
pub use request::{
    AddressWithPrefix, Bandwidth, Interface, MacAddress, NetRequest, NetResult, NetworkMode,
    NetworkProcess,
};
pub use settings::{Ipv6, NetSettings};
pub use subnet::Ipv4Subnet;
