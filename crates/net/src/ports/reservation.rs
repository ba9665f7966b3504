//! Holding a port of the host, so that nobody else takes it meanwhile.
//!
//! The socket is bound and nothing more: packets are redirected to the pod
//! before they would reach it. The kernel refuses the port to everybody else
//! for as long as the descriptor is open somewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt,
};

use super::holder;
use super::mapping::{PortMapping, Protocol};

/// How often a port is chosen anew that is free on one address and taken on another.
const CHOICES: u32 = 32;

/// Why a port can't be published.
#[derive(Debug, thiserror::Error)]
pub enum ReservationError {
    /// Somebody has it.
    #[error(
        "port {port}/{protocol} of {address} is in use by {holder}: \
         stop that, or publish another port"
    )]
    InUse {
        /// The wanted port.
        port: u16,
        /// TCP or UDP.
        protocol: Protocol,
        /// The host's address, or words for all of them.
        address: String,
        /// A process with its number, a pod, or words for what is known.
        holder: String,
    },
    /// The host has no such address.
    #[error("port {port}/{protocol}: {address} is no address of this machine")]
    NoSuchAddress {
        /// The wanted port.
        port: u16,
        /// TCP or UDP.
        protocol: Protocol,
        /// The host's address.
        address: IpAddr,
    },
    /// Below `net.ipv4.ip_unprivileged_port_start`, and not allowed to.
    #[error(
        "port {port}/{protocol} is privileged: publish one from {first} on, or lower the sysctl \
         net.ipv4.ip_unprivileged_port_start"
    )]
    Privileged {
        /// The wanted port.
        port: u16,
        /// TCP or UDP.
        protocol: Protocol,
        /// The first port that everybody may take.
        first: u16,
    },
    /// Two mappings of one request want the same.
    #[error("port {port}/{protocol} is published twice by the same request")]
    Twice {
        /// The wanted port.
        port: u16,
        /// TCP or UDP.
        protocol: Protocol,
    },
    /// The same pod can't be reached over IPv6.
    #[error("port {port}/{protocol}: the pod has no IPv6 address to publish on {address}")]
    NoIpv6 {
        /// The wanted port.
        port: u16,
        /// TCP or UDP.
        protocol: Protocol,
        /// The host's address.
        address: IpAddr,
    },
    /// Anything else the kernel says.
    #[error("port {port}/{protocol} of {address}: {cause}")]
    Bind {
        /// The wanted port.
        port: u16,
        /// TCP or UDP.
        protocol: Protocol,
        /// The host's address.
        address: IpAddr,
        /// The kernel's answer.
        cause: Errno,
    },
}

/// Mappings with the ports that were chosen, and what holds them.
#[derive(Debug, Default)]
pub struct Reserved {
    /// Each with a host port that is not 0.
    pub ports: Vec<PortMapping>,
    /// One or two sockets for each mapping.
    pub sockets: Vec<OwnedFd>,
}

/// Reserves all `wanted` or none. `ipv6` says whether the pod can be reached
/// over IPv6. `owner` may name a pod of ours that published a port, which
/// procfs does not tell.
pub fn reserve(
    wanted: &[PortMapping],
    ipv6: bool,
    owner: &dyn Fn(&PortMapping) -> Option<String>,
) -> Result<Reserved, ReservationError> {
    let mut reserved = Reserved::default();
    for mapping in wanted {
        let (port, protocol) = (mapping.host_port, mapping.protocol);
        if let Some(address @ IpAddr::V6(_)) = mapping.host_ip
            && !ipv6
        {
            return Err(ReservationError::NoIpv6 { port, protocol, address });
        }
        if reserved.ports.iter().any(|other| clash(other, mapping)) {
            return Err(ReservationError::Twice { port, protocol });
        }
        // Those of pods of ours are redirected, even if nobody holds them any more.
        let mut redirected = Vec::new();
        let (chosen, sockets) = loop {
            let (port, sockets) = reserve_one(mapping, ipv6)
                .map_err(|(address, cause)| explain(mapping, address, cause, owner))?;
            let chosen = PortMapping { host_port: port, ..mapping.clone() };
            let is_free = mapping.host_port != 0 || owner(&chosen).is_none();
            if is_free || redirected.len() >= CHOICES as usize {
                break (chosen, sockets);
            }
            redirected.push(sockets);
        };
        reserved.ports.push(chosen);
        reserved.sockets.extend(sockets);
    }
    Ok(reserved)
}

