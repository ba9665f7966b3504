//! Control messages of sendmsg(2) and recvmsg(2).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustix::io::Errno;

use crate::net::inet::address;
use crate::net::inet::options::{
    IP, IPV6, PACKET_INFO, RECEIVE_PACKET_INFO6, SEGMENT, SOCKET, UDP,
};
use crate::net::links::LOOPBACK;
use crate::net::{Body, Outgoing, Received, Rights, Sender, Socket};
use crate::task::Caps;
use crate::task::user_namespace::Ids;
use crate::task::waiter::lock;
use crate::vfs::{OpenFile, Time};

use super::{AF_UNIX, Call, sender};

const SCM_RIGHTS: i32 = 1;
const SCM_CREDENTIALS: i32 = 2;
/// `IPV6_HOPLIMIT`
const HOPS: i32 = 52;
/// `IPV6_TCLASS`
const CLASS: i32 = 67;
/// `IP_TTL`
const TTL: i32 = 2;
/// `IP_TOS`
const TOS: i32 = 1;
/// `IPV6_PKTINFO`
const PACKET_INFO6: i32 = 50;
/// `SO_TIMESTAMP`, also with its newer number.
const TIMESTAMP: i32 = 29;
const TIMESTAMP_NEW: i32 = 63;
/// `struct cmsghdr`
const HEADER: usize = 16;
/// Most bytes of control messages (`net.core.optmem_max`).
const MOST: u64 = 20_480;
/// `SCM_MAX_FD`
const MOST_DESCRIPTORS: usize = 253;

/// Reads the messages that are sent along with a packet of a UNIX socket.
pub(super) fn read(
    call: &Call<'_>,
    socket: &Socket,
    (address, length): (u64, u64),
    outgoing: &mut Outgoing,
) -> Result<(), Errno> {
    let packet = &mut outgoing.packet;
    packet.sender = sender(call);
    let mut files = Vec::new();
    each(call, (address, length), |whole, level, kind| {
        let body = whole.get(HEADER..).unwrap_or_default();
        if socket.family() == AF_UNIX && level == SOCKET {
            match kind {
                SCM_RIGHTS => descriptors(call, body, &mut files)?,
                SCM_CREDENTIALS => packet.sender = credentials(call, body)?,
                _ => return Err(Errno::INVAL),
            }
        } else if matches!((level, kind), (IPV6, HOPS | CLASS) | (IP, TTL | TOS)) {
            // Minus one: as the options say.
            let value = words(body).next().map(u32::cast_signed);
            let value = value.filter(|v| (-1..256).contains(v)).ok_or(Errno::INVAL)?;
            let value = u8::try_from(value).ok();
            let (hops, class) = &mut outgoing.hops;
            *if matches!(kind, HOPS | TTL) { hops } else { class } = value;
        } else if (level, kind) == (UDP, SEGMENT) {
            let size = body.first_chunk().copied().map(u16::from_le_bytes);
            outgoing.segment = Some(size.ok_or(Errno::INVAL)?);
        }
        Ok(())
    })?;
    outgoing.packet.rights = Rights::new(files)?;
    Ok(())
}

