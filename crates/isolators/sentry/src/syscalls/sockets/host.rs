//! Calls on sockets of the host's (`--network host-sockets`): what of a guest's reaches
//! the host's kernel, and what not. No pointer, no descriptor and no flag does that is
//! not named here.

use std::sync::Arc;

use rustix::io::Errno;

use crate::net::inet::address;
use crate::net::inet::options::{IP, IPV6, SOCKET, TCP, UDP};
use crate::net::{Body, HostSocket, Network, Socket, Type};
use crate::platform::host_options;
use crate::platform::host_socket::{self, Sent};
use crate::settings::FIRST_FREE_PORT;
use crate::task::Caps;
use crate::task::waiter::lock;
use crate::vfs::Poller;

use super::span::Span;
use super::{Call, Failure, Patience, family};

/// socket(2)
pub(super) fn make(
    (poller, network): (&Arc<Poller>, &Arc<Network>),
    is_v6: bool,
    kind: u32,
    protocol: i32,
) -> Result<Arc<Socket>, Errno> {
    let (of, protocol) = match (kind, protocol) {
        (1, 0 | TCP) => (Type::Stream, TCP),
        (2, 0 | UDP) => (Type::Datagram, UDP),
        // Raw sockets are for those who may configure the host's network.
        (3, _) => return Err(Errno::PERM),
        (1 | 2, _) => return Err(Errno::PROTONOSUPPORT),
        _ => return Err(Errno::SOCKTNOSUPPORT),
    };
    let family = if is_v6 { address::V6 } else { address::V4 };
    let host = HostSocket::new(poller, family, of, protocol)?;
    Ok(Socket::new(network, (family, kind, protocol), Body::Host(host)))
}

/// bind(2). The host says by itself which ports are free to all; the sandbox may say
/// less.
pub(super) fn bind(
    call: &Call<'_>,
    (socket, host): (&Socket, &HostSocket),
    name: &[u8],
) -> Result<(), Errno> {
    // Linux takes a name without a family, too.
    let inet = matches!(family(name)?, 0 | address::V4 | address::V6);
    let port = name.get(2..4).and_then(|b| b.try_into().ok()).map_or(0, u16::from_be_bytes);
    let free = socket.network.settings.get(FIRST_FREE_PORT).unwrap_or(1024);
    if inet && (1..free).contains(&port.into()) {
        let may = lock(&call.thread.credentials).can(Caps::NET_BIND_SERVICE);
        if !may {
            return Err(Errno::ACCESS);
        }
    }
    host_socket::bind(host.fd(), name)
}

/// connect(2)
pub(super) fn connect(
    call: &Call<'_>,
    host: &Arc<HostSocket>,
    name: &[u8],
    patience: &Patience,
) -> Result<(), Failure> {
    match host.connect(name) {
        Err(Errno::INPROGRESS | Errno::ALREADY) if patience.waits => {}
        other => return other.map_err(Failure::from),
    }
    let waited = patience.wait(call, || host.watch(call.waiter()), || host.outcome(name));
    waited.map_err(super::inet::still_connecting)
}

/// accept(2): the connection, and who made it.
pub(super) fn accept(
    call: &Call<'_>,
    (socket, host): (&Socket, &Arc<HostSocket>),
    patience: &Patience,
) -> Result<(Arc<Socket>, Vec<u8>), Failure> {
    let accept = || call.files().check_room().and_then(|()| host.accept());
    let (other, peer) = patience.wait(call, || host.watch(call.waiter()), accept)?;
    Ok((socket.beside(Body::Host(other)), peer))
}

/// `MSG_OOB`
const URGENT: u32 = 1;
/// Flags of send(2) that the host gets: `OOB`, `DONTROUTE`, `EOR`, `CONFIRM`, `MORE`.
const SEND: u32 = URGENT | 0x4 | 0x80 | 0x800 | 0x8000;
/// Most bytes that are copied at once, and of a datagram.
const PIECE: u64 = 256 << 10;

/// send(2) and its like.
pub(super) fn send(
    call: &Call<'_>,
    host: &Arc<HostSocket>,
    (span, to, control): (&mut Span, &[u8], &[u8]),
    flags: u32,
    patience: &Patience,
) -> Result<u64, Failure> {
    if !host.is_stream() && span.left > PIECE {
        return Err(Errno::MSGSIZE.into());
    }
    let memory = call.memory();
    let (mut done, mut bytes) = (0, Vec::new());
    loop {
        let sent = if bytes.is_empty() { span.gather(&memory, PIECE) } else { Ok(bytes) };
        let sent = sent.map_err(Failure::from).and_then(|mut bytes| {
            // Only the last byte of all is urgent.
            let urgent = if span.left == 0 { SEND } else { SEND & !URGENT };
            let one = || {
                let sent = Sent { bytes: &bytes, to, control };
                host_socket::send(host.fd(), sent, flags & urgent)
            };
            let count = patience.wait(call, || host.watch(call.waiter()), one)?;
            bytes.drain(..count.min(bytes.len()));
            Ok((count, bytes))
        });
        match sent {
            Ok((count, rest)) => {
                done += count as u64;
                bytes = rest;
            }
            Err(_) if done > 0 => return Ok(done),
            Err(failure) => return Err(failure),
        }
        if bytes.is_empty() && span.left == 0 {
            return Ok(done);
        }
    }
}

/// The control messages of a guest's that are for the host: those of IP, IPv6 and UDP.
pub(super) fn control(call: &Call<'_>, (address, length): (u64, u64)) -> Result<Vec<u8>, Errno> {
    let mut kept = Vec::new();
    super::control::each(call, (address, length), |whole, level, _| {
        if matches!(level, IP | IPV6 | UDP) {
            kept.extend_from_slice(whole);
            kept.resize(kept.len().next_multiple_of(8), 0);
        }
        Ok(())
    })?;
    Ok(kept)
}

/// `SO_LINGER`
pub(super) const LINGER: i32 = 13;

/// setsockopt(2), but for what the sandbox keeps by itself.
pub(super) fn set(host: &HostSocket, which: (i32, i32), value: &[u8]) -> Result<(), Errno> {
    if which == (SOCKET, LINGER) {
        // A close that waits would hold others up: what is left is sent behind the scenes.
        let reset = value.get(4..8) == Some(&[0; 4]);
        let value = if reset { value } else { &[0; 8] };
        return host_socket::set_option(host.fd(), which, value);
    }
    match host_options::has(host_options::SET, which.0, which.1) {
        true => host_socket::set_option(host.fd(), which, value),
        false => Err(Errno::NOPROTOOPT),
    }
}

/// getsockopt(2).
pub(super) fn get(host: &HostSocket, which: (i32, i32), room: usize) -> Result<Vec<u8>, Errno> {
    let (level, option) = which;
    if host_options::has(host_options::GET, level, option) {
        host_socket::option(host.fd(), which, room.min(4096))
    } else if matches!(level, SOCKET | IP | IPV6 | TCP | UDP) {
        Err(Errno::NOPROTOOPT)
    } else {
        Err(Errno::OPNOTSUPP)
    }
}