/// Whether both want the same port of the same address.
pub(crate) fn clash(one: &PortMapping, other: &PortMapping) -> bool {
    let any = |ip: Option<IpAddr>| ip.filter(|ip| !ip.is_unspecified());
    let same_address = match (any(one.host_ip), any(other.host_ip)) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    let taken = one.host_port == other.host_port && one.host_port != 0;
    taken && one.protocol == other.protocol && same_address
}

fn addresses(mapping: &PortMapping, ipv6: bool) -> Vec<IpAddr> {
    let (any4, any6) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    match mapping.host_ip {
        Some(ip) => vec![ip],
        None if ipv6 => vec![any4, any6],
        None => vec![any4],
    }
}

type Refused = (IpAddr, Errno);

fn reserve_one(mapping: &PortMapping, ipv6: bool) -> Result<(u16, Vec<OwnedFd>), Refused> {
    let addresses = addresses(mapping, ipv6);
    let mut tries = if mapping.host_port == 0 { CHOICES } else { 1 };
    loop {
        tries -= 1;
        match bind_all(&addresses, mapping) {
            Err((_, Errno::ADDRINUSE)) if tries > 0 => {}
            result => return result,
        }
    }
}

/// Binds one port of all addresses; the kernel chooses it at the first if it is 0.
fn bind_all(addresses: &[IpAddr], mapping: &PortMapping) -> Result<(u16, Vec<OwnedFd>), Refused> {
    let (mut port, mut sockets) = (mapping.host_port, Vec::new());
    for &ip in addresses {
        let socket = match bind_address(mapping.protocol, SocketAddr::new(ip, port)) {
            // IPv6 is off; all other addresses are still to be had.
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if ip == Ipv6Addr::UNSPECIFIED => {
                continue;
            }
            result => result.map_err(|cause| (ip, cause))?,
        };
        if port == 0 {
            let name = getsockname(&socket).map_err(|cause| (ip, cause))?;
            port = SocketAddr::try_from(name).map_err(|cause| (ip, cause))?.port();
        }
        sockets.push(socket);
    }
    Ok((port, sockets))
}

fn bind_address(protocol: Protocol, address: SocketAddr) -> Result<OwnedFd, Errno> {
    match bind_once(protocol, address, false) {
        // Connections of a program that is gone may linger for a minute; they
        // hold the port against everybody who does not say that he knows.
        Err(Errno::ADDRINUSE) if protocol == Protocol::Tcp && only_lingering(address) => {
            bind_once(protocol, address, true)
        }
        result => result,
    }
}

fn only_lingering(address: SocketAddr) -> bool {
    let ip = Some(address.ip()).filter(|ip| !ip.is_unspecified());
    address.port() != 0 && holder::find(Protocol::Tcp, ip, address.port()).is_none()
}

fn bind_once(protocol: Protocol, address: SocketAddr, reuse: bool) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if reuse {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    if protocol == Protocol::Udp {
        // Nobody reads here; the least that the kernel allows is kept.
        sockopt::set_socket_recv_buffer_size(&socket, 0)?;
    }
    bind(&socket, &address)?;
    Ok(socket)
}

