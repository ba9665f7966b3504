//! UDP with other machines: whole packets of IP.

use std::net::{IpAddr, SocketAddr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::raw;
use smoltcp::wire::{
    IpAddress, IpProtocol, IpRepr, IpVersion, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr,
    UdpPacket, UdpRepr,
};

use crate::net::inbox::Packet;
use crate::net::inet::{Inet, Ports, Udp, icmp, udp::deliver};

/// Packets and bytes that may wait.
const PACKETS: usize = 256;
const BYTES: usize = 1 << 20;

/// A datagram to another machine.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
    pub(super) hops: u8,
}

/// A socket for all packets of a protocol over a version of IP.
pub(super) fn socket(version: IpVersion, protocol: IpProtocol) -> raw::Socket<'static> {
    let buffer =
        || raw::PacketBuffer::new(vec![raw::PacketMetadata::EMPTY; PACKETS], vec![0; BYTES]);
    raw::Socket::new(Some(version), Some(protocol), buffer(), buffer())
}

/// Gives a packet of ICMP that came to the sockets that see it.
pub(super) fn receive_message(bytes: &[u8], inet: &Inet) -> Option<()> {
    let (ends, hops, body): ((IpAddr, IpAddr), u8, &[u8]) = match bytes.first()? >> 4 {
        4 => {
            let packet = Ipv4Packet::new_checked(bytes).ok()?;
            let ends = (packet.src_addr().into(), packet.dst_addr().into());
            (ends, packet.hop_limit(), packet.payload())
        }
        _ => {
            let packet = Ipv6Packet::new_checked(bytes).ok()?;
            let ends = (packet.src_addr().into(), packet.dst_addr().into());
            (ends, packet.hop_limit(), packet.payload())
        }
    };
    // The interface has answered what asks for an echo.
    let _ = icmp::arrive(inet, body, ends, hops);
    Some(())
}

/// The packet of a datagram; `None` if its ends are of two versions.
pub(super) fn packet(datagram: &Datagram) -> Option<Vec<u8>> {
    let checksums = ChecksumCapabilities::default();
    let udp = UdpRepr { src_port: datagram.from.port(), dst_port: datagram.to.port() };
    let length = udp.header_len() + datagram.bytes.len();
    let header = match (datagram.from.ip(), datagram.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => IpRepr::Ipv4(Ipv4Repr {
            src_addr: from,
            dst_addr: to,
            next_header: IpProtocol::Udp,
            payload_len: length,
            hop_limit: datagram.hops,
        }),
        (IpAddr::V6(from), IpAddr::V6(to)) => IpRepr::Ipv6(Ipv6Repr {
            src_addr: from,
            dst_addr: to,
            next_header: IpProtocol::Udp,
            payload_len: length,
            hop_limit: datagram.hops,
        }),
        _ => return None,
    };
    let mut bytes = vec![0; header.header_len() + length];
    header.emit(&mut bytes[..], &checksums);
    let body = bytes.get_mut(header.header_len()..)?;
    udp.emit(
        &mut UdpPacket::new_unchecked(body),
        &header.src_addr(),
        &header.dst_addr(),
        datagram.bytes.len(),
        |room| room.copy_from_slice(&datagram.bytes),
        &checksums,
    );
    Some(bytes)
}

/// Gives a packet that came to the socket that it is for. If there is none: the packet that
/// tells so.
pub(super) fn receive(bytes: &[u8], ports: &Ports<Udp>, link: u32) -> Option<Option<Vec<u8>>> {
    let (from, to, body): (IpAddress, IpAddress, &[u8]) = match bytes.first()? >> 4 {
        4 => {
            let packet = Ipv4Packet::new_checked(bytes).ok()?;
            (packet.src_addr().into(), packet.dst_addr().into(), packet.payload())
        }
        _ => {
            let packet = Ipv6Packet::new_checked(bytes).ok()?;
            (packet.src_addr().into(), packet.dst_addr().into(), packet.payload())
        }
    };
    let udp = UdpPacket::new_checked(body).ok()?;
    let from = SocketAddr::new(from.into(), udp.src_port());
    let to = SocketAddr::new(to.into(), udp.dst_port());
    let mut packet = Packet { bytes: udp.payload().to_vec(), ..Packet::default() };
    if deliver(ports, &mut packet, (from, to), link)
        || to.ip().is_multicast()
        || is_broadcast(to.ip())
    {
        return Some(None);
    }
    let message = icmp::refusal(bytes, to.ip(), from.ip());
    Some(icmp::packet(&message, to.ip(), from.ip(), 64))
}

/// Whether an address may be that of all machines of a network.
fn is_broadcast(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.is_broadcast() || ip.octets()[3] == 255)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_is_sent_is_what_is_received() {
        for (from, to) in [("10.0.0.1:7", "10.0.0.2:9"), ("[fd00::1]:7", "[fd00::2]:9")] {
            let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
            let ports = Ports::new(false);
            let udp: Arc<Udp> = Udp::new(to.is_ipv6(), &ports, 1 << 16);
            udp.bind(to).unwrap();
            let datagram = Datagram { from, to, bytes: b"text".to_vec(), hops: 9 };
            receive(&packet(&datagram).unwrap(), &ports, 2).unwrap();
            let received = udp.receive(9, false).unwrap();
            assert_eq!(received.pieces, [(b"text".to_vec(), 0)]);
            assert_eq!(received.from, Some(crate::net::inet::address::bytes(from, to.is_ipv6())));
        }
        let ports = Ports::new(false);
        for cut in 0..40 {
            assert_eq!(receive(&[0x45; 40][..cut], &ports, 2), None);
        }
    }
}
