//! Connections that other machines ask for.

use std::net::SocketAddr;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpListenEndpoint, IpProtocol, Ipv4Packet,
    Ipv6Packet, TcpPacket,
};

use super::Engine;
use super::flow::{self, Flow};

/// Connections from outside that may be half open.
const HALF_OPEN: usize = 512;

/// What becomes of one that is asked for.
pub(super) enum Expected {
    /// Nobody wants it, or it is known.
    Not,
    /// There is a socket for it.
    At(SocketHandle),
    /// There is no room: who asks asks again.
    Later,
}

impl Engine {
    /// Makes a socket for a connection that comes in, if somebody wants it.
    pub(super) fn expect(&mut self, to: SocketAddr, from: SocketAddr) -> Expected {
        let known = self.interface.has_ip_addr(IpAddress::from(to.ip()));
        let again = |flow: &Flow| {
            let socket = self.sockets.get::<tcp::Socket<'_>>(flow.handle);
            let remote = (IpAddress::from(from.ip()), from.port()).into();
            socket.remote_endpoint() == Some(remote)
                && socket.local_endpoint().is_some_and(|l| l.port == to.port())
        };
        if !known || self.flows.iter().any(again) {
            return Expected::Not;
        }
        let ports = &self.kernel.network.inet.tcp;
        let Some(listener) = ports.at(to).into_iter().find(|tcp| tcp.listens()) else {
            return Expected::Not;
        };
        if !listener.has_room() {
            return Expected::Later;
        }
        let mut socket = flow::socket(true);
        let place = IpListenEndpoint { addr: Some(to.ip().into()), port: to.port() };
        if socket.listen(place).is_err() {
            return Expected::Not;
        }
        self.make_room();
        let handle = self.sockets.add(socket);
        let child = listener.child(to, from);
        self.flows.push(Flow::arriving(handle, &listener, child));
        Expected::At(handle)
    }

    /// Who asks for many connections and confirms none keeps nobody out: the oldest of
    /// them is forgotten.
    fn make_room(&mut self) {
        if self.flows.iter().filter(|flow| flow.is_arriving()).count() < HALF_OPEN {
            return;
        }
        if let Some(oldest) = self.flows.iter().position(Flow::is_arriving) {
            let flow = self.flows.remove(oldest);
            flow.abandon();
            self.sockets.remove(flow.handle);
        }
    }
}

/// Where a frame goes and comes from, if it asks for a connection.
pub(super) fn opening(frame: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let (to, from, body): (IpAddress, IpAddress, &[u8]) = match frame.ethertype() {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
            let whole = packet.frag_offset() == 0 && packet.next_header() == IpProtocol::Tcp;
            if !whole {
                return None;
            }
            (packet.dst_addr().into(), packet.src_addr().into(), packet.payload())
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
            if packet.next_header() != IpProtocol::Tcp {
                return None;
            }
            (packet.dst_addr().into(), packet.src_addr().into(), packet.payload())
        }
        _ => return None,
    };
    let tcp = TcpPacket::new_checked(body).ok()?;
    let opens = tcp.syn() && !tcp.ack() && !tcp.rst();
    let to = SocketAddr::new(to.into(), tcp.dst_port());
    opens.then(|| (to, SocketAddr::new(from.into(), tcp.src_port())))
}
