//! Making, naming, connecting and sending of TCP and UDP sockets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustix::io::Errno;

use crate::net::inet::{Progress, address, icmp, options};
use crate::net::links::LOOPBACK;
use crate::net::pair::Reach;
use crate::net::{Body, Network, Options, Outgoing, Socket, Tcp, Udp};
use crate::settings::FIRST_FREE_PORT;
use crate::task::Caps;
use crate::task::waiter::lock;

use super::{Call, Failure, Patience, default_buffer, family};

const TCP: i32 = options::TCP;
const UDP: i32 = options::UDP;

pub(super) fn make(
    call: &Call<'_>,
    network: &Arc<Network>,
    is_v6: bool,
    (kind, protocol): (u32, i32),
) -> Result<Arc<Socket>, Errno> {
    let inet = &network.inet;
    let (body, protocol) = match (kind, protocol) {
        (1, 0 | TCP) => (Body::Tcp(Tcp::new(is_v6, &inet.tcp)), TCP),
        (2, 0 | UDP) => (Body::Udp(Udp::new(is_v6, &inet.udp, default_buffer())), UDP),
        (2, options::UDP_LITE) => {
            (Body::Udp(Udp::new(is_v6, &inet.udp_lite, default_buffer())), options::UDP_LITE)
        }
        (3, _) | (2, icmp::ICMP | icmp::ICMP6) => {
            (super::icmp::make(call, network, is_v6, (kind, protocol))?, protocol)
        }
        (1 | 2, _) => return Err(Errno::PROTONOSUPPORT),
        _ => return Err(Errno::SOCKTNOSUPPORT),
    };
    let family = if is_v6 { address::V6 } else { address::V4 };
    let user = super::sender(call).user;
    match &body {
        Body::Tcp(tcp) => tcp.set(|wish| wish.user = user),
        Body::Udp(udp) => udp.set(|wish| wish.user = user),
        _ => {}
    }
    let socket = Socket::new(network, (family, kind, protocol), body);
    if let Body::Tcp(_) = &socket.body {
        let mut options = lock(&socket.options);
        // The first values of net.ipv4.tcp_wmem and tcp_rmem.
        (options.send_buffer, options.receive_buffer) = (16_384, 131_072);
    }
    Ok(socket)
}

pub(super) fn bind(call: &Call<'_>, socket: &Socket, name: &[u8]) -> Result<(), Errno> {
    const FIRST_FREE: u64 = 1024;
    let is_v6 = socket.family() == address::V6;
    let family = family(name)?;
    if is_v6 && name.len() < 24 {
        return Err(Errno::INVAL);
    }
    if is_v6 && family != address::V6 {
        return Err(Errno::AFNOSUPPORT);
    }
    let address = address::parse(name, is_v6)?;
    let datagram = matches!(socket.body, Body::Udp(_));
    let only_v6 = match &socket.body {
        Body::Tcp(tcp) => tcp.only_v6(),
        Body::Udp(udp) => udp.only_v6(),
        _ => false,
    };
    if only_v6 && address.is_ipv4() {
        return Err(Errno::INVAL);
    }
    let network = &socket.network;
    network.check_bind(address.ip(), datagram)?;
    if super::icmp::is_one(socket)
        && let Body::Udp(udp) = &socket.body
    {
        if socket.kind == icmp::RAW {
            udp.move_to(address.ip());
            return Ok(());
        }
        return udp.bind(address);
    }
    let any = lock(&call.thread.credentials).can_in(&network.owner, Caps::NET_BIND_SERVICE);
    let free = network.settings.get(FIRST_FREE_PORT).unwrap_or(FIRST_FREE);
    if (1..free).contains(&address.port().into()) && !any {
        return Err(Errno::ACCESS);
    }
    match &socket.body {
        Body::Tcp(tcp) => tcp.bind(address),
        Body::Udp(udp) => udp.bind(address),
        _ => Err(Errno::INVAL),
    }
}

pub(super) fn connect(
    call: &Call<'_>,
    (network, tcp): (&Network, &Arc<Tcp>),
    name: &[u8],
    patience: &Patience,
) -> Result<(), Failure> {
    if family(name)? == 0 {
        tcp.disconnect();
        return Ok(());
    }
    let to = address::itself(address::parse(name, tcp.is_v6())?);
    if tcp.only_v6() && to.is_ipv4() {
        return Err(Errno::NETUNREACH.into());
    }
    let device = tcp.device();
    let from = SocketAddr::new(network.source_by(to.ip(), device)?, 0);
    let local = tcp.local().ip();
    let own = if local.is_unspecified() { from.ip() } else { local };
    let begun = match (network.reach(own, to.ip(), device), network.stack()) {
        (Reach::Other(other, link), _) => tcp.connect(to, from, (&other.inet.tcp, link)),
        // Sooner than on Linux, which asks for three seconds who has the address.
        (Reach::Nobody, _) => tcp.begin(to, from).and_then(|progress| {
            progress.ok_or_else(|| {
                tcp.unconnected();
                Errno::HOSTUNREACH
            })
        }),
        (Reach::Outside, Some(stack)) => tcp.begin(to, from).map(|progress| {
            progress.unwrap_or_else(|| {
                stack.connect(tcp, tcp.local(), to);
                Progress::Started
            })
        }),
        _ => tcp.connect(to, from, (&network.inet.tcp, LOOPBACK)),
    };
    match begun {
        Ok(Progress::Finished) => return Ok(()),
        Ok(_) if !patience.waits => return Err(Errno::INPROGRESS.into()),
        Ok(_) => {}
        Err(Errno::ALREADY) if patience.waits => {}
        Err(Errno::CONNREFUSED) if !patience.waits => {
            // The answer comes a moment later.
            tcp.inbox.fail(Errno::CONNREFUSED);
            return Err(Errno::INPROGRESS.into());
        }
        Err(errno) => return Err(errno.into()),
    }
    let waited = patience.wait(call, || tcp.watch(call.waiter()), || tcp.outcome());
    waited.map_err(still_connecting)
}

