//! Options of the levels IP, IPv6, TCP and UDP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::io::Errno;

use crate::net::inet::address;
use crate::net::inet::errors::OPTIONS as ERRORS;
use crate::net::inet::icmp::{ICMP6, RAW};
use crate::net::inet::options::{
    ADDRESS_FORM, CONGESTION, CORK, INFO, IP, IPV6, JOIN, JOIN6, LEAVE, LEAVE6, MULTICAST_ALL,
    MULTICAST_INTERFACE, ONLY_V6, TCP, UDP, UDP_LITE,
};
use crate::net::{Body, Outgoing, Socket};
use crate::task::waiter::lock;

use super::{AF_UNIX, tcp_info};

/// `SOL_NETLINK`
const NETLINK: i32 = 270;

/// Whether a socket has options of a level.
///
/// # Errors
/// What Linux says of another level.
fn check(socket: &Socket, level: i32) -> Result<(), Errno> {
    let known = match (&socket.body, level) {
        (Body::Unix(_), _) => return Err(Errno::OPNOTSUPP),
        (Body::Netlink(_), NETLINK) => return Ok(()),
        (Body::Netlink(_), _) => false,
        (Body::Tcp(_), TCP) | (Body::Udp(_), UDP) | (_, IP) => true,
        (Body::Udp(_), UDP_LITE) => socket.protocol == UDP_LITE,
        (_, IPV6) => socket.family() == address::V6,
        _ => false,
    };
    if known { Ok(()) } else { Err(Errno::OPNOTSUPP) }
}

pub(super) fn set(socket: &Socket, (level, option): (i32, i32), value: &[u8]) -> Result<(), Errno> {
    let unix = matches!(socket.body, Body::Unix(_));
    if matches!(level, 255 | ICMP6) && super::icmp::is_one(socket) {
        return super::icmp::set(socket, (level, option), value);
    }
    check(socket, level).map_err(|errno| if unix { errno } else { Errno::NOPROTOOPT })?;
    match (level, option) {
        // Groups, in which nothing is ever told, and how strict answers are.
        (NETLINK, 1..=12) => return Ok(()),
        // TCP_ULP: there is none, as without the module for TLS.
        (TCP, 31) => return Err(if value.is_empty() { Errno::INVAL } else { Errno::NOENT }),
        (TCP, CONGESTION) => {
            if value.is_empty() {
                return Err(Errno::INVAL);
            }
            let end = value.iter().position(|b| *b == 0).unwrap_or(value.len()).min(15);
            let name = value.get(..end).unwrap_or_default();
            let known = ["cubic", "reno"].into_iter().find(|known| known.as_bytes() == name);
            lock(&socket.options).congestion = known.ok_or(Errno::NOENT)?;
            return Ok(());
        }
        (IP, JOIN | LEAVE) => {
            let (group, by) = value.split_first_chunk::<4>().ok_or(Errno::INVAL)?;
            let link = interface(socket, by, Ipv4Addr::from(*group).into())?;
            return member(socket, (Ipv4Addr::from(*group).into(), link), option == JOIN);
        }
        (IPV6, JOIN6 | LEAVE6) => {
            let (group, by) = value.split_first_chunk::<16>().ok_or(Errno::INVAL)?;
            let index = by.first_chunk().copied().map(u32::from_le_bytes).ok_or(Errno::INVAL)?;
            let group = Ipv6Addr::from(*group).into();
            let link = match index {
                0 => of_route(socket, group).unwrap_or(1),
                index => socket.network.links().by_index(index).ok_or(Errno::NODEV)?.index,
            };
            return member(socket, (group, link), option == JOIN6);
        }
        (IPV6, ADDRESS_FORM) => {
            let form = value.first_chunk().copied().map(u32::from_le_bytes).ok_or(Errno::INVAL)?;
            return if form == u32::from(address::V4) {
                socket.become_v4()
            } else {
                Err(Errno::INVAL)
            };
        }
        (IP, MULTICAST_INTERFACE) => return multicast_interface(socket, value),
        (IP, 33) | (IPV6, 17 | 18) if matches!(socket.body, Body::Tcp(_)) => {
            return Err(if level == IP { Errno::INVAL } else { Errno::NOPROTOOPT });
        }
        // MULTICAST_IF, UNICAST_IF
        (IPV6, 17) => {
            let index = value.first_chunk().copied().map(u32::from_le_bytes).ok_or(Errno::INVAL)?;
            if index != 0 {
                socket.network.links().by_index(index).ok_or(Errno::NODEV)?;
            }
        }
        (IP, 50) | (IPV6, 76) => {
            let index = value.first_chunk().copied().map(u32::from_be_bytes).ok_or(Errno::INVAL)?;
            if index != 0 {
                socket.network.links().by_index(index).ok_or(Errno::ADDRNOTAVAIL)?;
            }
        }
        (IP, 2) if value.first() == Some(&0) && value.get(..4).is_none_or(|v| v == [0; 4]) => {
            return Err(Errno::INVAL);
        }
        _ => {}
    }
    // Of IP, a byte is enough.
    let number = match value.first_chunk() {
        Some(word) => i32::from_le_bytes(*word),
        // DONTFRAG, AUTOFLOWLABEL
        None if level == IPV6 && matches!(option, 62 | 70) => 0,
        None if level == IP => value.first().copied().map(i32::from).ok_or(Errno::INVAL)?,
        None => return Err(Errno::INVAL),
    };
    if (level, option) == (IPV6, ONLY_V6) {
        let set = |wish: &mut crate::net::inet::Wish| wish.only_v6 = number != 0;
        match &socket.body {
            Body::Tcp(tcp) if tcp.local().port() == 0 => tcp.set(set),
            Body::Udp(udp) if udp.local().port() == 0 => udp.set(set),
            _ => return Err(Errno::INVAL),
        }
    }
    lock(&socket.options).numbers.set(level, option, number)?;
    if let ((UDP, CORK, 0), Body::Udp(udp)) = ((level, option, number), &socket.body)
        && udp.has_begun()
    {
        // What was put together goes; nobody is told whether it arrives.
        let _ = super::inet::send(socket, udp, &mut Outgoing::default());
    }
    if let (true, Body::Udp(udp)) = (ERRORS.contains(&(level, option)), &socket.body) {
        udp.ask_for_errors(level == IPV6, number != 0);
    }
    Ok(())
}