/// Runs `f` on the control messages at an address: each with its header, its level and
/// its type.
pub(super) fn each(
    call: &Call<'_>,
    (address, length): (u64, u64),
    mut f: impl FnMut(&[u8], i32, i32) -> Result<(), Errno>,
) -> Result<(), Errno> {
    if length > MOST {
        return Err(Errno::NOBUFS);
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    call.memory().read(address, &mut bytes)?;
    let mut rest = bytes.as_slice();
    while rest.len() >= HEADER {
        let (size, level, kind) = header(rest);
        let whole = rest.get(..size).filter(|whole| whole.len() >= HEADER);
        f(whole.ok_or(Errno::INVAL)?, level, kind)?;
        rest = rest.get(size.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(())
}

/// Size with header, level and type.
fn header(bytes: &[u8]) -> (usize, i32, i32) {
    let word = |at: usize| {
        bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, i32::from_le_bytes)
    };
    let size = bytes.first_chunk().copied().map_or(0, u64::from_le_bytes);
    // Too small a size is found by the range behind the header, which is then none.
    (usize::try_from(size).unwrap_or(usize::MAX), word(8), word(12))
}

fn words(body: &[u8]) -> impl Iterator<Item = u32> + '_ {
    body.chunks_exact(4).map(|b| b.try_into().map_or(0, u32::from_le_bytes))
}

fn descriptors(call: &Call<'_>, body: &[u8], files: &mut Vec<Arc<OpenFile>>) -> Result<(), Errno> {
    let table = call.files();
    if files.len() + body.len() / 4 > MOST_DESCRIPTORS {
        return Err(Errno::INVAL);
    }
    for number in words(body) {
        files.push(table.get(number)?);
    }
    Ok(())
}

fn credentials(call: &Call<'_>, body: &[u8]) -> Result<Sender, Errno> {
    let mut words = words(body);
    let (Some(pid), Some(user), Some(group), 12) =
        (words.next(), words.next(), words.next(), body.len())
    else {
        return Err(Errno::INVAL);
    };
    let who = lock(&call.thread.credentials).clone();
    let (user, group) = (who.id_from(Ids::Users, user)?, who.id_from(Ids::Groups, group)?);
    let claimed = Sender { pid: call.id_of(pid.cast_signed()), user, group };
    let known = |ids: &[u32; 4], id: u32| ids.iter().take(3).any(|i| *i == id);
    let may = (claimed.pid == call.thread.process.pid || who.can(Caps::SYS_ADMIN))
        && (known(&who.users, user) || who.can_here(Caps::SETUID))
        && (known(&who.groups, group) || who.can_here(Caps::SETGID));
    if may { Ok(claimed) } else { Err(Errno::PERM) }
}

/// Control messages for a receiver.
pub(super) struct Writer {
    bytes: Vec<u8>,
    room: usize,
    /// Whether something had no room.
    pub(super) truncated: bool,
}

impl Writer {
    pub(super) fn new(room: u64) -> Self {
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        Writer { bytes: Vec::new(), room, truncated: false }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a message, or as much of it as there is room for.
    pub(super) fn put(&mut self, level: i32, kind: i32, body: &[u8]) {
        let start = self.bytes.len();
        let left = self.room.saturating_sub(start);
        if left < HEADER {
            self.truncated = true;
            return;
        }
        let size = HEADER + body.len();
        self.truncated |= size > left;
        let size = size.min(left);
        self.bytes.extend_from_slice(&(size as u64).to_le_bytes());
        self.bytes.extend_from_slice(&level.to_le_bytes());
        self.bytes.extend_from_slice(&kind.to_le_bytes());
        self.bytes.extend_from_slice(body.get(..size - HEADER).unwrap_or(body));
        let end = (start + size.next_multiple_of(8)).min(self.room);
        self.bytes.resize(end.max(self.bytes.len()), 0);
    }

    /// Adds on which interface a datagram came, and where it was sent to.
    fn packet_info(&mut self, socket: &Socket, received: &Received) {
        let Some(ip) = received.to else { return };
        let numbers = lock(&socket.options).numbers.clone();
        let index = || {
            let links = socket.network.links();
            links.by_address(ip).map_or(LOOPBACK, |link| link.index).to_le_bytes()
        };
        if let (IpAddr::V4(v4), true) = (ip, numbers.is_on(IP, PACKET_INFO)) {
            let body = [index(), v4.octets(), v4.octets()].concat();
            self.put(IP, PACKET_INFO, &body);
        }
        if numbers.is_on(IPV6, RECEIVE_PACKET_INFO6) {
            let v6 = match ip {
                IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                IpAddr::V6(v6) => v6,
            };
            let body = [&v6.octets()[..], &index()].concat();
            self.put(IPV6, PACKET_INFO6, &body);
        }
        let (hops, class) = received.hops;
        let word = |n: u8| u32::from(n).to_le_bytes();
        // IP_RECVORIGDSTADDR
        if let (IpAddr::V4(_), true, Body::Udp(udp)) = (ip, numbers.is_on(IP, 20), &socket.body) {
            self.put(IP, 20, &address::bytes(SocketAddr::new(ip, udp.local().port()), false));
        }
        // IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS, IP_RECVTTL, IP_RECVTOS
        if numbers.is_on(IPV6, 51) {
            self.put(IPV6, HOPS, &word(hops));
        }
        if numbers.is_on(IPV6, 66) {
            self.put(IPV6, CLASS, &word(class));
        }
        if numbers.is_on(IP, 12) {
            self.put(IP, TTL, &word(hops));
        }
        if numbers.is_on(IP, 13) {
            self.put(IP, TOS, &[class]);
        }
    }

    /// Adds when a packet came, if the socket asks for that.
    fn time(&mut self, socket: &Socket, received: &Received) {
        let option = lock(&socket.options).timestamp.cast_signed();
        if option == 0 || received.sender.is_none() || socket.piece().is_some() {
            return;
        }
        let Time { seconds, nanoseconds } = received.came.unwrap_or_else(Time::now);
        let micros = matches!(option, TIMESTAMP | TIMESTAMP_NEW);
        let rest = i64::from(if micros { nanoseconds / 1000 } else { nanoseconds });
        self.put(SOCKET, option, &[seconds.to_le_bytes(), rest.to_le_bytes()].concat());
    }

    /// Adds messages that the host's kernel made.
    fn of_host(&mut self, mut rest: &[u8]) {
        while rest.len() >= HEADER {
            let (size, level, kind) = header(rest);
            let Some(body) = rest.get(HEADER..size) else { return };
            self.put(level, kind, body);
            rest = rest.get(size.next_multiple_of(8)..).unwrap_or_default();
        }
    }

    /// Adds what came with a packet: who sent it, and descriptors, which are opened.
    pub(super) fn received(
        &mut self,
        call: &Call<'_>,
        socket: &Socket,
        received: &mut Received,
        close_on_exec: bool,
    ) {
        self.time(socket, received);
        let wanted = lock(&socket.options).pass_credentials;
        if let (true, Some(who)) = (wanted, received.sender) {
            let own = lock(&call.thread.credentials).clone();
            let user = own.id_for(Ids::Users, who.user);
            let words =
                [call.number_of(who.pid).cast_unsigned(), user, own.id_for(Ids::Groups, who.group)];
            let body: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            self.put(SOCKET, SCM_CREDENTIALS, &body);
        }
        self.packet_info(socket, received);
        self.of_host(&received.control);
        let files = std::mem::take(&mut received.rights);
        if files.is_empty() {
            return;
        }
        let left = self.room.saturating_sub(self.bytes.len());
        let fits = left.saturating_sub(HEADER) / 4;
        self.truncated |= files.len() > fits;
        let mut body = Vec::new();
        let table = call.files();
        for file in files.into_iter().take(fits) {
            match table.add(file, 0, close_on_exec) {
                Ok(number) => body.extend_from_slice(&number.to_le_bytes()),
                Err(_) => {
                    self.truncated = true;
                    break;
                }
            }
        }
        if !body.is_empty() {
            self.put(SOCKET, SCM_RIGHTS, &body);
        }
    }
}