/// What connect(2) says when the time of its socket is up.
pub(super) fn still_connecting(failure: Failure) -> Failure {
    match failure {
        Failure::Errno(Errno::AGAIN) => Errno::INPROGRESS.into(),
        other => other,
    }
}

/// Where a datagram is sent to.
pub(super) fn destination(udp: &Udp, name: Option<&[u8]>) -> Result<SocketAddr, Errno> {
    match name {
        Some(name) => Ok(address::itself(address::parse(name, udp.is_v6())?)),
        None => udp.remote().map_err(|_| Errno::DESTADDRREQ),
    }
}

/// connect(2) of a UDP socket.
pub(super) fn direct(network: &Network, udp: &Arc<Udp>, name: &[u8]) -> Result<(), Errno> {
    if family(name)? == 0 {
        udp.disconnect();
        return Ok(());
    }
    let to = address::itself(address::parse(name, udp.is_v6())?);
    let from = network.source_by(to.ip(), udp.device())?;
    udp.connect(to, from)
}

/// Sends a datagram, or several that it is cut into (`UDP_SEGMENT`).
pub(super) fn send(socket: &Socket, udp: &Arc<Udp>, outgoing: &mut Outgoing) -> Result<(), Errno> {
    /// `UDP_MAX_SEGMENTS`
    const MOST: usize = 128;
    /// Bytes of all of them.
    const LARGEST: usize = 65_507;
    if super::icmp::is_one(socket) {
        return super::icmp::send(socket, udp, outgoing);
    }
    let options = lock(&socket.options).clone();
    let more = outgoing.more || options.numbers.get(UDP, options::CORK).unwrap_or(0) != 0;
    let to = destination(udp, outgoing.to.as_deref());
    let packet = &mut outgoing.packet;
    let Some(to) = udp.put_together(packet, to, more)? else { return udp.bind_to_any() };
    let set = options.numbers.was_set(UDP, options::SEGMENT).unwrap_or(0);
    let size = outgoing.segment.map_or(usize::try_from(set).unwrap_or(0), usize::from);
    let length = outgoing.packet.bytes.len();
    if size == 0 || length <= size {
        return send_one((socket, &options), udp, outgoing, to);
    }
    if length > LARGEST {
        return Err(Errno::MSGSIZE);
    }
    if length > size * MOST {
        return Err(Errno::INVAL);
    }
    let all = std::mem::take(&mut outgoing.packet.bytes);
    for part in all.chunks(size) {
        outgoing.packet.bytes = part.to_vec();
        send_one((socket, &options), udp, outgoing, to)?;
    }
    Ok(())
}

fn send_one(
    (socket, options): (&Socket, &Options),
    udp: &Arc<Udp>,
    outgoing: &mut Outgoing,
    to: SocketAddr,
) -> Result<(), Errno> {
    let network = &socket.network;
    if to.port() == 0 {
        return Err(Errno::INVAL);
    }
    if udp.only_v6() && to.is_ipv4() {
        return Err(Errno::NETUNREACH);
    }
    if to.ip() == IpAddr::from([255, 255, 255, 255]) && !options.broadcast {
        return Err(Errno::ACCESS);
    }
    let level =
        |v6: i32, v4: i32| if udp.is_v6() { (options::IPV6, v6) } else { (options::IP, v4) };
    let number = |(level, option): (i32, i32)| {
        let value = options.numbers.get(level, option).unwrap_or(0);
        u8::try_from(value & 0xff).unwrap_or(0)
    };
    // As the options say, unless a control message does.
    let (hops, class) = outgoing.hops;
    let hops = hops.unwrap_or_else(|| number(level(16, 2)));
    outgoing.packet.hops = (hops, class.unwrap_or_else(|| number(level(67, 1))));
    let (local, device) = (udp.local().ip(), udp.device());
    let chosen = options.numbers.was_set(options::IP, options::MULTICAST_INTERFACE);
    let chosen = chosen.map(|ip| IpAddr::from(ip.to_le_bytes())).filter(|ip| !ip.is_unspecified());
    let group = to.ip().is_multicast() && to.is_ipv4();
    let from = if let (true, Some(ip)) = (group, chosen) {
        ip
    } else if to.ip().is_multicast() && local.is_loopback() {
        local
    } else if group && device == LOOPBACK {
        Ipv4Addr::LOCALHOST.into()
    } else {
        network.source_by(to.ip(), device)?
    };
    // What goes to a group by the loopback interface leaves the machine no more than that.
    let stays = to.ip().is_multicast() && (from.is_loopback() || device == LOOPBACK);
    let own = if local.is_unspecified() { from } else { local };
    let packet = &mut outgoing.packet;
    let lite = socket.protocol == options::UDP_LITE;
    match (network.reach(own, to.ip(), device), network.stack()) {
        (Reach::Nobody, _) => udp.check(packet, to),
        (Reach::Other(other, link), _) => {
            udp.send(packet, to, from, (other.inet.datagrams(lite), link))
        }
        // Nobody outside is reached by it.
        (Reach::Outside, Some(_)) if lite && !stays => udp.check(packet, to),
        (Reach::Outside, Some(stack)) if !stays => {
            // Only then it has a port.
            udp.check(packet, to)?;
            let own = SocketAddr::new(own, udp.local().port());
            stack.send(own, to, std::mem::take(&mut packet.bytes), packet.hops.0);
            Ok(())
        }
        _ => udp.send(packet, to, from, (network.inet.datagrams(lite), LOOPBACK)),
    }
}