/// The interface of `struct ip_mreq` or `ip_mreqn`, behind the group: by its number, by its
/// address, or where the group is sent to.
fn interface(socket: &Socket, by: &[u8], group: IpAddr) -> Result<u32, Errno> {
    let links = socket.network.links();
    let (address, rest) = by.split_first_chunk::<4>().ok_or(Errno::INVAL)?;
    if !group.is_multicast() {
        return Err(Errno::INVAL);
    }
    let index = rest.first_chunk().copied().map_or(0, u32::from_le_bytes);
    let address = Ipv4Addr::from(*address);
    let found = match (index, address.is_unspecified()) {
        (0, true) => return of_route(socket, group).ok_or(Errno::NODEV),
        (0, false) => links.by_address(address.into()),
        (index, _) => links.by_index(index),
    };
    found.map(|link| link.index).ok_or(Errno::NODEV)
}

fn of_route(socket: &Socket, group: IpAddr) -> Option<u32> {
    socket.network.links().route(group).map(|route| route.link)
}

/// `IP_MULTICAST_IF`: an address; of `struct ip_mreqn`, the number of an interface first.
fn multicast_interface(socket: &Socket, value: &[u8]) -> Result<(), Errno> {
    let links = socket.network.links();
    let (first, rest) = value.split_first_chunk::<4>().ok_or(Errno::INVAL)?;
    let address = rest.first_chunk().unwrap_or(first);
    let index = rest.get(4..8).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
    let address = match links.by_index(index) {
        _ if index == 0 => Ipv4Addr::from(*address),
        Some(link) => link.v4().map_or(Ipv4Addr::UNSPECIFIED, |v4| match v4.ip {
            IpAddr::V4(ip) => ip,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        }),
        None => return Err(Errno::ADDRNOTAVAIL),
    };
    if !address.is_unspecified() && !links.is_own(address.into()) {
        return Err(Errno::ADDRNOTAVAIL);
    }
    let value = i32::from_le_bytes(address.octets());
    lock(&socket.options).numbers.set(IP, MULTICAST_INTERFACE, value)
}

fn member(socket: &Socket, group: (IpAddr, u32), joins: bool) -> Result<(), Errno> {
    if !group.0.is_multicast() {
        return Err(Errno::INVAL);
    }
    match &socket.body {
        Body::Udp(udp) => udp.join(group, joins),
        _ => Err(Errno::PROTOTYPE),
    }
}

pub(super) fn get(socket: &Socket, (level, option): (i32, i32)) -> Result<Vec<u8>, Errno> {
    if socket.family() == AF_UNIX {
        return Err(Errno::OPNOTSUPP);
    }
    let six = socket.family() == address::V6;
    check(socket, level).map_err(|errno| if six { Errno::NOPROTOOPT } else { errno })?;
    match (&socket.body, level, option) {
        (Body::Tcp(tcp), TCP, INFO) => return Ok(tcp_info::of(socket, tcp)),
        (_, IPV6, ADDRESS_FORM) => {
            socket.remote()?;
            return Ok(u32::from(socket.family()).to_le_bytes().to_vec());
        }
        (_, TCP, CONGESTION) => {
            let mut name = lock(&socket.options).congestion.as_bytes().to_vec();
            name.resize(16, 0);
            return Ok(name);
        }
        _ => {}
    }
    let stream = matches!(socket.body, Body::Tcp(_));
    let numbers = &lock(&socket.options).numbers;
    let number = match (level, option) {
        // IP_HDRINCL, of which others may only hear that it is off.
        (IP, 3) if socket.kind != RAW => 0,
        (IP, MULTICAST_ALL) if six => numbers.was_set(IP, MULTICAST_ALL).unwrap_or(0),
        // TOS, TCLASS: those of a stream say nothing of congestion.
        (IP, 1) | (IPV6, 67) if stream => numbers.get(level, option)? & 0xfc,
        (IP, 1) => numbers.get(IP, 1)? & 0xff,
        _ => numbers.get(level, option)?,
    };
    Ok(number.to_le_bytes().to_vec())
}
