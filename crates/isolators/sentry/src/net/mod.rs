//! Sockets: what they are made of. The calls on them are in `syscalls/sockets`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::settings::Settings;
use crate::task::user_namespace::Space;
use crate::task::waiter::lock;
use crate::vfs::Poller;

pub mod apart;
mod family;
mod filter;
pub mod host;
pub mod inbox;
pub mod inet;
pub mod ioctl;
pub mod links;
pub mod netlink;
pub mod pair;
pub mod procfs;
pub mod rights;
pub mod socket;
pub mod stack;
pub mod unix;

pub use filter::Filter;
pub use host::HostSocket;
pub use inbox::{Packet, Received, Sender};
pub use inet::{Tcp, Udp};
pub use netlink::Netlink;
pub use rights::Rights;
pub use socket::{Body, Options, Outgoing, Socket, SocketFile, Type};
pub use stack::{Outside, OutsideError, Stack};
pub use unix::Unix;

/// A network: names, addresses and ports in use. The sandbox's own, or one of
/// [`Network::apart`].
#[derive(Debug, Default)]
pub struct Network {
    /// Names of UNIX sockets.
    pub unix: unix::Names,
    /// Ports.
    pub inet: inet::Inet,
    /// What its configuration says.
    pub settings: Settings,
    /// Its number as a namespace; none: the sandbox's own, which no program changes.
    pub number: Option<u64>,
    /// Where capabilities count in it.
    pub owner: Space,
    /// By which it knows others.
    pub numbers: netlink::Numbers,
    links: Mutex<Arc<links::Links>>,
    stack: OnceLock<Arc<Stack>>,
    /// Of the host's interface.
    claim: OnceLock<std::os::fd::OwnedFd>,
    /// Who waits for sockets of the host's, where those are used.
    host_sockets: OnceLock<Arc<Poller>>,
}

/// How a sandbox reaches other machines.
#[derive(Debug)]
pub enum Uplink {
    /// Not at all: there is a loopback interface.
    None,
    /// By an interface of the host's, with a TCP/IP of its own.
    Interface(Box<Outside>),
    /// By sockets of the host's, which has these interfaces where the sentry is.
    HostSockets(links::Links),
}

impl Uplink {
    /// Sockets of the host's, of the network namespace that this process is in.
    ///
    /// # Errors
    /// [`OutsideError`], if the host does not tell its interfaces.
    pub fn host_sockets() -> Result<Self, OutsideError> {
        let told = netlink::host::Host::new().and_then(|host| host.links());
        told.map(Uplink::HostSockets).map_err(|errno| OutsideError::Step {
            space: "network namespace of the sockets".to_owned(),
            step: "read addresses and routes",
            errno,
        })
    }
}

impl Network {
    /// Interfaces, addresses and routes, as they are now.
    #[must_use]
    pub fn links(&self) -> Arc<links::Links> {
        let mut links = lock(&self.links);
        if let Some(left) = links.without_lost() {
            *links = Arc::new(left);
        }
        Arc::clone(&links)
    }

    /// The way to other machines, if there is one.
    #[must_use]
    pub fn stack(&self) -> Option<&Arc<Stack>> {
        self.stack.get()
    }

    /// Who waits for sockets of the host's, if TCP and UDP are made of those.
    #[must_use]
    pub fn host_sockets(&self) -> Option<&Arc<Poller>> {
        self.host_sockets.get()
    }

    /// Uses what the host has. Before the first program starts.
    ///
    /// # Errors
    /// If a thread can't be started.
    pub fn open(kernel: &Arc<Kernel>, uplink: Uplink) -> std::io::Result<()> {
        let this = &kernel.network;
        let outside = match uplink {
            Uplink::None => return Ok(()),
            Uplink::HostSockets(links) => {
                *lock(&this.links) = Arc::new(links);
                let _ = this.host_sockets.set(Arc::clone(&kernel.files.poller));
                return Ok(());
            }
            Uplink::Interface(outside) => outside,
        };
        let Outside { links, socket, wake, claim } = *outside;
        if let Some(link) = links.links.last() {
            let stack = stack::start(kernel, link, &links, (socket, wake))?;
            let _ = this.stack.set(stack);
        }
        *lock(&this.links) = Arc::new(links);
        let _ = this.claim.set(claim);
        Ok(())
    }

    /// Whether what is sent to an address stays in it.
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
        if self.links().may_be_bound(ip) || group { Ok(()) } else { Err(Errno::ADDRNOTAVAIL) }
    }

    /// The address from which something is sent to `to` by who is bound to an interface, if its
    /// number is not zero: those of a program's networks lead where they lead.
    ///
    /// # Errors
    /// `ENETUNREACH`
    pub fn source_by(&self, to: IpAddr, link: u32) -> Result<IpAddr, Errno> {
        let links = self.links();
        if let Some(own) = links.own_source(to) {
            return Ok(own);
        }
        let link = if self.number.is_none() || to.is_multicast() { 0 } else { link };
        let route = links.route_by(to, link).ok_or(Errno::NETUNREACH)?;
        links.source(&route, to).ok_or(Errno::NETUNREACH)
    }
}
