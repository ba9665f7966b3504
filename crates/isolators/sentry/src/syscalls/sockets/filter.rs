//! Filters of datagrams: `SO_ATTACH_FILTER` and its relatives.

use std::sync::Arc;

use rustix::io::Errno;

use crate::net::inet::options::{LOCK_FILTER, SOCKET};
use crate::net::{Body, Filter, Socket, Type};
use crate::task::waiter::lock;

use super::super::seccomp::steps;
use super::Call;

const ATTACH: i32 = 26;
const DETACH: i32 = 27;

pub(super) fn is_option(option: i32) -> bool {
    matches!(option, ATTACH | DETACH)
}

/// Attaches a program of classic BPF, or takes it off.
///
/// # Errors
/// `EPERM` if that was locked, `EINVAL` for a bad program, `ENOENT` without one.
pub(super) fn set(
    call: &Call<'_>,
    socket: &Socket,
    option: i32,
    value: &[u8],
) -> Result<(), Errno> {
    let inbox = match &socket.body {
        Body::Udp(udp) => &udp.inbox,
        Body::Unix(unix) if unix.kind == Type::Datagram => &unix.inbox,
        // A stream has no pieces here of which one could be kept out.
        _ => return Err(Errno::NOPROTOOPT),
    };
    let locked = || match lock(&socket.options).numbers.is_on(SOCKET, LOCK_FILTER) {
        true => Err(Errno::PERM),
        false => Ok(()),
    };
    if option == DETACH {
        if value.len() < 4 {
            return Err(Errno::INVAL);
        }
        locked()?;
        return if inbox.set_filter(None) { Ok(()) } else { Err(Errno::NOENT) };
    }
    let [low, high, _, _, _, _, _, _, at @ ..] = value else { return Err(Errno::INVAL) };
    let address = at.first_chunk().copied().map(u64::from_le_bytes).ok_or(Errno::INVAL)?;
    locked()?;
    if value.len() != 16 {
        return Err(Errno::INVAL);
    }
    let steps = steps(call, u16::from_le_bytes([*low, *high]), address)?;
    inbox.set_filter(Some(Arc::new(Filter::new(steps)?)));
    Ok(())
}
