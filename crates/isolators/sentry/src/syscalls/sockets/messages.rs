//! Sending and receiving.

use std::sync::Arc;

use rustix::io::Errno;

use crate::net::inet::address;
use crate::net::{Body, Outgoing, Received, Socket, Type, Udp, Unix};
use crate::platform::GuestMemory;
use crate::signal::{self, Info, SI_USER, SIGPIPE, Target, owner};
use crate::task::waiter::lock;
use crate::vfs::OpenFile;

use super::control::{self, Writer};
use super::span::Span;
use super::{
    Call, Failure, Outcome, Patience, host, inet, read_address, sender, socket, unix, write_address,
};

/// `MSG_*`
pub(super) mod flag {
    pub(super) const OUT_OF_BAND: u32 = 1;
    pub(super) const PEEK: u32 = 2;
    pub(super) const CONTROL_TRUNCATED: u32 = 8;
    pub(super) const TRUNCATED: u32 = 0x20;
    pub(in super::super) const DONT_WAIT: u32 = 0x40;
    pub(super) const WAIT_ALL: u32 = 0x100;
    pub(super) const ERROR_QUEUE: u32 = 0x2000;
    pub(super) const NO_SIGNAL: u32 = 0x4000;
    pub(super) const MORE: u32 = 0x8000;
    pub(in super::super) const WAIT_FOR_ONE: u32 = 0x10000;
    pub(super) const FAST_OPEN: u32 = 0x2000_0000;
    pub(super) const CLOSE_ON_EXEC: u32 = 0x4000_0000;
}

/// Most bytes of a datagram or record, whatever the buffers are.
const MOST_RECORD: u64 = 16 << 20;

/// What one call sends or receives.
pub(super) struct Message {
    span: Span,
    /// Address and length.
    name: (u64, u32),
    control: (u64, u64),
}

/// `struct msghdr`
pub(super) const HEADER: u64 = 56;

impl Message {
    fn plain(span: Span) -> Self {
        Message { span, name: (0, 0), control: (0, 0) }
    }

    pub(super) fn read(memory: &GuestMemory, address: u64) -> Result<Self, Errno> {
        let bytes: [u8; 56] = memory.read_array(address)?;
        let mut words = [0_u64; 7];
        for (word, part) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = part.try_into().map_or(0, u64::from_le_bytes);
        }
        let [name, name_length, vectors, count, control, control_length, _] = words;
        let name_length = u32::try_from(name_length & 0xffff_ffff).unwrap_or(0);
        if name_length.cast_signed() < 0 {
            return Err(Errno::INVAL);
        }
        let name_length = if name == 0 { 0 } else { name_length.min(128) };
        let span = Span::vectors(memory, vectors, count)?;
        Ok(Message { span, name: (name, name_length), control: (control, control_length) })
    }
}

/// `SIGPIPE`, where a stream's end is gone and the caller wants to hear of it.
fn tell_broken(call: &Call<'_>, socket: &Socket, failure: &Failure, flags: u32) {
    let stream = socket.kind == Type::Stream as u32;
    if *failure != Failure::Errno(Errno::PIPE) || !stream || flags & flag::NO_SIGNAL != 0 {
        return;
    }
    let info = Info::from_user(SIGPIPE, SI_USER, call.thread.process.pid, 0);
    signal::send(call.kernel, &Target::Thread(Arc::clone(call.thread)), info);
}

pub(super) fn send(
    call: &Call<'_>,
    (file, socket): (&OpenFile, &Socket),
    message: Message,
    flags: u32,
) -> Result<u64, Failure> {
    let length = message.span.left;
    let sent = send_all(call, (file, socket), message, flags);
    owner::wrote(file, &sent, length);
    sent
}

