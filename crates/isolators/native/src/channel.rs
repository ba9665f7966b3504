//! The conversation between the runtime and the process that becomes the
//! container.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, read, retry_on_intr, write};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, send, sendmsg, socketpair,
};

use crate::step::{Context, StepError};

/// Longest message; error texts are cut to it.
const MAX: usize = 16 * 1024;
/// Most descriptors that a message has: one for each hierarchy of cgroups.
const MOST_DESCRIPTORS: usize = 32;

/// Sends bytes and descriptors, [`MOST_DESCRIPTORS`] at most.
pub(crate) fn send_descriptors(
    socket: &OwnedFd,
    bytes: &[u8],
    with: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !with.is_empty() && !control.push(SendAncillaryMessage::ScmRights(with)) {
        return Err(Errno::INVAL);
    }
    let bytes = [IoSlice::new(bytes)];
    retry_on_intr(|| sendmsg(socket, &bytes, &mut control, SendFlags::NOSIGNAL)).map(drop)
}

/// What a message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Word {
    /// Runtime: the id maps, if any, are written; the successor may go on.
    Mapped = b'm',
    /// Child: its successor's process id, decimal, in the runtime's namespace.
    Successor = b'p',
    /// Child: the namespaces exist, the root file system stands; the runtime
    /// may run hooks and move network devices. Runtime: done.
    Hooks = b'h',
    /// Child: put me into the cgroup. Runtime: done.
    Cgroup = b'c',
    /// Child: all is prepared. Runtime: the container is recorded, go on.
    Ready = b'r',
    /// Child: the number of its seccomp listener. Receiver: got it.
    Listener = b'l',
    /// Child: a step failed; the text follows.
    Error = b'e',
}

impl Word {
    fn parse(byte: u8) -> Option<Self> {
        [
            Self::Mapped,
            Self::Successor,
            Self::Hooks,
            Self::Cgroup,
            Self::Ready,
            Self::Listener,
            Self::Error,
        ]
        .into_iter()
        .find(|word| *word as u8 == byte)
    }
}

/// What came from the other side.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// A word and what belongs to it.
    Message(Word, Vec<u8>),
    /// It closed its end, having read all.
    Closed,
    /// It closed its end without having read all, or without having accepted
    /// the connection.
    Reset,
}

/// One end of the conversation.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
}

impl Channel {
    /// Both ends, close-on-exec.
    pub(crate) fn pair() -> Result<(Self, Self), StepError> {
        let (one, other) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .context(|| "make a socket pair")?;
        Ok((Self { socket: one }, Self { socket: other }))
    }

