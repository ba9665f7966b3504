//! Telling containerd what has happened.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::{fill, flush};
use caisson_containerd::ttrpc::{Call, take_frame};

/// What is kept for a containerd that does not listen.
const MOST: usize = 256 * 1024;

/// The connection to containerd's events, made when there is something to tell.
#[derive(Debug)]
pub(super) struct Publisher {
    address: Option<PathBuf>,
    socket: Option<OwnedFd>,
    stream: u32,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Publisher {
    pub(super) fn new(address: Option<PathBuf>) -> Self {
        // Streams that a client opens have odd numbers.
        Self { address, socket: None, stream: 1, incoming: Vec::new(), outgoing: Vec::new() }
    }

    pub(super) fn owes(&self) -> bool {
        self.socket.is_some() && !self.outgoing.is_empty()
    }

    pub(super) fn source(&self) -> Option<PollFd<'_>> {
        let mut wanted = PollFlags::IN;
        wanted.set(PollFlags::OUT, !self.outgoing.is_empty());
        self.socket.as_ref().map(|socket| PollFd::new(socket, wanted))
    }

    /// Queues an event. One that containerd is not there to hear is lost: it
    /// asks for the state of all when it comes back.
    pub(super) fn tell(&mut self, call: &Call) {
        if self.address.is_none() {
            return;
        }
        if self.socket.is_none() && !self.connect() {
            return;
        }
        if self.outgoing.len() < MOST {
            self.outgoing.extend(call.frame(self.stream));
            self.stream = self.stream.wrapping_add(2);
            self.write();
        }
    }

    fn connect(&mut self) -> bool {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let made = self.address.as_ref().and_then(|path| {
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
            connect(&socket, &SocketAddrUnix::new(path).ok()?).ok()?;
            Some(socket)
        });
        self.incoming.clear();
        self.outgoing.clear();
        self.socket = made;
        self.socket.is_some()
    }

    fn write(&mut self) {
        let Some(socket) = &self.socket else { return };
        if flush(socket.as_fd(), &mut self.outgoing).is_err() {
            self.socket = None;
        }
    }

    /// Something has come, or can go.
    pub(super) fn react(&mut self) {
        self.write();
        let Some(socket) = &self.socket else { return };
        if fill(socket.as_fd(), &mut self.incoming).is_err() {
            self.socket = None;
            return;
        }
        // Its answers say nothing that we need.
        loop {
            match take_frame(&mut self.incoming) {
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => {
                    self.socket = None;
                    return;
                }
            }
        }
    }
}
