//! getsockopt(2), setsockopt(2): what every family has.

use std::time::Duration;

use rustix::io::Errno;

use crate::net::inet::options::{LOCK_FILTER, SOCKET};
use crate::net::{Body, Options, Sender, Socket};
use crate::task::Caps;
use crate::task::user_namespace::Ids;
use crate::task::waiter::lock;

use super::{AF_UNIX, Call, Failure, Outcome, filter, host, inet_options, socket};

/// `SO_*`
mod name {
    pub(super) const DEBUG: i32 = 1;
    pub(super) const REUSE_ADDRESS: i32 = 2;
    pub(super) const TYPE: i32 = 3;
    pub(super) const ERROR: i32 = 4;
    pub(super) const NO_ROUTE: i32 = 5;
    pub(super) const BROADCAST: i32 = 6;
    pub(super) const SEND_BUFFER: i32 = 7;
    pub(super) const RECEIVE_BUFFER: i32 = 8;
    pub(super) const KEEP_ALIVE: i32 = 9;
    pub(super) const URGENT_INLINE: i32 = 10;
    pub(super) const PRIORITY: i32 = 12;
    pub(super) const LINGER: i32 = 13;
    pub(super) const REUSE_PORT: i32 = 15;
    pub(super) const PASS_CREDENTIALS: i32 = 16;
    pub(super) const PEER_CREDENTIALS: i32 = 17;
    pub(super) const RECEIVE_LOW_WATER: i32 = 18;
    pub(super) const SEND_LOW_WATER: i32 = 19;
    pub(super) const RECEIVE_TIMEOUT: i32 = 20;
    pub(super) const SEND_TIMEOUT: i32 = 21;
    pub(super) const DEVICE: i32 = 25;
    pub(super) const TIMESTAMP: i32 = 29;
    pub(super) const LISTENS: i32 = 30;
    pub(super) const SEND_BUFFER_FORCE: i32 = 32;
    pub(super) const RECEIVE_BUFFER_FORCE: i32 = 33;
    pub(super) const TIMESTAMP_NANOSECONDS: i32 = 35;
    pub(super) const MARK: i32 = 36;
    pub(super) const BUSY_POLL: i32 = 46;
    /// `SO_BINDTOIFINDEX`
    pub(super) const DEVICE_INDEX: i32 = 62;
    pub(super) const PROTOCOL: i32 = 38;
    pub(super) const FAMILY: i32 = 39;
    pub(super) const TIMESTAMP_NEW: i32 = 63;
    pub(super) const TIMESTAMP_NANOSECONDS_NEW: i32 = 64;
}

/// `net.core.wmem_max`
const MOST_BUFFER: u32 = 212_992;
const LEAST_SEND: u32 = 4608;
const LEAST_RECEIVE: u32 = 2304;

/// What the sandbox keeps of sockets of the host's, too: no call on one of those waits.
const OF_SANDBOX: [i32; 4] =
    [name::RECEIVE_TIMEOUT, name::SEND_TIMEOUT, name::LINGER, name::PEER_CREDENTIALS];

pub(in super::super) fn setsockopt(call: &Call<'_>) -> Outcome {
    let (_, socket) = socket(call)?;
    let length = usize::try_from(call.int(4)).map_err(|_| Errno::INVAL)?;
    if length > 4096 {
        return Err(Errno::INVAL.into());
    }
    let mut value = vec![0; length];
    call.memory().read(call.arg(3), &mut value)?;
    if let Body::Host(own) = &socket.body {
        let (level, option) = (call.int(1), call.int(2));
        if (level, option) == (SOCKET, host::LINGER) {
            host::set(own, (level, option), &value)?;
        } else if level != SOCKET || !OF_SANDBOX.contains(&option) {
            return host::set(own, (level, option), &value).map(|()| 0).map_err(Failure::from);
        }
    }
    match call.int(1) {
        SOCKET if call.int(2) == name::DEVICE => set_device(call, &socket, &value)?,
        SOCKET if filter::is_option(call.int(2)) => {
            filter::set(call, &socket, call.int(2), &value)?;
        }
        SOCKET => set_common(call, &socket, call.int(2), &value)?,
        level => inet_options::set(&socket, (level, call.int(2)), &value)?,
    }
    if let Body::Tcp(tcp) = &socket.body {
        let options = lock(&socket.options).clone();
        if let (true, Some(stack)) = (tcp.follow(&options), socket.network.stack()) {
            stack.look_again();
        }
    } else if let Body::Unix(unix) = &socket.body {
        unix.inbox.set_urgent_inline(lock(&socket.options).urgent_inline);
    }
    Ok(0)
}

/// The first word of a value.
fn word(value: &[u8]) -> Result<u32, Errno> {
    value.first_chunk().copied().map(u32::from_le_bytes).ok_or(Errno::INVAL)
}