fn explain(
    mapping: &PortMapping,
    address: IpAddr,
    cause: Errno,
    owner: &dyn Fn(&PortMapping) -> Option<String>,
) -> ReservationError {
    let (port, protocol) = (mapping.host_port, mapping.protocol);
    match cause {
        Errno::ADDRINUSE => {
            let ip = Some(address).filter(|ip| !ip.is_unspecified());
            let holder = owner(mapping)
                .or_else(|| holder::find(protocol, ip, port).map(|holder| holder.to_string()))
                .unwrap_or_else(|| {
                    "a process that can't be seen from here (`ss -lntup` as root may tell)"
                        .to_owned()
                });
            let address = ip.map_or_else(|| "this machine".to_owned(), |ip| ip.to_string());
            ReservationError::InUse { port, protocol, address, holder }
        }
        Errno::ADDRNOTAVAIL => ReservationError::NoSuchAddress { port, protocol, address },
        Errno::ACCESS => ReservationError::Privileged { port, protocol, first: first_port() },
        _ => ReservationError::Bind { port, protocol, address, cause },
    }
}

fn first_port() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn mapping(text: &str) -> PortMapping {
        PortMapping::parse(text).unwrap().remove(0)
    }

    fn nobody(_: &PortMapping) -> Option<String> {
        None
    }

    #[test]
    fn a_port_is_chosen_and_held() {
        let reserved = reserve(&[mapping("127.0.0.1::80")], false, &nobody).unwrap();
        let port = reserved.ports[0].host_port;
        assert_ne!(port, 0);
        assert!(TcpListener::bind(("127.0.0.1", port)).is_err());
        drop(reserved);
        TcpListener::bind(("127.0.0.1", port)).unwrap();
    }

    #[test]
    fn no_port_is_chosen_that_a_pod_has_published() {
        let first = std::cell::Cell::new(0);
        let owner = |wanted: &PortMapping| {
            if first.get() == 0 {
                first.set(wanted.host_port);
            }
            (wanted.host_port == first.get()).then(|| "pod abc".to_owned())
        };
        let reserved = reserve(&[mapping("127.0.0.1::80")], false, &owner).unwrap();
        let port = reserved.ports[0].host_port;
        assert!(first.get() != 0 && port != 0 && port != first.get());
        assert_eq!(reserved.sockets.len(), 1);
        TcpListener::bind(("127.0.0.1", first.get())).unwrap();
    }

    #[test]
    fn the_holder_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let wanted = mapping(&format!("127.0.0.1:{port}:80"));
        let error = reserve(std::slice::from_ref(&wanted), false, &nobody).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
        let error = reserve(&[wanted], false, &|_| Some("pod abc".to_owned())).unwrap_err();
        assert!(error.to_string().contains("pod abc"), "{error}");
    }

    #[test]
    fn one_request_can_not_take_a_port_twice() {
        let free = reserve(&[mapping("127.0.0.1::80")], false, &nobody).unwrap().ports[0].host_port;
        let twice =
            [mapping(&format!("127.0.0.1:{free}:80")), mapping(&format!("127.0.0.1:{free}:81"))];
        let error = reserve(&twice, false, &nobody).unwrap_err();
        assert!(matches!(error, ReservationError::Twice { .. }), "{error}");
        let fine = [mapping(&format!("127.0.0.1:{free}:80")), mapping("127.0.0.1::81/udp")];
        assert_eq!(reserve(&fine, false, &nobody).unwrap().sockets.len(), 2);
    }

    #[test]
    fn strange_addresses_are_refused() {
        let error = reserve(&[mapping("203.0.113.9::80")], false, &nobody).unwrap_err();
        assert!(matches!(error, ReservationError::NoSuchAddress { .. }), "{error}");
        let error = reserve(&[mapping("[::1]::80")], false, &nobody).unwrap_err();
        assert!(matches!(error, ReservationError::NoIpv6 { .. }), "{error}");
    }

    #[test]
    fn all_addresses_get_the_same_chosen_port() {
        let reserved = reserve(&[mapping("80")], true, &nobody).unwrap();
        assert!(!reserved.sockets.is_empty());
        assert!(TcpListener::bind(("127.0.0.1", reserved.ports[0].host_port)).is_err());
    }
}
