//! Hands the notification descriptor to the seccomp agent (config-linux.md,
//! "listenerPath").

use rustix::io::{self, Errno, IoSlice};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, send, sendmsg, socket_with,
};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

/// Why the agent doesn't have the descriptor.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// Nobody can be reached at the path.
    #[error("connecting to the seccomp agent at {path:?} (linux.seccomp.listenerPath)")]
    Connect {
        /// The path.
        path: String,
        /// Cause.
        source: Errno,
    },
    /// The agent went away.
    #[error("sending the seccomp descriptor to the agent at {path:?} (linux.seccomp.listenerPath)")]
    Send {
        /// The path.
        path: String,
        /// Cause.
        source: Errno,
    },
}

/// Connects to the UNIX stream socket at `path`, sends `state` (the JSON of a
/// `ContainerProcessState` whose `fds` is `["seccompFd"]`) with the descriptor
/// attached to its first byte, and closes the connection.
///
/// # Errors
///
/// If the agent can't be reached or closes the connection.
pub fn send_listener(
    path: &str,
    listener: BorrowedFd<'_>,
    state: &[u8],
) -> Result<(), NotifyError> {
    let socket = (|| {
        let address = SocketAddrUnix::new(path)?;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        io::retry_on_intr(|| connect(&socket, &address))?;
        Ok(socket)
    })()
    .map_err(|source| NotifyError::Connect { path: path.to_owned(), source })?;
    send_all(socket.as_fd(), listener, state)
        .map_err(|source| NotifyError::Send { path: path.to_owned(), source })
}

fn send_all(socket: BorrowedFd<'_>, listener: BorrowedFd<'_>, state: &[u8]) -> io::Result<()> {
    let listeners = [listener];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&listeners)) {
        return Err(Errno::NOBUFS);
    }
    let mut sent = io::retry_on_intr(|| {
        sendmsg(socket, &[IoSlice::new(state)], &mut ancillary, SendFlags::NOSIGNAL)
    })?;
    while let Some(rest) = state.get(sent..).filter(|rest| !rest.is_empty()) {
        sent += io::retry_on_intr(|| send(socket, rest, SendFlags::NOSIGNAL))?;
    }
    Ok(())
}