fn send_all(
    call: &Call<'_>,
    (file, socket): (&OpenFile, &Socket),
    mut message: Message,
    flags: u32,
) -> Result<u64, Failure> {
    let urgent = flags & flag::OUT_OF_BAND != 0;
    let apart = match &socket.body {
        Body::Unix(unix) => urgent && unix.kind == Type::Stream && message.span.left > 0,
        _ => false,
    };
    if urgent && !apart && !matches!(socket.body, Body::Tcp(_) | Body::Host(_)) {
        let lonely = |unix: &Unix| unix.kind == Type::Records && unix.peer_name().is_err();
        let lonely = matches!(&socket.body, Body::Unix(unix) if lonely(unix));
        return Err(if lonely { Errno::NOTCONN } else { Errno::OPNOTSUPP }.into());
    }
    // The host's would connect by an address that nobody has looked at.
    if flags & flag::FAST_OPEN != 0 && matches!(socket.body, Body::Host(_)) {
        return Err(Errno::OPNOTSUPP.into());
    }
    let memory = call.memory();
    let mut outgoing = Outgoing::default();
    if message.name.1 > 0 {
        outgoing.to = Some(read_address(call, message.name.0, message.name.1)?);
    }
    let timeout = lock(&socket.options).send_timeout;
    let patience = Patience::of(file, flags & flag::DONT_WAIT != 0, timeout);
    if let (Body::Tcp(tcp), true) = (&socket.body, flags & flag::FAST_OPEN != 0) {
        // As where no cookie is known: first it is connected.
        let to = outgoing.to.take().ok_or(Errno::INVAL)?;
        // No address, to which connect(2) would end the connection.
        if to.first_chunk() == Some(&[0, 0]) {
            return Err(Errno::OPNOTSUPP.into());
        }
        if tcp.remote().is_ok() {
            return Err(Errno::ISCONN.into());
        }
        inet::connect(call, (&socket.network, tcp), &to, &patience)?;
    }
    if let Body::Host(host) = &socket.body {
        let control = host::control(call, message.control)?;
        let to = outgoing.to.as_deref().unwrap_or_default();
        let sent = host::send(call, host, (&mut message.span, to, &control), flags, &patience);
        return sent.inspect_err(|failure| tell_broken(call, socket, failure, flags));
    }
    outgoing.packet.sender = sender(call);
    outgoing.more = flags & flag::MORE != 0;
    control::read(call, socket, message.control, &mut outgoing)?;
    let mut done = 0;
    let piece = socket.piece().map(|p| p as u64);
    let most = match &socket.body {
        Body::Netlink(_) => u64::from(lock(&socket.options).send_buffer).saturating_sub(32),
        _ => MOST_RECORD,
    };
    if piece.is_none() && message.span.left > most {
        return Err(Errno::MSGSIZE.into());
    }
    loop {
        // Of a UNIX stream the urgent byte is a piece of its own.
        let left = message.span.left;
        let left = if apart && left > 1 { left - 1 } else { left };
        let size = piece.map_or(left, |p| p.min(left));
        let bytes = message.span.gather(&memory, size);
        let sent = bytes.map_err(Failure::from).and_then(|bytes| {
            outgoing.packet.bytes = bytes;
            outgoing.urgent = urgent && message.span.left == 0;
            outgoing.begun = done > 0;
            one(call, socket, &mut outgoing, &patience)
        });
        match sent {
            Ok(()) => done += size,
            Err(_) if done > 0 => return Ok(done),
            Err(failure) => {
                tell_broken(call, socket, &failure, flags);
                return Err(failure);
            }
        }
        if message.span.left == 0 {
            return Ok(done);
        }
        outgoing.packet.sender = sender(call);
    }
}

/// Sends one packet.
fn one(
    call: &Call<'_>,
    socket: &Socket,
    outgoing: &mut Outgoing,
    patience: &Patience,
) -> Result<(), Failure> {
    let watch = || socket.watch(call.waiter());
    match &socket.body {
        Body::Unix(own) => {
            let target = match &outgoing.to {
                Some(address) if own.kind == Type::Datagram => {
                    Some(unix::find(call, &socket.network.unix, (own.kind, address))?)
                }
                Some(_) if own.peer_name().is_ok() => return Err(Errno::ISCONN.into()),
                Some(_) => return Err(Errno::OPNOTSUPP.into()),
                None => None,
            };
            let watch = || match &target {
                Some(target) => target.watch_for_room(call.waiter()),
                None => watch(),
            };
            patience.wait(call, watch, || own.send(outgoing, target.as_ref()))
        }
        Body::Tcp(tcp) => {
            let how = (outgoing.urgent, outgoing.begun);
            patience.wait(call, watch, || socket.send_by(tcp, &mut outgoing.packet, how))
        }
        Body::Udp(udp) => Ok(inet::send(socket, udp, outgoing)?),
        Body::Netlink(netlink) => {
            let who = lock(&call.thread.credentials).clone();
            let find = |named| super::super::namespaces::network(call, named);
            let sent = (&who, outgoing.to.as_deref(), &find as _);
            Ok(netlink.send(&outgoing.packet.bytes, &socket.network, sent)?)
        }
        // All of them were sent before.
        Body::Host(_) => Err(Errno::OPNOTSUPP.into()),
    }
}

/// What a receiver is told besides the bytes.
struct Told {
    count: u64,
    received: Received,
    flags: u32,
}

