//! Calls on sockets: making, naming, connecting.

mod control;
mod filter;
mod host;
mod icmp;
mod inet;
mod inet_options;
mod messages;
mod options;
mod several;
mod span;
mod tcp_info;
mod unix;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::net::inet::address;
use crate::net::netlink::{self, ROUTE};
use crate::net::{Body, Netlink, Sender, Socket, SocketFile, Type, Unix};
use crate::platform::host_socket;
use crate::task::Restart;
use crate::task::waiter::{Woken, lock};
use crate::vfs::{Change, OpenFile, status};

use super::{Call, Failure, Outcome};

pub(super) use messages::{read, readv, recvfrom, recvmsg, sendmsg, sendto, write, writev};
pub(super) use options::{getsockopt, setsockopt};
pub(super) use several::{recvmmsg, sendmmsg};

/// Flags of the type argument: those of open(2).
const TYPE_FLAGS: u32 = status::NONBLOCK | status::CLOSE_ON_EXEC;
const AF_UNIX: u16 = crate::net::unix::FAMILY;

/// The socket of a descriptor argument, and its open file.
fn socket(call: &Call<'_>) -> Result<(Arc<OpenFile>, Arc<Socket>), Errno> {
    let file = call.open_file(0)?;
    let socket = file.file.socket().map(Arc::clone).ok_or(Errno::NOTSOCK)?;
    Ok((file, socket))
}

/// Who calls.
fn sender(call: &Call<'_>) -> Sender {
    let process = &call.thread.process;
    let who = lock(&call.thread.credentials);
    Sender { pid: process.pid, user: who.users[1], group: who.groups[1] }
}

fn nonblocking(file: &OpenFile) -> bool {
    file.flag(status::NONBLOCK)
}

/// How long a call may wait.
struct Patience {
    /// `None`: not at all.
    waits: bool,
    timeout: Option<Duration>,
}

impl Patience {
    fn of(file: &OpenFile, dont_wait: bool, timeout: Option<Duration>) -> Self {
        Patience { waits: !dont_wait && !nonblocking(file), timeout }
    }

