//! ICMP: echo requests to this machine are answered, and sockets that see messages get
//! them: raw ones all, others the answers to what they asked.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustix::io::Errno;

use super::errors::{Cause, Lost};
use super::{Inet, Udp, address};
use crate::net::inbox::Packet;

/// `IPPROTO_ICMP`
pub const ICMP: i32 = 1;
/// `IPPROTO_ICMPV6`
pub const ICMP6: i32 = 58;
/// `SOCK_RAW`
pub const RAW: u32 = 3;

/// Types of a request and its answer, over IPv4 and IPv6.
const ECHO: [(u8, u8); 2] = [(8, 0), (128, 129)];
/// Bytes of the header that all messages have.
pub const HEADER: usize = 8;
const UNREACHABLE: [(u8, u8); 2] = [(3, 3), (1, 4)];

fn echo(is_v6: bool) -> (u8, u8) {
    let [four, six] = ECHO;
    if is_v6 { six } else { four }
}

/// The number in the protocol field.
#[must_use]
pub fn protocol(is_v6: bool) -> u8 {
    if is_v6 { 58 } else { 1 }
}

fn sum(bytes: &[u8]) -> u64 {
    let half = |byte: Option<&u8>| byte.map_or(0, |byte| u64::from(*byte));
    bytes.chunks(2).map(|word| half(word.first()) << 8 | half(word.get(1))).sum()
}

fn folded(mut sum: u64) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap_or(0)).to_be_bytes()
}

/// Puts the checksum into a message.
pub fn seal(message: &mut [u8], from: IpAddr, to: IpAddr) {
    if let Some(room) = message.get_mut(2..4) {
        room.copy_from_slice(&[0; 2]);
    }
    let mut all = sum(message);
    if let (IpAddr::V6(from), IpAddr::V6(to)) = (from, to) {
        all += sum(&from.octets()) + sum(&to.octets());
        all += message.len() as u64 + u64::from(protocol(true));
    }
    let checksum = folded(all);
    if let Some(room) = message.get_mut(2..4) {
        room.copy_from_slice(&checksum);
    }
}

/// A message as a packet of IP; `None` if its ends are of two versions, or it is too long.
#[must_use]
pub fn packet(message: &[u8], from: IpAddr, to: IpAddr, hops: u8) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(40 + message.len());
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let length = u16::try_from(20 + message.len()).ok()?;
            bytes.extend([0x45, 0]);
            bytes.extend(length.to_be_bytes());
            bytes.extend([0, 0, 0x40, 0, hops, protocol(false), 0, 0]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
            let checksum = folded(sum(&bytes));
            bytes.get_mut(10..12)?.copy_from_slice(&checksum);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            bytes.extend([0x60, 0, 0, 0]);
            bytes.extend(u16::try_from(message.len()).ok()?.to_be_bytes());
            bytes.extend([protocol(true), hops]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
        }
        _ => return None,
    }
    bytes.extend_from_slice(message);
    Some(bytes)
}

/// Makes a request of a socket's own: its identity is the socket's.
///
/// # Errors
/// `EINVAL` if it is none.
pub fn request(message: &mut [u8], is_v6: bool, identity: u16) -> Result<(), Errno> {
    let (asks, _) = echo(is_v6);
    match message.first_chunk_mut::<HEADER>() {
        Some([kind, 0, _, _, high, low, ..]) if *kind == asks => {
            [*high, *low] = identity.to_be_bytes();
            Ok(())
        }
        _ => Err(Errno::INVAL),
    }
}

/// What is told of a datagram that nobody takes, to who sent it: how its packet began.
#[must_use]
pub fn refusal(packet: &[u8], from: IpAddr, to: IpAddr) -> Vec<u8> {
    let [four, six] = UNREACHABLE;
    let (kind, code) = if from.is_ipv6() { six } else { four };
    let header = if from.is_ipv6() { 40 } else { 20 };
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    message.extend(packet.iter().take(header + 8));
    seal(&mut message, from, to);
    message
}

/// The datagram that a message says did not arrive: where it came from, and the rest.
#[must_use]
pub fn lost(message: &[u8], is_v6: bool, by: IpAddr) -> Option<(SocketAddr, Lost)> {
    const UDP: u8 = 17;
    const UDP_HEADER: usize = 8;
    let ([kind, code, ..], packet) = message.split_first_chunk::<HEADER>()?;
    let cause = Cause::of((*kind, *code), is_v6)?;
    let (protocol, from, to, rest): (u8, IpAddr, IpAddr, &[u8]) = if is_v6 {
        let address = |at: usize| -> Option<[u8; 16]> { packet.get(at..at + 16)?.try_into().ok() };
        (*packet.get(6)?, address(8)?.into(), address(24)?.into(), packet.get(40..)?)
    } else {
        let header = usize::from(packet.first()? & 0xf) * 4;
        let address = |at: usize| -> Option<[u8; 4]> { packet.get(at..at + 4)?.try_into().ok() };
        (*packet.get(9)?, address(12)?.into(), address(16)?.into(), packet.get(header..)?)
    };
    let port = |at: usize| rest.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes);
    let (from, to) = (SocketAddr::new(from, port(0)?), SocketAddr::new(to, port(2)?));
    let bytes = rest.get(UDP_HEADER..).unwrap_or_default().to_vec();
    (protocol == UDP).then_some((from, Lost { cause, to, by, bytes }))
}

