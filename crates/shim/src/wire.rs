//! Frames over a UNIX stream socket, descriptors with them.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest frame, without its length.
pub(crate) const MAX_FRAME: usize = 1 << 20;
/// Most descriptors with one frame (`SCM_MAX_FD`).
pub(crate) const MAX_FDS: usize = 253;
const PREFIX: usize = 4;

/// Why the other side can't be talked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The socket failed.
    #[error(transparent)]
    Socket(#[from] Errno),
    /// It closed the connection.
    #[error("the connection was closed")]
    Closed,
    /// It sent what is no frame.
    #[error("a malformed message came: {0}")]
    Malformed(String),
    /// What is to be sent is too much.
    #[error("a message of {0} bytes is longer than {MAX_FRAME}")]
    TooLong(usize),
}

/// Which way bytes of an attached stream go; the first byte of each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// To the container.
    Stdin = 0,
    /// From it.
    Stdout = 1,
    /// From it.
    Stderr = 2,
    /// There is no more input.
    StdinEnd = 3,
    /// There is no more output of this run.
    End = 4,
}

impl Kind {
    /// The kind that this byte means.
    pub(crate) fn of(byte: u8) -> Option<Self> {
        [Self::Stdin, Self::Stdout, Self::Stderr, Self::StdinEnd, Self::End]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// A frame with this JSON.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, WireError> {
    let mut frame = vec![0; PREFIX];
    serde_json::to_writer(&mut frame, value).map_err(|e| WireError::Malformed(e.to_string()))?;
    finish(frame)
}

/// A frame of an attached stream.
pub(crate) fn stream_frame(kind: Kind, data: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut frame = Vec::with_capacity(PREFIX + 1 + data.len());
    frame.extend([0; PREFIX]);
    frame.push(kind as u8);
    frame.extend(data);
    finish(frame)
}

fn finish(mut frame: Vec<u8>) -> Result<Vec<u8>, WireError> {
    let length = frame.len() - PREFIX;
    let short = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME);
    let prefix = short.ok_or(WireError::TooLong(length))?.to_le_bytes();
    for (to, from) in frame.iter_mut().zip(prefix) {
        *to = from;
    }
    Ok(frame)
}

/// What has come in so far.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Incoming {
    /// Takes the next whole frame, if it is there.
    pub(crate) fn take_frame(&mut self) -> Result<Option<Vec<u8>>, WireError> {
        let Some(prefix) = self.bytes.first_chunk::<PREFIX>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(WireError::Malformed(format!("a frame of {length} bytes is too long")));
        }
        if self.bytes.len() < PREFIX + length {
            return Ok(None);
        }
        let rest = self.bytes.split_off(PREFIX + length);
        let mut frame = std::mem::replace(&mut self.bytes, rest);
        frame.drain(..PREFIX);
        Ok(Some(frame))
    }

    /// Adds what came another way.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Takes the descriptors that have come.
    pub(crate) fn take_fds(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.fds)
    }

    /// Whether part of a frame is there.
    pub(crate) fn is_partial(&self) -> bool {
        !self.bytes.is_empty() || !self.fds.is_empty()
    }

    /// Receives once. `Closed` at the end.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<(), WireError> {
        let mut chunk = [0_u8; 16 * 1024];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message = retry_on_intr(|| {
            let mut parts = [IoSliceMut::new(&mut chunk)];
            recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
        })?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        if message.bytes == 0 {
            return Err(WireError::Closed);
        }
        self.bytes.extend(chunk.get(..message.bytes).unwrap_or_default());
        Ok(())
    }

    /// Waits for a frame on a blocking socket.
    pub(crate) fn next_frame(&mut self, socket: BorrowedFd<'_>) -> Result<Vec<u8>, WireError> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(frame);
            }
            self.receive(socket)?;
        }
    }
}

/// Reads the JSON of a frame.
pub(crate) fn decode<T: DeserializeOwned>(frame: &[u8]) -> Result<T, WireError> {
    serde_json::from_slice(frame).map_err(|e| WireError::Malformed(e.to_string()))
}

/// Sends a whole frame on a blocking socket, the descriptors with its start.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    frame: &[u8],
    fds: &[BorrowedFd<'_>],
) -> Result<(), WireError> {
    let mut rest = frame;
    let mut fds = fds;
    while !rest.is_empty() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(WireError::Malformed(format!("{} descriptors are too many", fds.len())));
        }
        let sent = retry_on_intr(|| {
            sendmsg(socket.as_fd(), &[IoSlice::new(rest)], &mut control, SendFlags::NOSIGNAL)
        })?;
        fds = &[];
        rest = rest.get(sent..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn frames_and_descriptors_arrive() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let long = "x".repeat(100_000);
        let frame = encode(&long).unwrap();
        let sender = std::thread::spawn(move || {
            send(ours.as_fd(), &frame, &[null.as_fd(), null.as_fd()]).unwrap();
            send(ours.as_fd(), &encode(&7).unwrap(), &[]).unwrap();
        });
        let mut incoming = Incoming::default();
        let first: String = decode(&incoming.next_frame(theirs.as_fd()).unwrap()).unwrap();
        assert_eq!((first, incoming.take_fds().len()), (long, 2));
        let second: i32 = decode(&incoming.next_frame(theirs.as_fd()).unwrap()).unwrap();
        assert_eq!(second, 7);
        sender.join().unwrap();
        assert!(matches!(incoming.next_frame(theirs.as_fd()), Err(WireError::Closed)));
    }

    #[test]
    fn a_giant_is_refused_before_it_comes() {
        let mut incoming = Incoming { bytes: u32::MAX.to_le_bytes().to_vec(), fds: Vec::new() };
        assert!(matches!(incoming.take_frame(), Err(WireError::Malformed(_))));
        assert!(matches!(encode(&"x".repeat(MAX_FRAME)), Err(WireError::TooLong(_))));
    }
}