    /// Runs `f` until it says something else than `EAGAIN`; `watch` tells where to
    /// wait in between.
    fn wait<T>(
        &self,
        call: &Call<'_>,
        watch: impl Fn(),
        mut f: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Failure> {
        match f() {
            Err(Errno::AGAIN) if self.waits => {}
            other => return other.map_err(Failure::from),
        }
        let deadline = call.continued.or_else(|| self.timeout.map(|t| Instant::now() + t));
        loop {
            watch();
            match f() {
                Err(Errno::AGAIN) => {}
                other => return other.map_err(Failure::from),
            }
            match call.waiter().wait(deadline) {
                Woken::Called => {}
                Woken::TimedOut => return Err(Errno::AGAIN.into()),
                Woken::Interrupted => {
                    let restart = match self.timeout {
                        Some(_) => Restart::UnlessStopped(deadline),
                        None => Restart::IfAsked,
                    };
                    return Err(Failure::Interrupted(restart));
                }
            }
        }
    }
}

/// Gives a socket a descriptor.
fn install(call: &Call<'_>, socket: Arc<Socket>, flags: u32) -> Result<u32, Errno> {
    let keep = status::READ_WRITE | flags & status::NONBLOCK;
    let ([.., user], [.., group]) = {
        let who = lock(&call.thread.credentials);
        (who.users, who.groups)
    };
    socket.kept.change(Change::Owner(user, group));
    let file = OpenFile::stream(Box::new(SocketFile(socket)), keep);
    call.files().add(file, 0, flags & status::CLOSE_ON_EXEC != 0)
}

/// Type and flags of the type argument.
fn kind(call: &Call<'_>) -> Result<(u32, u32), Errno> {
    let argument = call.uint(1);
    let (kind, flags) = (argument & 0xf, argument & !0xf);
    if flags & !TYPE_FLAGS != 0 { Err(Errno::INVAL) } else { Ok((kind, flags)) }
}

fn unix_type(kind: u32) -> Result<Type, Errno> {
    match kind {
        1 => Ok(Type::Stream),
        // SOCK_RAW is the same as SOCK_DGRAM there.
        2 | 3 => Ok(Type::Datagram),
        5 => Ok(Type::Records),
        _ => Err(Errno::SOCKTNOSUPPORT),
    }
}

/// A buffer of the default size.
fn default_buffer() -> usize {
    usize::try_from(crate::net::socket::BUFFER).unwrap_or(0)
}

pub(super) fn socket_(call: &Call<'_>) -> Outcome {
    let (kind, flags) = kind(call)?;
    let (protocol, network) = (call.int(2), call.network());
    let socket = match call.int(0) {
        1 => {
            if protocol != 0 && protocol != 1 {
                return Err(Errno::PROTONOSUPPORT.into());
            }
            let unix = Unix::new(unix_type(kind)?, default_buffer());
            let kind = unix.kind as u32;
            Socket::new(&network, (AF_UNIX, kind, 0), Body::Unix(unix))
        }
        family @ (2 | 10) if let Some(poller) = network.host_sockets() => {
            host::make((poller, &network), family == 10, kind, protocol)?
        }
        family @ (2 | 10) => inet::make(call, &network, family == 10, (kind, protocol))?,
        16 => match (kind, protocol) {
            (2 | 3, ROUTE) => {
                let who = lock(&call.thread.credentials).clone();
                let body = Body::Netlink(Netlink::new(who));
                Socket::new(&network, (netlink::FAMILY, kind, protocol), body)
            }
            (2 | 3, _) => return Err(Errno::PROTONOSUPPORT.into()),
            _ => return Err(Errno::SOCKTNOSUPPORT.into()),
        },
        _ => return Err(Errno::AFNOSUPPORT.into()),
    };
    Ok(install(call, socket, flags)?.into())
}

/// Why there is no pair of a family but UNIX's: the sockets are made first.
fn no_pair(family: i32, kind: u32, protocol: i32) -> Errno {
    use crate::net::inet::options::{TCP, UDP};
    match (family, kind, protocol) {
        (2 | 10, 1, 0 | TCP) | (2 | 10, 2, 0 | UDP) | (16, 2 | 3, _) => Errno::OPNOTSUPP,
        (2 | 10, 1..=3, _) => Errno::PROTONOSUPPORT,
        (2 | 10 | 16, ..) => Errno::SOCKTNOSUPPORT,
        _ => Errno::AFNOSUPPORT,
    }
}

pub(super) fn socketpair(call: &Call<'_>) -> Outcome {
    let (kind, flags) = kind(call)?;
    if call.int(0) != i32::from(AF_UNIX) {
        return Err(no_pair(call.int(0), kind, call.int(2)).into());
    }
    if !matches!(call.int(2), 0 | 1) {
        return Err(Errno::PROTONOSUPPORT.into());
    }
    let [one, two] = Unix::pair(unix_type(kind)?, default_buffer(), sender(call));
    let (kind, network) = (one.kind as u32, call.network());
    let make = |unix| Socket::new(&network, (AF_UNIX, kind, 0), Body::Unix(unix));
    let first = install(call, make(one), flags)?;
    let files = call.files();
    let second = install(call, make(two), flags).inspect_err(|_| drop(files.remove(first)))?;
    let both: Vec<u8> = [first, second].iter().flat_map(|n| n.to_le_bytes()).collect();
    if call.memory().write(call.arg(3), &both).is_err() {
        let gone = [files.remove(first), files.remove(second)];
        drop(gone);
        return Err(Errno::FAULT.into());
    }
    Ok(0)
}

/// `struct sockaddr` in memory, with its family.
fn read_address(call: &Call<'_>, address: u64, length: u32) -> Result<Vec<u8>, Errno> {
    const MOST: u32 = 128;
    if length > MOST {
        return Err(Errno::INVAL);
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    call.memory().read(address, &mut bytes)?;
    Ok(bytes)
}

/// The family of a `struct sockaddr`.
fn family(address: &[u8]) -> Result<u16, Errno> {
    address.first_chunk().copied().map(u16::from_le_bytes).ok_or(Errno::INVAL)
}

/// Writes an address to `at`, and its length to `length_at`: as much as there is room.
fn write_address(call: &Call<'_>, bytes: &[u8], at: u64, length_at: u64) -> Result<(), Errno> {
    let memory = call.memory();
    let room = memory.read_u32(length_at)?.cast_signed();
    let room = usize::try_from(room).map_err(|_| Errno::INVAL)?;
    memory.write(at, bytes.get(..room).unwrap_or(bytes))?;
    let length = u32::try_from(bytes.len()).unwrap_or(0);
    memory.write(length_at, &length.to_le_bytes())?;
    Ok(())
}

pub(super) fn bind(call: &Call<'_>) -> Outcome {
    let (_, socket) = socket(call)?;
    let name = read_address(call, call.arg(1), call.uint(2))?;
    match &socket.body {
        Body::Unix(own) => unix::bind(call, (&socket, own), &name)?,
        Body::Tcp(_) | Body::Udp(_) => inet::bind(call, &socket, &name)?,
        Body::Netlink(netlink) => netlink.bind(&name)?,
        Body::Host(own) => host::bind(call, (&socket, own), &name)?,
    }
    Ok(0)
}

pub(super) fn listen(call: &Call<'_>) -> Outcome {
    /// `net.core.somaxconn`
    const MOST: usize = 4096;
    let (_, socket) = socket(call)?;
    let backlog = usize::try_from(call.int(1)).unwrap_or(MOST).min(MOST);
    match &socket.body {
        Body::Unix(unix) => unix.listen(backlog, sender(call))?,
        Body::Tcp(tcp) => tcp.listen(backlog)?,
        Body::Udp(_) | Body::Netlink(_) => return Err(Errno::OPNOTSUPP.into()),
        Body::Host(own) => host_socket::listen(own.fd(), i32::try_from(backlog).unwrap_or(0))?,
    }
    Ok(0)
}

fn do_accept(call: &Call<'_>, flags: u32) -> Outcome {
    if flags & !TYPE_FLAGS != 0 {
        return Err(Errno::INVAL.into());
    }
    let (file, socket) = socket(call)?;
    let timeout = lock(&socket.options).receive_timeout;
    let patience = Patience::of(&file, false, timeout);
    let watch = || socket.watch(call.waiter());
    // Who waits stays in the queue if there is no descriptor for him.
    let room = || call.files().check_room();
    room()?;
    let (accepted, peer) = match &socket.body {
        Body::Unix(unix) => {
            let other = patience.wait(call, watch, || room().and_then(|()| unix.accept()))?;
            let peer = other.peer_name()?;
            let body = Body::Unix(other);
            (socket.beside(body), peer)
        }
        Body::Tcp(tcp) => {
            let other = patience.wait(call, watch, || room().and_then(|()| tcp.accept()))?;
            other.told();
            // Who has gone already had an address, too.
            let peer = address::bytes(other.remote_ever(), other.is_v6());
            let body = Body::Tcp(other);
            (socket.beside(body), peer)
        }
        Body::Udp(_) | Body::Netlink(_) => return Err(Errno::OPNOTSUPP.into()),
        Body::Host(own) => host::accept(call, (&socket, own), &patience)?,
    };
    accepted.inherit(&socket);
    // Another thread may have had the last number meanwhile.
    let number =
        install(call, Arc::clone(&accepted), flags).inspect_err(|_| accepted.give_back(&socket))?;
    if call.arg(1) != 0
        && let Err(errno) = write_address(call, &peer, call.arg(1), call.arg(2))
    {
        drop(call.files().remove(number));
        return Err(errno.into());
    }
    Ok(number.into())
}

pub(super) fn accept(call: &Call<'_>) -> Outcome {
    do_accept(call, 0)
}

pub(super) fn accept4(call: &Call<'_>) -> Outcome {
    do_accept(call, call.uint(3))
}

pub(super) fn connect(call: &Call<'_>) -> Outcome {
    let (file, socket) = socket(call)?;
    let name = read_address(call, call.arg(1), call.uint(2))?;
    let timeout = lock(&socket.options).send_timeout;
    let patience = Patience::of(&file, false, timeout);
    match &socket.body {
        Body::Unix(own) => unix::connect(call, &socket, own, &name, &patience)?,
        Body::Tcp(tcp) => inet::connect(call, (&socket.network, tcp), &name, &patience)?,
        Body::Udp(udp) => inet::direct(&socket.network, udp, &name)?,
        // To the kernel: there is nobody else.
        Body::Netlink(netlink) => netlink.bind_to_any(),
        Body::Host(own) => host::connect(call, own, &name, &patience)?,
    }
    Ok(0)
}

pub(super) fn shutdown(call: &Call<'_>) -> Outcome {
    let (_, socket) = socket(call)?;
    let (receive, send) = match call.int(1) {
        0 => (true, false),
        1 => (false, true),
        2 => (true, true),
        _ => return Err(Errno::INVAL.into()),
    };
    socket.shutdown(receive, send)?;
    Ok(0)
}

pub(super) fn getsockname(call: &Call<'_>) -> Outcome {
    let (_, socket) = socket(call)?;
    let name = match &socket.body {
        Body::Unix(unix) => unix.name().unwrap_or_else(|| AF_UNIX.to_le_bytes().to_vec()),
        Body::Tcp(tcp) => address::bytes(tcp.local(), tcp.is_v6()),
        Body::Udp(udp) => address::bytes(udp.local(), udp.is_v6()),
        Body::Netlink(netlink) => netlink.name(),
        Body::Host(own) => host_socket::own_name(own.fd())?,
    };
    write_address(call, &name, call.arg(1), call.arg(2))?;
    Ok(0)
}

pub(super) fn getpeername(call: &Call<'_>) -> Outcome {
    let (_, socket) = socket(call)?;
    let name = match &socket.body {
        Body::Unix(unix) => unix.peer_name()?,
        Body::Tcp(tcp) => address::bytes(tcp.remote()?, tcp.is_v6()),
        Body::Udp(udp) => address::bytes(udp.remote()?, udp.is_v6()),
        Body::Netlink(_) => Netlink::kernel(),
        Body::Host(own) => host_socket::peer_name(own.fd())?,
    };
    write_address(call, &name, call.arg(1), call.arg(2))?;
    Ok(0)
}
