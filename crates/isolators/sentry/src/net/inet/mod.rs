//! TCP and UDP, over IPv4 and IPv6.

pub mod address;
pub mod options;
pub mod ports;
mod tcp;
pub mod udp;

use std::sync::Arc;

pub use ports::{Ports, Wish};
pub use tcp::{BUFFER, Progress, Tcp};
pub use udp::Udp;

/// Ports and addresses of the sandbox.
#[derive(Debug)]
pub struct Inet {
    /// Ports of TCP.
    pub tcp: Arc<Ports<Tcp>>,
    /// Ports of UDP.
    pub udp: Arc<Ports<Udp>>,
    /// Ports of UDP-Lite, whose shorter checksums there is nothing for here.
    pub udp_lite: Arc<Ports<Udp>>,
}

impl Default for Inet {
    fn default() -> Self {
        Inet { tcp: Ports::new(true), udp: Ports::new(false), udp_lite: Ports::new(false) }
    }
}
