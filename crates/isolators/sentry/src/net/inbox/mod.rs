//! What was sent to a socket and not received yet.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use rustix::io::Errno;

use crate::signal::owner::Owner;
use crate::task::WaitQueue;
use crate::task::waiter::lock;
use crate::vfs::{OpenFile, Time};

use super::filter::Filter;
use super::rights::Rights;

mod admission;
mod out_of_band;
mod stream;
mod urgent;

pub use out_of_band::Urgency;
use urgent::Mark;

/// Who sent something: process, user, group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// Process.
    pub pid: i32,
    /// Effective user.
    pub user: u32,
    /// Effective group.
    pub group: u32,
}

/// One datagram, or a piece of a stream.
#[derive(Debug, Default)]
pub struct Packet {
    /// Its bytes, and how many of them were received.
    pub bytes: Vec<u8>,
    /// How many of `bytes` were received already.
    pub start: usize,
    /// Address of the sender, as in `struct sockaddr`.
    pub from: Option<Vec<u8>>,
    /// Address and interface that it was sent to.
    pub to: Option<std::net::IpAddr>,
    /// Hops that it may make, and its traffic class.
    pub hops: (u8, u8),
    /// Who sent it.
    pub sender: Sender,
    /// Descriptors.
    pub rights: Rights,
    /// When it came, if somebody wants to know.
    pub came: Option<Time>,
    /// Whether it can be received apart.
    pub urgency: Urgency,
}

/// What a receiver got.
#[derive(Debug, Default)]
pub struct Received {
    /// Bytes, in pieces: each with the index where it starts.
    pub pieces: Vec<(Vec<u8>, usize)>,
    /// Bytes in all the pieces.
    pub length: usize,
    /// Bytes of the datagram, of which `length` may be a part.
    pub full: usize,
    /// Address of the sender.
    pub from: Option<Vec<u8>>,
    /// Address that it was sent to.
    pub to: Option<std::net::IpAddr>,
    /// Hops that it might make, and its traffic class.
    pub hops: (u8, u8),
    /// Who sent it, or the last of it.
    pub sender: Option<Sender>,
    /// Of a stream: who sent each piece.
    pub senders: Vec<Sender>,
    /// Descriptors.
    pub rights: Vec<Arc<OpenFile>>,
    /// Whether it ends a record.
    pub record: bool,
    /// When it came, if somebody wanted to know.
    pub came: Option<Time>,
    /// Control messages of the host's.
    pub control: Vec<u8>,
    /// `MSG_*` that the host told.
    pub flags: u32,
}

/// What a packet costs besides its bytes, so that empty ones are not free.
const OVERHEAD: usize = 256;
/// A piece of a stream that is smaller than this is joined to the one before.
const SMALL: usize = 4096;

#[derive(Debug)]
struct State {
    packets: VecDeque<Packet>,
    /// Of all packets, with overhead.
    used: usize,
    limit: usize,
    /// Nothing more comes.
    shut: bool,
    /// Told once to whoever receives or asks.
    error: Option<Errno>,
    /// The other side ended it at once.
    reset: bool,
    /// The last urgent byte.
    mark: Option<Mark>,
    /// There is a packet that can be received apart.
    urgent: bool,
    /// Packets that nobody received, to be dropped when this is not locked any more: what they
    /// bring along may have to do with this very socket.
    gone: Vec<Packet>,
    /// Urgent data is not apart.
    urgent_inline: bool,
    /// Whom signals tell of it.
    owner: Weak<Owner>,
    /// Which datagrams are taken.
    filter: Option<Arc<Filter>>,
    /// How much of a stream is enough to be received (`SO_RCVLOWAT`).
    low: u64,
    /// Bytes of the stream that came, and that were received; and how often something came.
    came: u64,
    taken: u64,
    arrivals: u64,
    /// Packets are to tell when they came.
    stamps: bool,
}

/// A queue of packets with one receiver.
#[derive(Debug)]
pub struct Inbox {
    state: Mutex<State>,
    /// Woken when something came, or nothing will.
    pub readable: WaitQueue,
    /// Woken when there is room again.
    pub room: WaitQueue,
}