    /// Takes an accepted or connected socket.
    pub(crate) fn over(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Sends a word and what belongs to it.
    pub(crate) fn send(&self, word: Word, payload: &[u8]) -> Result<(), StepError> {
        let message = Self::message(word, payload);
        retry_on_intr(|| send(&self.socket, &message, SendFlags::NOSIGNAL))
            .map(drop)
            .context(|| "talk to the other side of container creation")
    }

    /// Sends a word and descriptors, [`MOST_DESCRIPTORS`] at most.
    pub(crate) fn send_with(&self, word: Word, with: &[OwnedFd]) -> Result<(), StepError> {
        let with: Vec<_> = with.iter().map(AsFd::as_fd).collect();
        send_descriptors(&self.socket, &[word as u8], &with)
            .context(|| "talk to the other side of container creation")
    }

    /// As `send`, but by write(2), which no seccomp filter can trap for a
    /// listener that is not yet served.
    pub(crate) fn write(&self, word: Word, payload: &[u8]) -> Result<(), Errno> {
        let message = Self::message(word, payload);
        retry_on_intr(|| write(&self.socket, &message)).map(drop)
    }

    /// Waits for one byte by read(2).
    pub(crate) fn read(&self) -> Result<(), Errno> {
        let mut byte = [0; 16];
        retry_on_intr(|| read(&self.socket, &mut byte)).map(drop)
    }

    fn message(word: Word, payload: &[u8]) -> Vec<u8> {
        let mut message = Vec::with_capacity(1 + payload.len());
        message.push(word as u8);
        message.extend(payload.iter().take(MAX - 1));
        message
    }

    /// Waits for a message; `None` when the other side is gone.
    pub(crate) fn receive(&self) -> Result<Option<(Word, Vec<u8>)>, StepError> {
        Ok(match self.next()? {
            Received::Message(word, payload) => Some((word, payload)),
            Received::Closed | Received::Reset => None,
        })
    }

    /// Waits for a message or an end.
    pub(crate) fn next(&self) -> Result<Received, StepError> {
        self.next_with(&mut RecvAncillaryBuffer::default())
    }

    /// The same; what comes with it is in `control` then, as far as there is room.
    fn next_with(&self, control: &mut RecvAncillaryBuffer<'_>) -> Result<Received, StepError> {
        let mut buffer = vec![0; MAX];
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        match retry_on_intr(|| recvmsg(&self.socket, &mut slices, control, flags)) {
            Ok(received) => {
                buffer.truncate(received.bytes);
                Self::parse(&buffer)
            }
            Err(Errno::CONNRESET) => Ok(Received::Reset),
            Err(error) => Err(error).context(|| "listen to the other side of container creation"),
        }
    }

    fn parse(message: &[u8]) -> Result<Received, StepError> {
        let Some((&first, payload)) = message.split_first() else { return Ok(Received::Closed) };
        let word = Word::parse(first)
            .ok_or("unknown message")
            .context(|| "listen to the other side of container creation")?;
        Ok(Received::Message(word, payload.to_vec()))
    }

    /// Waits for exactly this word; an error text or an end is an error.
    pub(crate) fn expect(&self, wanted: Word) -> Result<Vec<u8>, StepError> {
        Self::wanted(wanted, self.next()?)
    }

    /// The same; returns the descriptors that come with it, close-on-exec.
    pub(crate) fn expect_with(&self, wanted: Word) -> Result<Vec<OwnedFd>, StepError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        Self::wanted(wanted, self.next_with(&mut control)?)?;
        let descriptors = control.drain().filter_map(|part| match part {
            RecvAncillaryMessage::ScmRights(received) => Some(received),
            _ => None,
        });
        Ok(descriptors.flatten().collect())
    }

    fn wanted(wanted: Word, received: Received) -> Result<Vec<u8>, StepError> {
        match received {
            Received::Message(word, payload) if word == wanted => Ok(payload),
            Received::Message(Word::Error, text) => Err(Self::reported(&text)),
            Received::Message(word, _) => {
                Err(StepError::new("container creation", format!("{word:?} came for {wanted:?}")))
            }
            Received::Closed | Received::Reset => {
                Err(StepError::new("container creation", "the other side ended without saying why"))
            }
        }
    }

    /// The failure that the other side put into words.
    pub(crate) fn reported(text: &[u8]) -> StepError {
        let text = String::from_utf8_lossy(text);
        match text.split_once('\x1f') {
            Some((step, cause)) => StepError::new(step, cause),
            None => StepError::new("container", text),
        }
    }

    /// Reports a failure; nothing can be done if that fails too.
    pub(crate) fn send_error(&self, error: &StepError) {
        let _ = self.send(Word::Error, error.wire().as_bytes());
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::{Channel, Word};
    use crate::step::StepError;

    #[test]
    fn errors_keep_their_step_across_the_channel() {
        let (one, other) = Channel::pair().unwrap();
        one.send_error(&StepError::new("mount \"/x\"", "no such device"));
        let error = other.expect(Word::Ready).unwrap_err();
        assert_eq!(error.to_string(), "mount \"/x\": no such device");
    }

    #[test]
    fn a_lost_peer_is_an_error_not_a_hang() {
        let (one, other) = Channel::pair().unwrap();
        drop(one);
        assert!(other.expect(Word::Ready).is_err());
    }

    #[test]
    fn descriptors_come_along() {
        let (one, other) = Channel::pair().unwrap();
        let (read, write) = rustix::pipe::pipe().unwrap();
        one.send_with(Word::Cgroup, &[write]).unwrap();
        let got = other.expect_with(Word::Cgroup).unwrap();
        rustix::io::write(&got[0], b"x").unwrap();
        assert_eq!(rustix::io::read(&read, &mut [0; 2]), Ok(1));
        one.send_with(Word::Cgroup, &[]).unwrap();
        assert!(other.expect_with(Word::Cgroup).unwrap().is_empty());
    }

    #[test]
    fn long_texts_are_cut() {
        let (one, other) = Channel::pair().unwrap();
        one.send(Word::Error, &vec![b'x'; 100_000]).unwrap();
        assert_eq!(other.receive().unwrap().unwrap().1.len(), super::MAX - 1);
    }
}
