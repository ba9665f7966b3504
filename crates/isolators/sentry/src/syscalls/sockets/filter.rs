//! Filters of datagrams: `SO_ATTACH_FILTER` and its relatives.

use std::sync::Arc;

use caisson_sys::seccomp::SockFilter;
use rustix::io::Errno;

use crate::net::{Body, Filter, Socket, Type};
use crate::task::waiter::lock;

use super::Call;

const SOL_SOCKET: i32 = 1;
const ATTACH: i32 = 26;
const DETACH: i32 = 27;
const LOCK: i32 = 44;
/// Instructions of a program.
const MOST: u16 = 4096;

pub(super) fn is_option(option: i32) -> bool {
    matches!(option, ATTACH | DETACH)
}

/// Whether the filter may not be changed any more.
pub(super) fn is_locked(socket: &Socket) -> bool {
    lock(&socket.options).numbers.was_set(SOL_SOCKET, LOCK).is_some_and(|on| on != 0)
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
    let locked = || if is_locked(socket) { Err(Errno::PERM) } else { Ok(()) };
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
    let count = u16::from_le_bytes([*low, *high]);
    if value.len() != 16 || count == 0 || count > MOST {
        return Err(Errno::INVAL);
    }
    let mut bytes = vec![0; usize::from(count) * 8];
    call.memory().read(address, &mut bytes)?;
    let steps = bytes.chunks_exact(8).filter_map(|step| {
        let [a, b, jt, jf, k @ ..] = step else { return None };
        let k = k.try_into().map_or(0, u32::from_le_bytes);
        Some(SockFilter { code: u16::from_le_bytes([*a, *b]), jt: *jt, jf: *jf, k })
    });
    inbox.set_filter(Some(Arc::new(Filter::new(steps.collect())?)));
    Ok(())
}