impl Inbox {
    /// Empty, for about `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        let state = State {
            packets: VecDeque::new(),
            used: 0,
            limit,
            shut: false,
            error: None,
            reset: false,
            mark: None,
            urgent: false,
            urgent_inline: false,
            gone: Vec::new(),
            owner: Weak::new(),
            filter: None,
            low: 1,
            came: 0,
            taken: 0,
            arrivals: 0,
            stamps: false,
        };
        Arc::new(Inbox {
            state: Mutex::new(state),
            readable: WaitQueue::default(),
            room: WaitQueue::default(),
        })
    }

    /// Takes other limits.
    pub fn set_limit(&self, limit: usize) {
        lock(&self.state).limit = limit;
        self.room.wake();
        // Less may be enough now.
        self.readable.wake();
    }

    /// Adds a packet. With `join`, a small one may be joined to the last one.
    ///
    /// # Errors
    /// `EAGAIN` if there is no room, `EPIPE` if nothing more is taken; the packet
    /// stays where it is.
    pub fn push(&self, packet: &mut Packet, join: bool) -> Result<(), Errno> {
        self.add(lock(&self.state), packet, join)
    }

    fn add(
        &self,
        mut state: MutexGuard<'_, State>,
        packet: &mut Packet,
        join: bool,
    ) -> Result<(), Errno> {
        if state.shut {
            return Err(Errno::PIPE);
        }
        if state.used >= state.limit {
            return Err(Errno::AGAIN);
        }
        let mut packet = std::mem::take(packet);
        packet.came = state.stamps.then(Time::now);
        let length = packet.bytes.len();
        state.arrive(length);
        let apart = packet.urgency != Urgency::None;
        if apart {
            state.mark_apart();
        }
        let last = state.packets.back_mut().filter(|last| {
            join && !apart
                && last.urgency == Urgency::None
                && packet.rights.is_empty()
                && last.rights.is_empty()
                && last.bytes.len() + length <= SMALL
                && last.sender == packet.sender
        });
        if let Some(last) = last {
            last.bytes.extend_from_slice(&packet.bytes);
            state.used += length;
        } else {
            state.used += length + OVERHEAD;
            state.packets.push_back(packet);
        }
        drop(state);
        self.readable.wake();
        Ok(())
    }

    /// How much of a stream is enough to be received.
    pub fn set_low_water(&self, bytes: u32) {
        let low = u64::from(bytes);
        if std::mem::replace(&mut lock(&self.state).low, low) != low {
            self.readable.wake();
        }
    }

    /// Adds bytes that have come already, whether there is room or not.
    ///
    /// # Errors
    /// `EPIPE` if nothing more is taken.
    pub fn take_in(&self, bytes: Vec<u8>) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        if state.shut {
            return Err(Errno::PIPE);
        }
        state.used += bytes.len() + OVERHEAD;
        state.arrive(bytes.len());
        state.packets.push_back(Packet { bytes, ..Packet::default() });
        drop(state);
        self.readable.wake();
        Ok(())
    }

    /// Something came to its socket that is not put in here: a connection.
    pub fn count_arrival(&self) {
        lock(&self.state).arrivals += 1;
    }

    /// How many bytes of a stream came.
    #[must_use]
    pub fn total(&self) -> u64 {
        lock(&self.state).came
    }

    /// How often something came.
    #[must_use]
    pub fn arrived(&self) -> u64 {
        lock(&self.state).arrivals
    }

    /// Packets tell from now on when they came.
    pub fn stamp(&self) {
        lock(&self.state).stamps = true;
    }

    /// Takes the next packet, or looks at it: up to `room` bytes of it.
    ///
    /// # Errors
    /// `EAGAIN` if there is none, and the error of the socket if it has one.
    pub fn datagram(&self, room: usize, peek: bool) -> Result<Received, Errno> {
        let mut state = lock(&self.state);
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        let Some(packet) = state.packets.front() else {
            return if state.shut { Ok(Received::default()) } else { Err(Errno::AGAIN) };
        };
        let mut received = Received {
            full: packet.bytes.len(),
            length: packet.bytes.len().min(room),
            from: packet.from.clone(),
            to: packet.to,
            hops: packet.hops,
            came: packet.came,
            sender: Some(packet.sender),
            record: true,
            ..Received::default()
        };
        if peek {
            let part = packet.bytes.get(..received.length).unwrap_or_default();
            received.pieces.push((part.to_vec(), 0));
            received.rights = packet.rights.copies();
            return Ok(received);
        }
        let full = state.full();
        let Some(packet) = state.packets.pop_front() else { return Err(Errno::AGAIN) };
        state.used = state.used.saturating_sub(received.full + OVERHEAD);
        let wake = full && !state.full();
        drop(state);
        if wake {
            self.room.wake();
        }
        let Packet { mut bytes, rights, .. } = packet;
        bytes.truncate(received.length);
        received.pieces.push((bytes, 0));
        received.rights = rights.take();
        Ok(received)
    }

    /// Lets nothing more in; what is there can still be received.
    pub fn shut(&self) {
        lock(&self.state).shut = true;
        self.readable.wake();
        self.room.wake();
    }

    /// Whether nothing more comes.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        lock(&self.state).shut
    }

    /// Throws away what is there.
    pub fn clear(&self) {
        let mut state = lock(&self.state);
        let gone = std::mem::take(&mut state.packets);
        (state.used, state.taken, state.mark, state.urgent) = (0, state.came, None, false);
        drop(state);
        drop(gone);
        self.room.wake();
    }

    /// Leaves an error for the receiver.
    pub fn fail(&self, error: Errno) {
        lock(&self.state).error = Some(error);
        self.readable.wake();
        self.room.wake();
    }

    /// The other side has ended it at once: nothing more comes, and nothing can be sent.
    pub fn reset(&self, error: Errno) {
        let mut state = lock(&self.state);
        (state.error, state.shut, state.reset) = (Some(error), true, true);
        drop(state);
        self.readable.wake();
        self.room.wake();
    }

    /// Whether the other side has done so.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        lock(&self.state).reset
    }

    /// Lets packets in again.
    pub fn renew(&self) {
        let mut state = lock(&self.state);
        (state.error, state.shut, state.reset) = (None, false, false);
    }

    /// Takes the error out.
    #[must_use]
    pub fn take_error(&self) -> Option<Errno> {
        lock(&self.state).error.take()
    }

    /// Whether an error waits to be told.
    #[must_use]
    pub fn has_error(&self) -> bool {
        lock(&self.state).error.is_some()
    }

    /// Packets in it.
    #[must_use]
    pub fn packets(&self) -> usize {
        lock(&self.state).packets.len()
    }

    /// Whether poll(2) says that one may write to it.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !lock(&self.state).full()
    }

    /// Bytes in it: in all packets, in the first one.
    #[must_use]
    pub fn bytes(&self) -> (usize, usize) {
        let state = lock(&self.state);
        let left = |p: &Packet| p.bytes.len().saturating_sub(p.start);
        (state.packets.iter().map(left).sum(), state.packets.front().map_or(0, left))
    }
}

impl State {
    fn arrive(&mut self, bytes: usize) {
        self.came += bytes as u64;
        self.arrivals += 1;
    }

    /// Writers are woken when three quarters are free.
    fn full(&self) -> bool {
        self.used * 4 > self.limit
    }
}

#[cfg(test)]
mod tests;
