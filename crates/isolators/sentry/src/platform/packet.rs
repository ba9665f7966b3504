//! The socket through which packets of an interface come and go. Opened before the
//! wall goes up.

use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

/// Every protocol, in the order of the network.
const ALL: u16 = 3_u16.to_be();

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Bytes that may be on their way: some pieces of 64 KiB.
const SENT: libc::c_int = 4 << 20;

/// Sets an option that is a number.
fn set(socket: &OwnedFd, level: i32, option: i32, value: libc::c_int) -> Result<(), Errno> {
    let size = size_of::<libc::c_int>().try_into().map_err(|_| Errno::INVAL)?;
    let value = (&raw const value).cast();
    // SAFETY: the value lives for the call, and the size is its own.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, size) } {
        0 => Ok(()),
        _ => Err(last_error()),
    }
}

/// A socket that never waits, for the frames of an interface of the network namespace
/// that this process is in, each behind a `struct virtio_net_hdr`.
///
/// # Errors
/// What the host says: `EPERM` without `CAP_NET_RAW`.
pub fn open_packet_socket(interface: u32) -> Result<OwnedFd, Errno> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes numbers alone. Frames come once it is bound.
    let number = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    if number < 0 {
        return Err(last_error());
    }
    // SAFETY: the kernel has just made it, for us.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    set(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
    set(&socket, libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)?;
    // Without privilege over the interface it is as usual.
    let _ = set(&socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, SENT);
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).map_err(|_| Errno::INVAL)?,
        sll_protocol: ALL,
        sll_ifindex: i32::try_from(interface).map_err(|_| Errno::INVAL)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: `address` lives for the call, and the size is its own.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>().try_into().map_err(|_| Errno::INVAL)?,
        )
    };
    if bound != 0 {
        return Err(last_error());
    }
    Ok(socket)
}
