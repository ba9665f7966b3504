//! Sockets of the host's: made and used by the sentry where its network is
//! `host-sockets`, and never otherwise: the filter of other sandboxes has no call for it.
//!
//! Addresses, options and control messages are bytes as socket(7), ip(7), ipv6(7), tcp(7)
//! and udp(7) lay them out; who calls decides which may pass.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

/// Bytes of `struct sockaddr_storage`.
const ADDRESS: usize = 128;
/// All sockets here: no call on them waits.
const FLAGS: i32 = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn checked(result: libc::c_int) -> Result<(), Errno> {
    if result < 0 { Err(last_error()) } else { Ok(()) }
}

fn size(bytes: &[u8]) -> Result<libc::socklen_t, Errno> {
    libc::socklen_t::try_from(bytes.len()).map_err(|_| Errno::INVAL)
}

/// socket(2) of `AF_INET` or `AF_INET6`.
///
/// # Errors
/// What the host says.
pub fn socket(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: takes numbers alone.
    let number = unsafe { libc::socket(family, kind | FLAGS, protocol) };
    checked(number)?;
    // SAFETY: the kernel has just made it, for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// bind(2)
///
/// # Errors
/// What the host says.
pub fn bind(socket: BorrowedFd<'_>, address: &[u8]) -> Result<(), Errno> {
    let length = size(address)?;
    // SAFETY: `address` lives for the call and has that length.
    checked(unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), length) })
}

/// connect(2)
///
/// # Errors
/// What the host says: `EINPROGRESS` while it is being made.
pub fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> Result<(), Errno> {
    let length = size(address)?;
    // SAFETY: `address` lives for the call and has that length.
    checked(unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), length) })
}

/// listen(2)
///
/// # Errors
/// What the host says.
pub fn listen(socket: BorrowedFd<'_>, backlog: i32) -> Result<(), Errno> {
    // SAFETY: takes numbers alone.
    checked(unsafe { libc::listen(socket.as_raw_fd(), backlog) })
}

/// shutdown(2); `how` is one of `SHUT_*`.
///
/// # Errors
/// What the host says.
pub fn shutdown(socket: BorrowedFd<'_>, how: i32) -> Result<(), Errno> {
    // SAFETY: takes numbers alone.
    checked(unsafe { libc::shutdown(socket.as_raw_fd(), how) })
}

/// Room for an address, and how much of it the host filled.
fn told(
    f: impl FnOnce(*mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int,
) -> Result<(i32, Vec<u8>), Errno> {
    let mut bytes = vec![0; ADDRESS];
    let mut length = size(&bytes)?;
    let result = f(bytes.as_mut_ptr().cast(), &raw mut length);
    checked(result)?;
    bytes.truncate(usize::try_from(length).unwrap_or(0));
    Ok((result, bytes))
}

/// accept4(2): the connection, and the other end's address.
///
/// # Errors
/// What the host says.
pub fn accept(socket: BorrowedFd<'_>) -> Result<(OwnedFd, Vec<u8>), Errno> {
    let (number, address) = told(|address, length| {
        // SAFETY: `told` gives room for an address and tells how much it is.
        unsafe { libc::accept4(socket.as_raw_fd(), address, length, FLAGS) }
    })?;
    // SAFETY: the kernel has just made it, for us.
    Ok((unsafe { OwnedFd::from_raw_fd(number) }, address))
}

/// getsockname(2)
///
/// # Errors
/// What the host says.
pub fn own_name(socket: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    // SAFETY: `told` gives room for an address and tells how much it is.
    let found = told(|a, l| unsafe { libc::getsockname(socket.as_raw_fd(), a, l) });
    found.map(|(_, address)| address)
}

/// getpeername(2)
///
/// # Errors
/// What the host says.
pub fn peer_name(socket: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    // SAFETY: `told` gives room for an address and tells how much it is.
    let found = told(|a, l| unsafe { libc::getpeername(socket.as_raw_fd(), a, l) });
    found.map(|(_, address)| address)
}

/// setsockopt(2). The option's value must be plain bytes: no pointer, no descriptor.
///
/// # Errors
/// What the host says.
pub fn set_option(
    socket: BorrowedFd<'_>,
    (level, option): (i32, i32),
    value: &[u8],
) -> Result<(), Errno> {
    let length = size(value)?;
    // SAFETY: `value` lives for the call and has that length; by the contract above the
    // kernel follows nothing in it.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, value.as_ptr().cast(), length)
    };
    checked(done)
}

/// getsockopt(2), of at most `room` bytes. The option's value must be plain bytes.
///
/// # Errors
/// What the host says.
pub fn option(
    socket: BorrowedFd<'_>,
    (level, option): (i32, i32),
    room: usize,
) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; room];
    let mut length = size(&value)?;
    // SAFETY: `value` lives for the call and has that length; by the contract above the
    // kernel follows nothing in it.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    checked(done)?;
    value.truncate(usize::try_from(length).unwrap_or(0));
    Ok(value)
}

