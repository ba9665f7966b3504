//! TCP and UDP, over IPv4 and IPv6.

pub mod address;
pub mod options;
pub mod ports;
mod tcp;
pub mod udp;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use rustix::io::Errno;

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
}

impl Default for Inet {
    fn default() -> Self {
        Inet { tcp: Ports::new(true), udp: Ports::new(false) }
    }
}

impl Inet {
    /// Whether what is sent to an address stays in the sandbox.
    #[must_use]
    pub fn is_own(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || ip.is_unspecified()
    }

    /// Whether a socket may be bound to an address.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL`
    pub fn check_bind(&self, ip: IpAddr, is_datagram: bool) -> Result<(), Errno> {
        let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        let group = is_datagram && (ip.is_multicast() || broadcast);
        if self.is_own(ip) || group { Ok(()) } else { Err(Errno::ADDRNOTAVAIL) }
    }

    /// The address from which something is sent to `to`.
    ///
    /// # Errors
    /// `ENETUNREACH`
    pub fn source(&self, to: SocketAddr) -> Result<IpAddr, Errno> {
        match to.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => Ok(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_loopback() => Ok(Ipv6Addr::LOCALHOST.into()),
            _ => Err(Errno::NETUNREACH),
        }
    }
}
