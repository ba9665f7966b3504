//! TCP and UDP, over IPv4 and IPv6.

pub mod address;
pub mod errors;
pub mod icmp;
pub mod options;
pub mod ports;
mod tcp;
pub mod udp;

use std::sync::Arc;

pub use ports::{Ports, Wish};
pub use tcp::{BUFFER, Patience, Progress, Tcp};
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
    /// Identities of echo requests, as ports.
    pub ping4: Arc<Ports<Udp>>,
    /// Those over IPv6.
    pub ping6: Arc<Ports<Udp>>,
    /// Raw sockets, by the number of their protocol.
    pub raw: Arc<Ports<Udp>>,
}

impl Inet {
    /// Ports of UDP-Lite, or of UDP.
    #[must_use]
    pub fn datagrams(&self, lite: bool) -> &Ports<Udp> {
        if lite { &self.udp_lite } else { &self.udp }
    }
}

impl Default for Inet {
    fn default() -> Self {
        let ports = || Ports::new(false);
        Inet {
            tcp: Ports::new(true),
            udp: ports(),
            udp_lite: ports(),
            ping4: ports(),
            ping6: ports(),
            raw: ports(),
        }
    }
}