fn receive(
    call: &Call<'_>,
    (file, socket): (&OpenFile, &Socket),
    span: &mut Span,
    flags: u32,
) -> Result<Told, Failure> {
    if flags & flag::OUT_OF_BAND != 0 {
        return urgent_byte(call, socket, span, flags & flag::PEEK != 0);
    }
    let memory = call.memory();
    if flags & flag::ERROR_QUEUE != 0 {
        let room = usize::try_from(span.left).unwrap_or(0);
        let received = match &socket.body {
            Body::Host(host) => host.receive_with(room, flag::ERROR_QUEUE)?,
            Body::Udp(udp) => lost(udp, room)?,
            _ => return Err(Errno::AGAIN.into()),
        };
        span.scatter(&memory, &received).map_err(|_| Errno::FAULT)?;
        let (count, flags) = (received.length as u64, received.flags);
        return Ok(Told { count, received, flags });
    }
    let timeout = lock(&socket.options).receive_timeout;
    let patience = Patience::of(file, flags & flag::DONT_WAIT != 0, timeout);
    let peek = flags & flag::PEEK != 0;
    let stream = socket.piece().is_some();
    let all = flags & flag::WAIT_ALL != 0 && stream && !peek;
    // TCP throws away what it is told to.
    let throws =
        matches!(&socket.body, Body::Tcp(_)) || matches!(&socket.body, Body::Host(_) if stream);
    let discards = flags & flag::TRUNCATED != 0 && throws;
    let mut told = Told { count: 0, received: Received::default(), flags: 0 };
    loop {
        let room = usize::try_from(span.left).unwrap_or(0);
        let watch = || socket.watch(call.waiter());
        let enough = || match &socket.body {
            Body::Tcp(tcp) if patience.waits && !peek => tcp.has_enough(room),
            _ => true,
        };
        let receive = || if enough() { socket.receive(room, peek) } else { Err(Errno::AGAIN) };
        let received = match patience.wait(call, watch, receive) {
            // What there is by then.
            Err(Failure::Errno(Errno::AGAIN)) if !enough() => socket.receive(room, peek)?,
            Ok(received) => received,
            Err(failure) if told.count > 0 => {
                // The next call tells it.
                if let (Body::Tcp(tcp), Failure::Errno(errno)) = (&socket.body, failure)
                    && !matches!(errno, Errno::AGAIN | Errno::NOTCONN)
                {
                    tcp.inbox.fail(errno);
                }
                return Ok(told);
            }
            Err(failure) => return Err(failure),
        };
        if discards {
            span.step(received.length as u64, |_, _| Ok(()))?;
        } else if let Err(whole) = span.scatter(&memory, &received) {
            told.count += socket.take_back(received, whole, peek) as u64;
            return if told.count > 0 { Ok(told) } else { Err(Errno::FAULT.into()) };
        }
        told.count += received.length as u64;
        if received.full > received.length {
            told.flags |= flag::TRUNCATED;
            if flags & flag::TRUNCATED != 0 {
                told.count = received.full as u64;
            }
        }
        told.flags |= received.flags;
        let over = received.length == 0 || !received.rights.is_empty();
        told.received = received;
        if !all || span.left == 0 || over || socket.is_at_mark() {
            return Ok(told);
        }
    }
}

/// The first datagram of a socket that did not arrive.
fn lost(udp: &Udp, room: usize) -> Result<Received, Errno> {
    let lost = udp.take_lost()?;
    let (from, control) = (address::bytes(lost.to, udp.is_v6()), lost.control());
    let full = lost.bytes.len();
    let mut bytes = lost.bytes;
    bytes.truncate(room);
    let truncated = if full > bytes.len() { flag::TRUNCATED } else { 0 };
    Ok(Received {
        length: bytes.len(),
        full: bytes.len(),
        pieces: vec![(bytes, 0)],
        from: Some(from),
        control,
        flags: flag::ERROR_QUEUE | truncated,
        ..Received::default()
    })
}

fn one_byte(byte: u8) -> Received {
    Received { pieces: vec![(vec![byte], 0)], length: 1, full: 1, ..Received::default() }
}

