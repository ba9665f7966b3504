//! What happens in a pod, as it happens.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::attach::into_io;
use crate::Event;
use crate::wire::{Incoming, WireError, decode};

/// A subscription ([`super::Shim::subscribe`]). Readable ([`AsFd`]) when more
/// comes. Dropping it ends it.
#[derive(Debug)]
pub struct Events {
    socket: OwnedFd,
    incoming: Incoming,
}

impl Events {
    pub(super) fn new(socket: OwnedFd, incoming: Incoming) -> Self {
        Self { socket, incoming }
    }

    /// Waits for the next event, for as long as `limit`; `None` once the
    /// supervisor has closed the connection: it is gone, or had no room for what
    /// was not read.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`]; or if the connection breaks.
    pub fn next(&mut self, limit: Option<Duration>) -> io::Result<Option<Event>> {
        set_socket_timeout(&self.socket, Timeout::Recv, limit)?;
        loop {
            if let Some(event) = self.take()? {
                return Ok(Some(event));
            }
            match self.incoming.receive(self.socket.as_fd()) {
                Ok(()) => {}
                Err(WireError::Closed) => return Ok(None),
                Err(WireError::Socket(Errno::AGAIN)) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(into_io(error)),
            }
        }
    }

    /// The next event if it is here already: for callers that poll, after each
    /// [`Events::next`] until `None`.
    ///
    /// # Errors
    /// If what came is malformed.
    pub fn take(&mut self) -> io::Result<Option<Event>> {
        let frame = self.incoming.take_frame().map_err(into_io)?;
        frame.map(|frame| decode(&frame).map_err(into_io)).transpose()
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
