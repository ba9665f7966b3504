//! Connections that other machines ask for.

use std::net::SocketAddr;

use smoltcp::iface::SocketHandle;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpListenEndpoint, IpProtocol, Ipv4Packet,
    Ipv6Packet, TcpPacket,
};

use super::flow::{self, Flow};
use super::{Ends, Engine, Tcp};

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
    pub(super) fn expect(&mut self, (to, from): Ends) -> Expected {
        let known = self.interface.has_ip_addr(IpAddress::from(to.ip()));
        if !known || self.flows.contains_key(&(to, from)) {
            return Expected::Not;
        }
        let ports = &self.kernel.network.inet.tcp;
        let wants = |tcp: &Tcp| tcp.listens() && tcp.hears(self.link);
        let Some(listener) = ports.chosen(to, from, wants) else {
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
        self.flows.insert((to, from), Flow::arriving(handle, &listener, child));
        Expected::At(handle)
    }

    /// Who asks for many connections and confirms none keeps nobody out: the oldest of
    /// them is forgotten.
    fn make_room(&mut self) {
        let arriving = || self.flows.iter().filter(|(_, flow)| flow.is_arriving());
        if arriving().count() < HALF_OPEN {
            return;
        }
        let oldest = arriving().min_by_key(|(_, flow)| flow.since()).map(|(ends, _)| *ends);
        if let Some(flow) = oldest.and_then(|ends| self.flows.remove(&ends)) {
            flow.abandon();
            self.sockets.remove(flow.handle);
        }
    }
}

/// What a frame has of TCP: whether it asks for a connection.
pub(super) struct Segment {
    pub(super) ends: Ends,
    pub(super) opens: bool,
}

/// What of TCP is in a frame.
pub(super) fn segment(frame: &[u8]) -> Option<Segment> {
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
    let from = SocketAddr::new(from.into(), tcp.src_port());
    Some(Segment { ends: (to, from), opens })
}