/// `struct timeval`; zero is no limit.
fn timeout(value: &[u8]) -> Result<Option<Duration>, Errno> {
    let (seconds, rest) = value.split_first_chunk().ok_or(Errno::INVAL)?;
    let micros = rest.first_chunk().copied().map(i64::from_le_bytes).ok_or(Errno::INVAL)?;
    let seconds = i64::from_le_bytes(*seconds);
    let micros = u32::try_from(micros).ok().filter(|m| *m < 1_000_000).ok_or(Errno::DOM)?;
    // A time before now is no time at all.
    let seconds = u64::try_from(seconds).unwrap_or(0).min(1 << 32);
    let time = Duration::new(seconds, micros * 1000);
    Ok((!time.is_zero()).then_some(time))
}

/// `SO_BINDTODEVICE`: an interface by its name, or none.
fn set_device(call: &Call<'_>, socket: &Socket, value: &[u8]) -> Result<(), Errno> {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len()).min(15);
    let name = value.get(..end).unwrap_or_default();
    let index = match name {
        [] => 0,
        name => socket.network.links().by_name(name).ok_or(Errno::NODEV)?.index,
    };
    set_common(call, socket, name::DEVICE_INDEX, &index.to_le_bytes())
}

fn set_common(call: &Call<'_>, socket: &Socket, option: i32, value: &[u8]) -> Result<(), Errno> {
    let number = word(value)?;
    let (on, signed) = (number != 0, number.cast_signed());
    let root = || {
        let (who, owner) = (lock(&call.thread.credentials), &socket.network.owner);
        let raw = who.can_in(owner, Caps::NET_RAW);
        if raw { Ok(()) } else { who.require_in(owner, Caps::NET_ADMIN) }
    };
    let mut options = lock(&socket.options);
    match option {
        name::DEBUG => root().and_then(|()| options.numbers.set(SOCKET, option, signed))?,
        name::REUSE_ADDRESS => options.reuse_address = on,
        name::REUSE_PORT => options.reuse_port = on,
        name::KEEP_ALIVE => options.keep_alive = on,
        name::BROADCAST => options.broadcast = on,
        name::NO_ROUTE => options.no_route = on,
        name::URGENT_INLINE => options.urgent_inline = on,
        name::PASS_CREDENTIALS if socket.family() == AF_UNIX => options.pass_credentials = on,
        name::PASS_CREDENTIALS => return Err(Errno::OPNOTSUPP),
        name::TIMESTAMP
        | name::TIMESTAMP_NANOSECONDS
        | name::TIMESTAMP_NEW
        | name::TIMESTAMP_NANOSECONDS_NEW => {
            options.timestamp = if on { option.cast_unsigned() } else { 0 };
        }
        name::PRIORITY if number > 6 => root().map(|()| options.priority = number)?,
        name::PRIORITY => options.priority = number,
        name::MARK => root().map(|()| options.mark = number)?,
        name::RECEIVE_LOW_WATER => {
            let number = if signed < 0 { i32::MAX.cast_unsigned() } else { number.max(1) };
            options.low_water = number;
        }
        LOCK_FILTER if !on && options.numbers.is_on(SOCKET, option) => return Err(Errno::PERM),
        name::BUSY_POLL if signed > 0 => {
            root().and_then(|()| options.numbers.set(SOCKET, option, signed))?;
        }
        // Whoever is bound to one may not choose another one.
        name::DEVICE_INDEX => {
            if options.numbers.get(SOCKET, option)? != 0 {
                root()?;
            }
            options.numbers.set(SOCKET, option, signed)?;
        }
        name::LINGER => {
            let seconds = word(value.get(4..).unwrap_or_default())?;
            options.linger = on.then_some(seconds);
        }
        name::SEND_BUFFER | name::SEND_BUFFER_FORCE => {
            options.send_buffer = number.min(MOST_BUFFER).saturating_mul(2).max(LEAST_SEND);
        }
        name::RECEIVE_BUFFER | name::RECEIVE_BUFFER_FORCE => {
            let size = number.min(MOST_BUFFER).saturating_mul(2).max(LEAST_RECEIVE);
            options.receive_buffer = size;
        }
        name::RECEIVE_TIMEOUT => options.receive_timeout = timeout(value)?,
        name::SEND_TIMEOUT => options.send_timeout = timeout(value)?,
        _ => options.numbers.set(SOCKET, option, signed)?,
    }
    let device = options.numbers.get(SOCKET, name::DEVICE_INDEX).unwrap_or(0).cast_unsigned();
    let wish = (options.reuse_address, options.reuse_port);
    let stamps = options.timestamp != 0;
    drop(options);
    if stamps {
        match &socket.body {
            Body::Udp(udp) => udp.inbox.stamp(),
            Body::Unix(unix) => unix.inbox.stamp(),
            _ => {}
        }
    }
    match &socket.body {
        Body::Tcp(tcp) => {
            tcp.set(|w| (w.reuse_address, w.reuse_port, w.device) = (wish.0, wish.1, device));
        }
        Body::Udp(udp) => {
            udp.set(|w| (w.reuse_address, w.reuse_port, w.device) = (wish.0, wish.1, device));
        }
        Body::Unix(_) | Body::Netlink(_) | Body::Host(_) => {}
    }
    match option {
        name::SEND_BUFFER | name::SEND_BUFFER_FORCE => socket.buffers_changed(true),
        name::RECEIVE_BUFFER | name::RECEIVE_BUFFER_FORCE => socket.buffers_changed(false),
        _ => {}
    }
    Ok(())
}