/// What an ioctl(2) tells that writes one number: `FIONREAD`, `SIOCOUTQ`, `SIOCATMARK`.
///
/// # Errors
/// What the host says.
pub fn number(socket: BorrowedFd<'_>, request: u32) -> Result<usize, Errno> {
    let mut told: libc::c_int = 0;
    // SAFETY: the kernel writes one `int`.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), request.into(), &raw mut told) };
    checked(done)?;
    Ok(usize::try_from(told).unwrap_or(0))
}

/// What one sendmsg(2) sends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Where to; empty: where it is connected to.
    pub to: &'a [u8],
    /// Control messages, well-formed; empty: none.
    pub control: &'a [u8],
}

/// What one recvmsg(2) received.
#[derive(Debug, Default)]
pub struct Got {
    /// How many bytes; of a datagram that is longer than the room, all that it had.
    pub count: usize,
    /// From whom; empty: not told.
    pub from: Vec<u8>,
    /// Control messages.
    pub control: Vec<u8>,
    /// `MSG_*` of the answer.
    pub flags: u32,
}

/// An empty `struct msghdr`.
fn header() -> libc::msghdr {
    // SAFETY: all of its fields may be zero: null pointers with lengths of zero.
    unsafe { MaybeUninit::<libc::msghdr>::zeroed().assume_init() }
}

/// sendmsg(2), without waiting and without a signal.
///
/// # Errors
/// What the host says.
pub fn send(socket: BorrowedFd<'_>, sent: Sent<'_>, flags: u32) -> Result<usize, Errno> {
    let mut vector =
        libc::iovec { iov_base: sent.bytes.as_ptr().cast_mut().cast(), iov_len: sent.bytes.len() };
    let mut message = header();
    (message.msg_iov, message.msg_iovlen) = (&raw mut vector, 1);
    if !sent.to.is_empty() {
        message.msg_name = sent.to.as_ptr().cast_mut().cast();
        message.msg_namelen = size(sent.to)?;
    }
    if !sent.control.is_empty() {
        message.msg_control = sent.control.as_ptr().cast_mut().cast();
        message.msg_controllen = sent.control.len();
    }
    let flags = flags.cast_signed() | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: what `message` points to lives for the call, and is read only.
    let count = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
    usize::try_from(count).map_err(|_| last_error())
}

/// recvmsg(2) into `into`, without waiting, with up to `control` bytes of control messages.
///
/// # Errors
/// What the host says.
pub fn receive(
    socket: BorrowedFd<'_>,
    into: &mut [u8],
    control: usize,
    flags: u32,
) -> Result<Got, Errno> {
    let mut got = Got { from: vec![0; ADDRESS], control: vec![0; control], ..Got::default() };
    let mut vector = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let mut message = header();
    (message.msg_iov, message.msg_iovlen) = (&raw mut vector, 1);
    message.msg_name = got.from.as_mut_ptr().cast();
    message.msg_namelen = size(&got.from)?;
    message.msg_control = got.control.as_mut_ptr().cast();
    message.msg_controllen = got.control.len();
    let flags = flags.cast_signed() | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: what `message` points to lives for the call and is as long as it says.
    let count = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    got.count = usize::try_from(count).map_err(|_| last_error())?;
    got.from.truncate(usize::try_from(message.msg_namelen).unwrap_or(0));
    got.control.truncate(message.msg_controllen);
    got.flags = message.msg_flags.cast_unsigned();
    Ok(got)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_datagram_goes_and_comes() {
        let [one, two] = [0; 2].map(|_| socket(2, 2, 0).unwrap());
        let loopback = [&2_u16.to_le_bytes()[..], &[0, 0, 127, 0, 0, 1], &[0; 8]].concat();
        bind(one.as_fd(), &loopback).unwrap();
        let name = own_name(one.as_fd()).unwrap();
        assert_eq!(peer_name(one.as_fd()), Err(Errno::NOTCONN));
        // IP_RECVTTL
        set_option(one.as_fd(), (0, 12), &1_i32.to_le_bytes()).unwrap();
        assert_eq!(option(one.as_fd(), (0, 12), 4).unwrap(), 1_i32.to_le_bytes());
        let mut room = [0; 3];
        assert_eq!(receive(one.as_fd(), &mut room, 0, 0).unwrap_err(), Errno::AGAIN);
        connect(two.as_fd(), &name).unwrap();
        assert_eq!(peer_name(two.as_fd()).unwrap(), name);
        let sent = Sent { bytes: b"hello", ..Sent::default() };
        assert_eq!(send(two.as_fd(), sent, 0), Ok(5));
        let truncated = 0x20;
        let got = receive(one.as_fd(), &mut room, 64, truncated).unwrap();
        assert_eq!((&room, got.count, got.flags & truncated), (b"hel", 5, truncated));
        assert_eq!(got.from, own_name(two.as_fd()).unwrap());
        assert_eq!(got.control.get(16..20), Some(&64_u32.to_le_bytes()[..]));
        assert_eq!(listen(one.as_fd(), 1), Err(Errno::OPNOTSUPP));
    }
}
