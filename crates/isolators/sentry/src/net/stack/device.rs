//! Frames, to and from the socket of an interface.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use super::cut;
use super::train::{DESCRIPTION, Trains};

/// Room for a frame that the sender's side put together of many.
const LARGEST: usize = 70_000;
/// Header of Ethernet.
const HEADER: usize = 14;

/// An interface of the host's.
pub(super) struct Frames {
    socket: OwnedFd,
    mtu: usize,
    buffer: Vec<u8>,
    /// A frame that was looked at, and is to be processed next.
    seen: Option<usize>,
    /// The rest of a piece that was cut up.
    rest: VecDeque<Vec<u8>>,
    trains: Trains,
}

impl Frames {
    pub(super) fn new(socket: OwnedFd, mtu: usize) -> Self {
        let (buffer, rest, trains) = (vec![0; LARGEST], VecDeque::new(), Trains::default());
        Frames { socket, mtu, buffer, seen: None, rest, trains }
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next frame, which stays.
    pub(super) fn look(&mut self) -> Option<&[u8]> {
        if self.seen.is_none() && self.rest.is_empty() {
            // Whatever goes wrong goes wrong once more, or is over.
            self.seen = rustix::io::read(&self.socket, &mut self.buffer[..]).ok();
            let came = self.seen.and_then(|length| self.buffer.get(..length));
            if let Some(cut) = came.and_then(cut::datagrams) {
                (self.seen, self.rest) = (None, cut.into());
            }
        }
        if self.seen.is_none()
            && let Some(frame) = self.rest.pop_front()
        {
            self.buffer.iter_mut().zip(&frame).for_each(|(room, byte)| *room = *byte);
            self.seen = Some(frame.len());
        }
        self.seen.and_then(|length| self.buffer.get(DESCRIPTION..length))
    }

    /// Loses the frame that was looked at, as any wire may.
    pub(super) fn lose(&mut self) {
        self.seen = None;
    }

    /// Sends what was kept to be sent together.
    pub(super) fn send_all(&mut self) {
        let Frames { socket, trains, .. } = self;
        trains.send_all(|frame| give(socket.as_fd(), frame));
    }
}

fn give(socket: BorrowedFd<'_>, frame: &[u8]) {
    // What the interface does not take is lost, as on any wire.
    let _ = rustix::io::write(socket, frame);
}

/// A frame that came.
pub(super) struct Came<'a>(&'a [u8]);
/// A frame that is to go.
pub(super) struct Goes<'a>(BorrowedFd<'a>, &'a mut Trains);

impl RxToken for Came<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl TxToken for Goes<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; DESCRIPTION + length];
        let result = f(frame.get_mut(DESCRIPTION..).unwrap_or_default());
        self.1.put(frame, |frame| give(self.0, frame));
        result
    }
}

impl Device for Frames {
    type RxToken<'a> = Came<'a>;
    type TxToken<'a> = Goes<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Came<'_>, Goes<'_>)> {
        self.look()?;
        let length = self.seen.take()?;
        let came = Came(self.buffer.get(DESCRIPTION..length)?);
        Some((came, Goes(self.socket.as_fd(), &mut self.trains)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Goes<'_>> {
        Some(Goes(self.socket.as_fd(), &mut self.trains))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + HEADER;
        // Frames of this machine come without: it is filled in where they leave it.
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities.checksum.udp = Checksum::Tx;
        capabilities
    }
}
