//! UNIX sockets that carry descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use crate::failure::CliError;

/// Connects a stream socket to `path`; `what` names it in errors.
pub(super) fn connect(what: &str, path: &Path) -> Result<OwnedFd, CliError> {
    let failed = |e| CliError::io(format!("connect to {what} {}", path.display()), e);
    let address = SocketAddrUnix::new(path).map_err(failed)?;
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(failed)?;
    rustix::net::connect(&socket, &address).map_err(failed)?;
    Ok(socket)
}

/// Sends `descriptor` along with `label`, which must not be empty.
pub(super) fn send_descriptor(
    socket: impl AsFd,
    label: &str,
    descriptor: impl AsFd,
) -> io::Result<()> {
    let descriptors = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let payload = [IoSlice::new(label.as_bytes())];
    rustix::net::sendmsg(socket, &payload, &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for a message with one descriptor; `None` if the other end is closed
/// or sends something else.
pub(super) fn receive_descriptor(socket: impl AsFd) -> io::Result<Option<OwnedFd>> {
    let mut payload = [0_u8; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(&mut payload)];
    rustix::net::recvmsg(socket, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut received = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Ok(received.next().and_then(|mut descriptors| descriptors.next()))
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::{receive_descriptor, send_descriptor};

    #[test]
    fn a_descriptor_crosses_a_socket() {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        send_descriptor(&theirs, "standard", &writer).unwrap();
        drop((theirs, writer));
        let received = receive_descriptor(&ours).unwrap().unwrap();
        rustix::io::write(&received, b"x").unwrap();
        let mut byte = [0];
        assert_eq!(rustix::io::read(&reader, &mut byte).unwrap(), 1);
        assert!(receive_descriptor(&ours).unwrap().is_none());
    }
}
