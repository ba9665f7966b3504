//! Sockets of ICMP: those that ask for echoes, and raw ones.

use std::net::SocketAddr;
use std::sync::Arc;

use rustix::io::Errno;

use crate::net::inet::{address, icmp, options};
use crate::net::pair::Reach;
use crate::net::{Body, Network, Outgoing, Socket, Udp};
use crate::settings::{NOBODY, PING_GROUPS};
use crate::task::waiter::lock;
use crate::task::{Caps, Credentials};

use super::{Call, default_buffer};

/// The body of a socket of this protocol.
///
/// # Errors
/// `EACCES`, `EPERM` for who may not; `EPROTONOSUPPORT`.
pub(super) fn make(
    call: &Call<'_>,
    network: &Network,
    is_v6: bool,
    (kind, protocol): (u32, i32),
) -> Result<Body, Errno> {
    let own = if is_v6 { icmp::ICMP6 } else { icmp::ICMP };
    let who = lock(&call.thread.credentials).clone();
    if kind == icmp::RAW {
        who.require_in(&network.owner, Caps::NET_RAW)?;
    }
    if protocol != own {
        return Err(Errno::PROTONOSUPPORT);
    }
    let inet = &network.inet;
    if kind != icmp::RAW {
        if !may_ask(network, &who) {
            return Err(Errno::ACCESS);
        }
        let ports = if is_v6 { &inet.ping6 } else { &inet.ping4 };
        return Ok(Body::Udp(Udp::new(is_v6, ports, default_buffer())));
    }
    let udp = Udp::new(is_v6, &inet.raw, default_buffer());
    let number = u16::try_from(protocol).map_err(|_| Errno::PROTONOSUPPORT)?;
    udp.share(SocketAddr::new(address::any(is_v6), number));
    Ok(Body::Udp(udp))
}

/// Whether one of its groups is among those that may ask for echoes.
fn may_ask(network: &Network, who: &Credentials) -> bool {
    let range = network.settings.get(PING_GROUPS).unwrap_or(NOBODY);
    let range = (range >> 32)..=(range & 0xffff_ffff);
    let mut groups = who.others.iter().chain([&who.groups[1]]);
    groups.any(|group| range.contains(&u64::from(*group)))
}

/// Whether a socket is one of these.
pub(super) fn is_one(socket: &Socket) -> bool {
    matches!(socket.protocol, icmp::ICMP | icmp::ICMP6)
}

/// Sends a message.
///
/// # Errors
/// As send(2).
pub(super) fn send(socket: &Socket, udp: &Arc<Udp>, outgoing: &mut Outgoing) -> Result<(), Errno> {
    let to = super::inet::destination(udp, outgoing.to.as_deref())?;
    if to.is_ipv6() != udp.is_v6() {
        return Err(Errno::NETUNREACH);
    }
    udp.check(&outgoing.packet, to)?;
    let mut message = std::mem::take(&mut outgoing.packet.bytes);
    let local = udp.local();
    let network = &socket.network;
    let source = network.source_by(to.ip(), udp.device())?;
    let from = if local.ip().is_unspecified() { source } else { local.ip() };
    let raw = socket.kind == icmp::RAW;
    if !raw {
        icmp::request(&mut message, udp.is_v6(), local.port())?;
    }
    if !raw || udp.is_v6() {
        if message.len() < icmp::HEADER {
            return Err(Errno::INVAL);
        }
        icmp::seal(&mut message, from, to.ip());
    }
    let target = match network.reach(from, to.ip(), udp.device()) {
        Reach::Own => Some(Arc::clone(network)),
        Reach::Other(other, _) => Some(other),
        Reach::Nobody => return Ok(()),
        Reach::Outside => None,
    };
    if let Some(target) = target {
        const HOPS: u8 = 64;
        let ends = (from, to.ip());
        if let Some(answer) = icmp::arrive(&target.inet, &message, ends, HOPS) {
            icmp::arrive(&network.inet, &answer, (ends.1, ends.0), HOPS);
        }
        return Ok(());
    }
    let stack = network.stack().ok_or(Errno::NETUNREACH)?;
    let level = if udp.is_v6() { (options::IPV6, 16) } else { (options::IP, 2) };
    let hops = lock(&socket.options).numbers.get(level.0, level.1).unwrap_or(64);
    let hops = outgoing.hops.0.or_else(|| u8::try_from(hops).ok()).unwrap_or(64);
    let packet = icmp::packet(&message, from, to.ip(), hops).ok_or(Errno::MSGSIZE)?;
    stack.send_whole(to.is_ipv6(), packet);
    Ok(())
}

/// Options of raw sockets: which types of messages they do not see, and where a checksum
/// is.
///
/// # Errors
/// `ENOPROTOOPT`, `EINVAL`
pub(super) fn set(socket: &Socket, (level, option): (i32, i32), value: &[u8]) -> Result<(), Errno> {
    const LEVEL_RAW: i32 = 255;
    const FILTER: i32 = 1;
    const CHECKSUM: i32 = 7;
    let (Body::Udp(udp), icmp::RAW) = (&socket.body, socket.kind) else {
        return Err(Errno::NOPROTOOPT);
    };
    match (level, option, udp.is_v6()) {
        (LEVEL_RAW, FILTER, false) | (icmp::ICMP6, FILTER, true) => {
            if value.len() < 4 {
                return Err(Errno::INVAL);
            }
            let words = value.chunks_exact(4).map(|w| w.try_into().map_or(0, u32::from_le_bytes));
            udp.set_filter(words);
            Ok(())
        }
        // That of ICMPv6 is where it is.
        (LEVEL_RAW, CHECKSUM, true) => match value.first_chunk() {
            Some([2, 0, 0, 0]) => Ok(()),
            _ => Err(Errno::INVAL),
        },
        _ => Err(Errno::NOPROTOOPT),
    }
}