/// Receives the byte of urgent data.
fn urgent_byte(
    call: &Call<'_>,
    socket: &Socket,
    span: &mut Span,
    peek: bool,
) -> Result<Told, Failure> {
    const URGENT: u32 = flag::OUT_OF_BAND;
    let received = match &socket.body {
        Body::Unix(unix) => one_byte(unix.urgent(peek)?),
        Body::Tcp(_) if lock(&socket.options).urgent_inline || span.left == 0 => {
            return Err(Errno::INVAL.into());
        }
        Body::Tcp(tcp) => one_byte(tcp.inbox.urgent(peek)?),
        Body::Host(host) => host.receive_with(1, URGENT | if peek { flag::PEEK } else { 0 })?,
        _ => return Err(Errno::OPNOTSUPP.into()),
    };
    span.scatter(&call.memory(), &received).map_err(|_| Errno::FAULT)?;
    Ok(Told { count: received.length as u64, received, flags: URGENT })
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(in super::super) fn sendto(call: &Call<'_>) -> Outcome {
    let (file, socket) = socket(call)?;
    let mut message = Message::plain(Span::one(call.arg(1), call.arg(2)));
    if call.arg(4) != 0 {
        message.name = (call.arg(4), call.uint(5));
    }
    send(call, (&file, &socket), message, call.uint(3)).map(signed)
}

pub(in super::super) fn sendmsg(call: &Call<'_>) -> Outcome {
    let (file, socket) = socket(call)?;
    let message = Message::read(&call.memory(), call.arg(1))?;
    send(call, (&file, &socket), message, call.uint(2)).map(signed)
}

pub(in super::super) fn recvfrom(call: &Call<'_>) -> Outcome {
    let (file, socket) = socket(call)?;
    let mut span = Span::one(call.arg(1), call.arg(2));
    let told = receive(call, (&file, &socket), &mut span, call.uint(3))?;
    if call.arg(4) != 0 && call.arg(5) != 0 {
        let from = told.received.from.as_deref().unwrap_or_default();
        write_address(call, from, call.arg(4), call.arg(5))?;
    }
    Ok(signed(told.count))
}

/// Receives into the `struct msghdr` at `address`.
pub(super) fn receive_message(
    call: &Call<'_>,
    both: (&OpenFile, &Socket),
    address: u64,
    flags: u32,
) -> Result<u64, Failure> {
    let memory = call.memory();
    let mut message = Message::read(&memory, address)?;
    let mut told = receive(call, both, &mut message.span, flags)?;
    let close_on_exec = flags & flag::CLOSE_ON_EXEC != 0;
    let mut control = Writer::new(if message.control.0 == 0 { 0 } else { message.control.1 });
    control.received(call, both.1, &mut told.received, close_on_exec);
    memory.write(message.control.0, control.bytes())?;
    if message.name.0 != 0 {
        let from = told.received.from.as_deref().unwrap_or_default();
        let room = usize::try_from(message.name.1).unwrap_or(0);
        memory.write(message.name.0, from.get(..room).unwrap_or(from))?;
        let length = u32::try_from(from.len()).unwrap_or(0);
        memory.write(address.wrapping_add(8), &length.to_le_bytes())?;
    }
    let length = control.bytes().len() as u64;
    memory.write(address.wrapping_add(40), &length.to_le_bytes())?;
    let mut out = told.flags | flags & flag::CLOSE_ON_EXEC;
    if control.truncated {
        out |= flag::CONTROL_TRUNCATED;
    }
    memory.write(address.wrapping_add(48), &out.to_le_bytes())?;
    Ok(told.count)
}

pub(in super::super) fn recvmsg(call: &Call<'_>) -> Outcome {
    let (file, socket) = socket(call)?;
    receive_message(call, (&file, &socket), call.arg(1), call.uint(2)).map(signed)
}

fn may(file: &OpenFile) -> Result<(), Errno> {
    if file.is_path() { Err(Errno::BADF) } else { Ok(()) }
}

/// read(2) of a socket.
pub(in super::super) fn read(
    call: &Call<'_>,
    file: &OpenFile,
    socket: &Socket,
    (address, length): (u64, u64),
) -> Outcome {
    may(file)?;
    if length == 0 {
        return Ok(0);
    }
    let mut span = Span::one(address, length);
    receive(call, (file, socket), &mut span, 0).map(|told| signed(told.count))
}

/// write(2) of a socket.
pub(in super::super) fn write(
    call: &Call<'_>,
    file: &OpenFile,
    socket: &Socket,
    (address, length): (u64, u64),
) -> Outcome {
    may(file)?;
    let message = Message::plain(Span::one(address, length));
    send(call, (file, socket), message, 0).map(signed)
}

fn waits_not(no_wait: bool) -> u32 {
    if no_wait { flag::DONT_WAIT } else { 0 }
}

/// readv(2) of a socket; maybe it does not wait.
pub(in super::super) fn readv(
    call: &Call<'_>,
    file: &OpenFile,
    socket: &Socket,
    (vectors, no_wait): (Vec<(u64, u64)>, bool),
) -> Outcome {
    may(file)?;
    let mut span = Span::of(vectors);
    receive(call, (file, socket), &mut span, waits_not(no_wait)).map(|told| signed(told.count))
}

/// writev(2) of a socket; maybe it does not wait.
pub(in super::super) fn writev(
    call: &Call<'_>,
    file: &OpenFile,
    socket: &Socket,
    (vectors, no_wait): (Vec<(u64, u64)>, bool),
) -> Outcome {
    may(file)?;
    let message = Message::plain(Span::of(vectors));
    send(call, (file, socket), message, waits_not(no_wait)).map(signed)
}
