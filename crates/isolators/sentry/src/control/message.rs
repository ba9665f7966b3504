//! Messages of the conversation, and how they travel.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Longest message.
const LENGTH: usize = 8 << 10;
/// What the host lets a message have, and no less than [`MAX_STREAMS`] and two more.
const DESCRIPTORS: usize = 253;

/// What the sandbox says about a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It runs, as the process of this number inside.
    Started(i32),
    /// It does not: what was tried, and why it failed.
    Failed(String, String),
    /// It has returned this code.
    Exited(u8),
    /// This signal killed it.
    Killed(u8),
}

impl Answer {
    /// As bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Started(pid) => [b"s".as_slice(), &pid.to_le_bytes()].concat(),
            Self::Failed(step, cause) => {
                let mut bytes = format!("e{step}\x1f{cause}").into_bytes();
                bytes.truncate(LENGTH);
                bytes
            }
            Self::Exited(code) => vec![b'x', *code],
            Self::Killed(signal) => vec![b'k', *signal],
        }
    }

    /// From bytes; `None` if they mean nothing.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (word, rest) = bytes.split_first()?;
        Some(match (word, rest) {
            (b's', rest) => Self::Started(i32::from_le_bytes(rest.try_into().ok()?)),
            (b'x', [code]) => Self::Exited(*code),
            (b'k', [signal]) => Self::Killed(*signal),
            (b'e', text) => {
                let text = String::from_utf8_lossy(text);
                let (step, cause) = text.split_once('\x1f')?;
                Self::Failed(step.to_owned(), cause.to_owned())
            }
            _ => return None,
        })
    }
}

/// What the requester says while its program runs: send it this signal. That the
/// requester is gone means: kill it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) signal: i32,
}

impl Order {
    /// As bytes.
    pub(crate) fn encode(self) -> Vec<u8> {
        [b"p", self.signal.to_le_bytes().as_slice()].concat()
    }

    /// From bytes; `None` if they mean nothing.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let signal = i32::from_le_bytes(bytes.strip_prefix(b"p")?.try_into().ok()?);
        (1..=64).contains(&signal).then_some(Self { signal })
    }
}

/// What came.
#[derive(Debug)]
pub(crate) struct Told {
    /// The message; empty at the end of a conversation.
    pub(crate) bytes: Vec<u8>,
    /// Descriptors that came along.
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// Sends a message with descriptors.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], with: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !with.is_empty() && !control.push(SendAncillaryMessage::ScmRights(with)) {
        return Err(Errno::INVAL);
    }
    let bytes = [IoSlice::new(bytes)];
    rustix::io::retry_on_intr(|| sendmsg(&socket, &bytes, &mut control, SendFlags::NOSIGNAL))
        .map(drop)
}

/// Waits for a message.
pub(crate) fn receive(socket: impl AsFd) -> Result<Told, Errno> {
    let mut bytes = vec![0; LENGTH];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let length = loop {
        match recvmsg(&socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            other => break other?.bytes,
        }
    };
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            descriptors.extend(received);
        }
    }
    bytes.truncate(length);
    Ok(Told { bytes, descriptors })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_way() {
        for answer in [
            Answer::Started(7),
            Answer::Failed("exec: \"x\"".into(), "not found".into()),
            Answer::Exited(255),
            Answer::Killed(9),
        ] {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
        for order in [Order { signal: 15 }, Order { signal: 64 }] {
            assert_eq!(Order::decode(&order.encode()), Some(order));
        }
    }

    #[test]
    fn what_means_nothing_is_nothing() {
        for bytes in [&b""[..], b"s", b"s12345", b"x", b"exx", b"z1", b"k12"] {
            assert_eq!(Answer::decode(bytes), None, "{bytes:?}");
        }
        let zero = Order { signal: 0 }.encode();
        let large = Order { signal: 65 }.encode();
        for bytes in [&b""[..], b"p", b"p123", b"q1234", &zero, &large] {
            assert_eq!(Order::decode(bytes), None, "{bytes:?}");
        }
    }
}
