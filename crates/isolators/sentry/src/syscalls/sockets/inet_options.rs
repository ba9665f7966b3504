//! Options of the levels IP, IPv6, TCP and UDP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::io::Errno;

use crate::net::inet::errors::OPTIONS as ERRORS;
use crate::net::inet::icmp::ICMP6;
use crate::net::inet::options::{
    CONGESTION, INFO, IP, IPV6, JOIN, JOIN6, LEAVE, LEAVE6, MULTICAST_INTERFACE, ONLY_V6, TCP, UDP,
    UDP_LITE,
};
use crate::net::{Body, Socket, Tcp};
use crate::task::waiter::lock;

use super::AF_UNIX;

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
        (_, IPV6) => socket.family == crate::net::inet::address::V6,
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
        (TCP, CONGESTION) => {
            let known: [&[u8]; 2] = [b"cubic", b"reno"];
            let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
            let there = known.contains(&value.get(..end).unwrap_or_default());
            return if there { Ok(()) } else { Err(Errno::NOENT) };
        }
        (IP, JOIN | LEAVE) => {
            let group: [u8; 4] = value.first_chunk().copied().ok_or(Errno::INVAL)?;
            return member(socket, Ipv4Addr::from(group).into(), option == JOIN);
        }
        (IPV6, JOIN6 | LEAVE6) => {
            let group: [u8; 16] = value.first_chunk().copied().ok_or(Errno::INVAL)?;
            return member(socket, Ipv6Addr::from(group).into(), option == JOIN6);
        }
        // There is one that can be chosen.
        (IP, MULTICAST_INTERFACE) if value.len() >= 4 => return Ok(()),
        _ => {}
    }
    // Of IP, a byte is enough.
    let number = match value.first_chunk() {
        Some(word) => i32::from_le_bytes(*word),
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
    if let (true, Body::Udp(udp)) = (ERRORS.contains(&(level, option)), &socket.body) {
        udp.ask_for_errors(level == IPV6, number != 0);
    }
    Ok(())
}

fn member(socket: &Socket, group: IpAddr, joins: bool) -> Result<(), Errno> {
    if !group.is_multicast() {
        return Err(Errno::INVAL);
    }
    match &socket.body {
        Body::Udp(udp) => udp.join(group, joins),
        _ => Err(Errno::PROTOTYPE),
    }
}

pub(super) fn get(socket: &Socket, (level, option): (i32, i32)) -> Result<Vec<u8>, Errno> {
    if socket.family == AF_UNIX {
        return Err(Errno::OPNOTSUPP);
    }
    check(socket, level)?;
    match (&socket.body, level, option) {
        (Body::Tcp(tcp), TCP, INFO) => return Ok(info(tcp)),
        (_, TCP, CONGESTION) => {
            let mut name = b"cubic".to_vec();
            name.resize(16, 0);
            return Ok(name);
        }
        (_, IP, MULTICAST_INTERFACE) => return Ok(vec![0; 4]),
        _ => {}
    }
    let number = lock(&socket.options).numbers.get(level, option)?;
    Ok(number.to_le_bytes().to_vec())
}

/// `struct tcp_info`, as of a connection on which nothing was lost.
fn info(tcp: &Tcp) -> Vec<u8> {
    let mut bytes = vec![tcp.number(), 0, 0, 0, 0, 0, 0, 0];
    let mut words = [0_u32; 24];
    let values = [(0, 200_000), (1, 40_000), (2, 65_483), (3, 65_483), (15, 20), (16, 10)];
    for (index, value) in values {
        if let Some(word) = words.get_mut(index) {
            *word = value;
        }
    }
    words.iter().for_each(|w| bytes.extend_from_slice(&w.to_le_bytes()));
    bytes.resize(232, 0);
    bytes
}
