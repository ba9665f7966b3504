//! Sockets: what they are made of. The calls on them are in `syscalls/sockets`.

use std::net::{IpAddr, Ipv4Addr};

use rustix::io::Errno;

pub mod inbox;
pub mod inet;
pub mod ioctl;
pub mod links;
pub mod netlink;
pub mod procfs;
pub mod rights;
pub mod socket;
pub mod unix;

pub use inbox::{Packet, Received, Sender};
pub use inet::{Tcp, Udp};
pub use netlink::Netlink;
pub use rights::Rights;
pub use socket::{Body, Options, Outgoing, Socket, SocketFile, Type};
pub use unix::Unix;

/// The sandbox's network: names, addresses and ports in use.
#[derive(Debug, Default)]
pub struct Network {
    /// Names of UNIX sockets.
    pub unix: unix::Names,
    /// Ports.
    pub inet: inet::Inet,
    /// Interfaces, addresses, routes.
    pub links: links::Links,
}

impl Network {
    /// Whether what is sent to an address stays in the sandbox.
    #[must_use]
    pub fn is_own(&self, ip: IpAddr) -> bool {
        ip.is_unspecified() || self.links.is_own(ip)
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
    pub fn source(&self, to: IpAddr) -> Result<IpAddr, Errno> {
        match to {
            IpAddr::V4(ip) if ip.is_loopback() => Ok(Ipv4Addr::LOCALHOST.into()),
            own if self.links.is_own(own) => Ok(own),
            far => {
                let route = self.links.route(far).ok_or(Errno::NETUNREACH)?;
                self.links.source(route, far).ok_or(Errno::NETUNREACH)
            }
        }
    }
}
