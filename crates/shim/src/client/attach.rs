//! A container's streams.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::wire::{Incoming, Kind, WireError, send, stream_frame};

/// Most bytes of input in one frame.
const INPUT_CHUNK: usize = 32 * 1024;

/// Sets the size of a terminal whose master this is.
///
/// # Errors
/// If it is none.
pub fn set_terminal_size(master: BorrowedFd<'_>, rows: u16, columns: u16) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(master, size)?)
}

/// A client's end of a container's streams. Dropping both halves detaches.
#[derive(Debug)]
pub struct Attachment {
    /// What comes out.
    pub output: Output,
    /// What goes in. May be used by another thread.
    pub input: Input,
    /// Whether the container has a terminal: all its output is one stream.
    pub terminal: bool,
}

/// The output of an attached container. Readable ([`AsFd`]) when more comes.
#[derive(Debug)]
pub struct Output {
    socket: Arc<OwnedFd>,
    incoming: Incoming,
}

/// The input of an attached container.
#[derive(Clone, Debug)]
pub struct Input {
    socket: Arc<OwnedFd>,
}

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Of standard output, or the terminal.
    Stdout(Vec<u8>),
    /// Of standard error.
    Stderr(Vec<u8>),
    /// This run has ended and all its output has come. If the container is run
    /// again, more follows.
    End,
}

impl Attachment {
    pub(super) fn new(
        socket: OwnedFd,
        incoming: Incoming,
        terminal: bool,
    ) -> rustix::io::Result<Self> {
        set_socket_timeout(&socket, Timeout::Recv, None)?;
        set_socket_timeout(&socket, Timeout::Send, None)?;
        let socket = Arc::new(socket);
        let output = Output { socket: Arc::clone(&socket), incoming };
        Ok(Self { output, input: Input { socket }, terminal })
    }
}

impl Output {
    /// Waits for the next piece; `None` once the supervisor has closed the
    /// connection.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn read(&mut self) -> io::Result<Option<Piece>> {
        loop {
            if let Some(piece) = self.take()? {
                return Ok(Some(piece));
            }
            match self.incoming.receive(self.socket.as_fd()) {
                Ok(()) => {}
                Err(WireError::Closed) => return Ok(None),
                Err(error) => return Err(into_io(error)),
            }
        }
    }

    /// The next piece if it is here already: for callers that poll, after each
    /// [`Output::read`] until `None`.
    ///
    /// # Errors
    /// If what came is malformed.
    pub fn take(&mut self) -> io::Result<Option<Piece>> {
        let Some(frame) = self.incoming.take_frame().map_err(into_io)? else { return Ok(None) };
        let kind = frame.first().copied().and_then(Kind::of);
        let data = frame.get(1..).unwrap_or_default().to_vec();
        match kind {
            Some(Kind::Stdout) => Ok(Some(Piece::Stdout(data))),
            Some(Kind::Stderr) => Ok(Some(Piece::Stderr(data))),
            Some(Kind::End) => Ok(Some(Piece::End)),
            _ => Err(io::Error::other("the supervisor sent an unknown kind of output")),
        }
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Input {
    /// Sends input; waits while the container does not read.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn write(&self, data: &[u8]) -> io::Result<()> {
        for chunk in data.chunks(INPUT_CHUNK) {
            self.send(Kind::Stdin, chunk)?;
        }
        Ok(())
    }

    /// Says that there is no more. With a terminal this means nothing.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn close(&self) -> io::Result<()> {
        self.send(Kind::StdinEnd, b"")
    }

    fn send(&self, kind: Kind, data: &[u8]) -> io::Result<()> {
        let frame = stream_frame(kind, data).map_err(into_io)?;
        send(self.socket.as_fd(), &frame, &[]).map_err(into_io)
    }
}

pub(super) fn into_io(error: WireError) -> io::Error {
    match error {
        WireError::Socket(errno) => errno.into(),
        other => io::Error::other(other.to_string()),
    }
}
