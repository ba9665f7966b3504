//! Sockets: what they are made of. The calls on them are in `syscalls/sockets`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::settings::Settings;

pub mod inbox;
pub mod inet;
pub mod ioctl;
pub mod links;
pub mod netlink;
pub mod procfs;
pub mod rights;
pub mod socket;
pub mod stack;
pub mod unix;

pub use inbox::{Packet, Received, Sender};
pub use inet::{Tcp, Udp};
pub use netlink::Netlink;
pub use rights::Rights;
pub use socket::{Body, Options, Outgoing, Socket, SocketFile, Type};
pub use stack::{Outside, OutsideError, Stack};
pub use unix::Unix;

/// The sandbox's network: names, addresses and ports in use.
#[derive(Debug, Default)]
pub struct Network {
    /// Names of UNIX sockets.
    pub unix: unix::Names,
    /// Ports.
    pub inet: inet::Inet,
    /// What its configuration says.
    pub settings: Settings,
    links: OnceLock<links::Links>,
    stack: OnceLock<Arc<Stack>>,
    /// Of the host's interface.
    claim: OnceLock<std::os::fd::OwnedFd>,
}

impl Network {
    /// Interfaces, addresses and routes: the loopback interface, unless others were
    /// given before anybody asked.
    #[must_use]
    pub fn links(&self) -> &links::Links {
        self.links.get_or_init(links::Links::default)
    }

    /// The way to other machines, if there is one.
    #[must_use]
    pub fn stack(&self) -> Option<&Arc<Stack>> {
        self.stack.get()
    }

    /// Uses an interface of the host's. Before the first program starts.
    ///
    /// # Errors
    /// If its thread can't be started.
    pub fn open(kernel: &Arc<Kernel>, outside: Outside) -> std::io::Result<()> {
        let Outside { links, socket, wake, claim } = outside;
        let this = &kernel.network;
        if let Some(link) = links.links.last() {
            let stack = stack::start(kernel, link, &links, (socket, wake))?;
            let _ = this.stack.set(stack);
        }
        let _ = this.links.set(links);
        let _ = this.claim.set(claim);
        Ok(())
    }

    /// Whether what is sent to an address stays in the sandbox.
    #[must_use]
    pub fn is_own(&self, ip: IpAddr) -> bool {
        ip.is_unspecified() || self.links().is_own(ip)
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
            own if self.links().is_own(own) => Ok(own),
            far => {
                let route = self.links().route(far).ok_or(Errno::NETUNREACH)?;
                self.links().source(route, far).ok_or(Errno::NETUNREACH)
            }
        }
    }
}
