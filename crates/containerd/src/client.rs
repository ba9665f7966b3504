//! ttrpc from the caller's side.
//!
//! What answers is another program: its frames are capped in length, and
//! every wait has an end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};
use rustix::time::Timespec;

use crate::protobuf::Malformed;
use crate::ttrpc::{Call, Refusal, parse_response, take_frame};

/// So often a socket is read before its reader looks at the clock.
const MOST_READS: u32 = 64;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The address is none that can be connected to.
    #[error("its address {0:?} is not that of a UNIX socket (unix:///…)")]
    Address(String),
    /// Nobody answers there.
    #[error("connect to {address}: {cause}")]
    Connect {
        /// The address.
        address: String,
        /// Why.
        cause: Errno,
    },
    /// It says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is gone.
    #[error("it closed the connection without an answer")]
    Closed,
    /// It takes too long.
    #[error("it gave no answer in time")]
    TimedOut,
    /// What it says is no ttrpc.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The socket fails.
    #[error("speak with it: {0}")]
    Socket(Errno),
}

impl CallError {
    /// Whether it is gone, as far as a socket can tell.
    #[must_use]
    pub fn means_gone(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Closed | Self::Socket(_))
    }
}

/// A connection to a server.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    incoming: Vec<u8>,
    /// The last stream's number; those of callers are odd.
    stream: u32,
}

impl Connection {
    /// Connects to `unix://PATH`.
    ///
    /// # Errors
    /// [`CallError::Address`]; [`CallError::Connect`]; [`CallError::TimedOut`]
    /// if it takes no new connection until `deadline`.
    pub fn open(address: &str, deadline: Instant) -> Result<Self, CallError> {
        let path = address.strip_prefix("unix://").unwrap_or(address);
        let unusable = || CallError::Address(address.chars().take(200).collect());
        if !path.starts_with('/') {
            return Err(unusable());
        }
        let name = SocketAddrUnix::new(path).map_err(|_| unusable())?;
        let failed = |cause| CallError::Connect { address: address.to_owned(), cause };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(failed)?;
        loop {
            match retry_on_intr(|| connect(&socket, &name)) {
                Ok(()) => break,
                // Its queue is full.
                Err(Errno::AGAIN) if Instant::now() < deadline => {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                Err(Errno::AGAIN) => return Err(CallError::TimedOut),
                Err(cause) => return Err(failed(cause)),
            }
        }
        // The first stream is 1.
        Ok(Self { socket, incoming: Vec::new(), stream: u32::MAX })
    }

    /// Asks; the number by which the answer is known.
    ///
    /// # Errors
    /// [`CallError::TimedOut`] if it does not even take the question.
    pub fn ask(&mut self, call: &Call, deadline: Instant) -> Result<u32, CallError> {
        self.stream = self.stream.wrapping_add(2);
        let frame = call.frame(self.stream);
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            match retry_on_intr(|| send(&self.socket, rest, SendFlags::NOSIGNAL)) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, deadline)?,
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(CallError::Closed),
                Err(error) => return Err(CallError::Socket(error)),
            }
        }
        Ok(self.stream)
    }

    /// The answer to the question of that number, if it has come; others are
    /// dropped. Never waits.
    ///
    /// # Errors
    /// What it answered, or why it can't any more.
    pub fn answer_to(&mut self, stream: u32) -> Result<Option<Vec<u8>>, CallError> {
        // Whoever never stops talking does not hold us.
        for _ in 0..MOST_READS {
            while let Some(frame) = take_frame(&mut self.incoming)? {
                if frame.is_request {
                    return Err(Malformed.into());
                }
                if frame.stream == stream {
                    return Ok(Some(parse_response(&frame.data)??));
                }
            }
            let mut chunk = [0_u8; 8192];
            match retry_on_intr(|| recv(&self.socket, &mut chunk, RecvFlags::empty())) {
                Ok((0, _)) | Err(Errno::CONNRESET) => return Err(CallError::Closed),
                Ok((count, _)) => self.incoming.extend(chunk.get(..count).unwrap_or_default()),
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(CallError::Socket(error)),
            }
        }
        Ok(None)
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn call(&mut self, call: &Call, deadline: Instant) -> Result<Vec<u8>, CallError> {
        let stream = self.ask(call, deadline)?;
        loop {
            if let Some(answer) = self.answer_to(stream)? {
                return Ok(answer);
            }
            self.wait(PollFlags::IN, deadline)?;
        }
    }

    /// Waits until the other side is gone; false if it stays until `deadline`.
    pub fn await_end(&mut self, deadline: Instant) -> bool {
        loop {
            // Nobody has asked anything.
            match self.answer_to(self.stream) {
                Ok(None) => {}
                Ok(Some(_)) | Err(CallError::Refused(_)) => continue,
                Err(_) => return true,
            }
            if self.wait(PollFlags::IN, deadline).is_err() {
                return false;
            }
        }
    }

    fn wait(&self, events: PollFlags, deadline: Instant) -> Result<(), CallError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let limit = Timespec::try_from(left).unwrap_or_default();
            match poll(&mut [PollFd::new(&self.socket, events)], Some(&limit)) {
                Ok(0) => return Err(CallError::TimedOut),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(CallError::Socket(error)),
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