fn give(udp: &Udp, bytes: Vec<u8>, from: IpAddr, to: IpAddr, hops: u8) {
    let mut packet = Packet { bytes, hops: (hops, 0), to: Some(to), ..Packet::default() };
    packet.from = Some(address::bytes(SocketAddr::new(from, 0), udp.is_v6()));
    // What has no room is lost.
    let _ = udp.inbox.put(&mut packet, |_| Vec::new());
}

/// A message has come to this machine; the answer that it asks for, if any.
pub fn arrive(
    inet: &Inet,
    message: &[u8],
    (from, to): (IpAddr, IpAddr),
    hops: u8,
) -> Option<Vec<u8>> {
    let is_v6 = to.is_ipv6();
    let (kind, identity) = match message.first_chunk::<HEADER>() {
        Some([kind, _, _, _, high, low, ..]) => (*kind, u16::from_be_bytes([*high, *low])),
        None => return None,
    };
    let takes = |udp: &Udp| udp.remote().is_ok_and(|remote| remote.ip() != from);
    let number = u16::from(protocol(is_v6));
    for udp in inet.raw.at(SocketAddr::new(to, number)) {
        if takes(&udp) || udp.filters(kind) {
            continue;
        }
        let bytes = if is_v6 { Some(message.to_vec()) } else { packet(message, from, to, hops) };
        if let Some(bytes) = bytes {
            give(&udp, bytes, from, to, hops);
        }
    }
    let (asks, answers) = echo(is_v6);
    if kind == answers {
        let table = if is_v6 { &inet.ping6 } else { &inet.ping4 };
        let found = table.at(SocketAddr::new(to, identity)).into_iter().find(|udp| !takes(udp));
        if let Some(udp) = found {
            give(&udp, message.to_vec(), from, to, hops);
        }
    }
    if let Some((own, lost)) = lost(message, is_v6, from) {
        let connected = |udp: &&Arc<Udp>| udp.remote() == Ok(lost.to);
        let asks = |udp: &&Arc<Udp>| udp.remote().is_err() && udp.asks_for_errors(is_v6);
        let all = inet.udp.at(own);
        if let Some(udp) = all.iter().find(connected).or_else(|| all.iter().find(asks)) {
            udp.lose(lost);
        }
    }
    if kind != asks {
        return None;
    }
    let mut answer = message.to_vec();
    *answer.first_mut()? = answers;
    seal(&mut answer, to, from);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn sums_are_those_of_the_internet() {
        for (from, to) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            let (from, to) = (ip(from), ip(to));
            let (asks, answers) = echo(to.is_ipv6());
            let mut message = vec![asks, 0, 9, 9, 0, 7, 0, 1, b'o', b'd', b'd'];
            seal(&mut message, from, to);
            let given: [u8; 2] = message[2..4].try_into().unwrap();
            seal(&mut message, from, to);
            assert_eq!(given, message[2..4]);
            let answer = arrive(&Inet::default(), &message, (from, to), 64).unwrap();
            assert_eq!((answer[0], &answer[4..]), (answers, &message[4..]));
            let whole = packet(&message, from, to, 64).unwrap();
            assert!(whole.ends_with(&message));
            if to.is_ipv4() {
                assert_eq!(folded(sum(&whole[..20])), [0; 2]);
                assert_eq!(folded(sum(&message)), [0; 2]);
            }
        }
        assert_eq!(arrive(&Inet::default(), &[8, 0, 0], (ip("::1"), ip("::1")), 1), None);
    }

    #[test]
    fn who_is_refused_is_found_again() {
        for (from, to) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            let (from, to) = (ip(from), ip(to));
            let mut datagram = packet(&[0, 7, 0, 9, 0, 8, 0, 0], from, to, 64).unwrap();
            datagram[if to.is_ipv6() { 6 } else { 9 }] = 17;
            let message = refusal(&datagram, to, from);
            let ends = (SocketAddr::new(from, 7), SocketAddr::new(to, 9));
            let found = lost(&message, to.is_ipv6(), to);
            assert_eq!(found.map(|(own, lost)| (own, lost.to)), Some(ends));
            for cut in 0..message.len() {
                let _ = lost(&message[..cut], to.is_ipv6(), to);
            }
            assert_eq!(lost(&message[..20], to.is_ipv6(), to), None);
        }
    }
}