pub(in super::super) fn getsockopt(call: &Call<'_>) -> Outcome {
    let (_, socket) = socket(call)?;
    let memory = call.memory();
    let room = memory.read_u32(call.arg(4))?.cast_signed();
    let room = usize::try_from(room).map_err(|_| Errno::INVAL)?;
    let value = match (&socket.body, call.int(1), call.int(2)) {
        (Body::Host(_), SOCKET, option) if OF_SANDBOX.contains(&option) => {
            get_common(call, &socket, option, room)?
        }
        (Body::Host(own), level, option) => host::get(own, (level, option), room)?,
        (_, SOCKET, _) => get_common(call, &socket, call.int(2), room)?,
        (_, level, _) => inet_options::get(&socket, (level, call.int(2)))?,
    };
    let part = value.get(..room).unwrap_or(&value);
    memory.write(call.arg(3), part)?;
    let length = u32::try_from(part.len()).unwrap_or(0);
    memory.write(call.arg(4), &length.to_le_bytes())?;
    Ok(0)
}

fn listens(socket: &Socket) -> bool {
    match &socket.body {
        Body::Unix(unix) => unix.listens(),
        Body::Tcp(tcp) => tcp.listens(),
        Body::Udp(_) | Body::Netlink(_) | Body::Host(_) => false,
    }
}

fn time(timeout: Option<Duration>) -> Vec<u8> {
    let timeout = timeout.unwrap_or_default();
    let parts = [timeout.as_secs(), u64::from(timeout.subsec_micros())];
    parts.iter().flat_map(|n| n.to_le_bytes()).collect()
}

fn get_common(
    call: &Call<'_>,
    socket: &Socket,
    option: i32,
    room: usize,
) -> Result<Vec<u8>, Errno> {
    let options: Options = lock(&socket.options).clone();
    let number = match option {
        name::REUSE_ADDRESS => options.reuse_address.into(),
        name::REUSE_PORT => options.reuse_port.into(),
        name::KEEP_ALIVE => options.keep_alive.into(),
        name::BROADCAST => options.broadcast.into(),
        name::NO_ROUTE => options.no_route.into(),
        name::URGENT_INLINE => options.urgent_inline.into(),
        name::PASS_CREDENTIALS => options.pass_credentials.into(),
        name::TIMESTAMP | name::TIMESTAMP_NANOSECONDS | name::TIMESTAMP_NANOSECONDS_NEW => {
            (options.timestamp == option.cast_unsigned()).into()
        }
        // On Linux, too, it is on with the other one.
        name::TIMESTAMP_NEW => matches!(options.timestamp, 63 | 64).into(),
        name::PRIORITY => options.priority,
        name::MARK => options.mark,
        name::RECEIVE_LOW_WATER => options.low_water,
        name::SEND_LOW_WATER => 1,
        name::SEND_BUFFER => options.send_buffer,
        name::RECEIVE_BUFFER => options.receive_buffer,
        name::TYPE => socket.kind,
        name::FAMILY => socket.family().into(),
        name::PROTOCOL => socket.protocol.cast_unsigned(),
        name::LISTENS => listens(socket).into(),
        name::ERROR => socket.take_error().map_or(0, |errno| errno.raw_os_error().cast_unsigned()),
        name::LINGER => {
            let words = [u32::from(options.linger.is_some()), options.linger.unwrap_or(0)];
            return Ok(words.iter().flat_map(|w| w.to_le_bytes()).collect());
        }
        name::RECEIVE_TIMEOUT => return Ok(time(options.receive_timeout)),
        name::SEND_TIMEOUT => return Ok(time(options.send_timeout)),
        name::DEVICE => {
            let index = options.numbers.get(SOCKET, name::DEVICE_INDEX)?.cast_unsigned();
            let link = socket.network.links().by_index(index).map(|link| link.name.clone());
            let mut name = link.unwrap_or_default().into_bytes();
            if !name.is_empty() {
                name.push(0);
                // IFNAMSIZ: no less room will do.
                if room < 16 {
                    return Err(Errno::INVAL);
                }
            }
            return Ok(name);
        }
        name::PEER_CREDENTIALS => {
            let peer = match &socket.body {
                Body::Unix(unix) => unix.peer(),
                _ => None,
            };
            let own = lock(&call.thread.credentials).clone();
            let seen = |peer: Sender| {
                let user = own.id_for(Ids::Users, peer.user);
                (
                    call.number_of(peer.pid).cast_unsigned(),
                    user,
                    own.id_for(Ids::Groups, peer.group),
                )
            };
            let (pid, user, group) = peer.map_or((0, u32::MAX, u32::MAX), seen);
            return Ok([pid, user, group].iter().flat_map(|w| w.to_le_bytes()).collect());
        }
        // SO_PEERSEC among those that are not there: as without a security module.
        _ => options.numbers.get(SOCKET, option)?.cast_unsigned(),
    };
    Ok(number.to_le_bytes().to_vec())
}
