//! Urgent data of a stream, as TCP has it: one byte of it is marked.

use std::sync::Arc;

use rustix::io::Errno;

use crate::signal::owner::{Owner, What};
use crate::task::waiter::lock;

use super::{Inbox, OVERHEAD, Packet, State};

/// Where in the stream the urgent byte is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) at: u64,
    /// The byte, until it is received apart.
    pub(super) byte: Option<u8>,
}

impl Inbox {
    /// Adds a byte of urgent data. One before it is an ordinary byte then, or gone if it is
    /// what would be received next.
    pub fn push_urgent(&self, byte: u8) {
        let mut state = lock(&self.state);
        state.skip_mark();
        let at = state.came;
        state.mark = Some(Mark { at, byte: Some(byte) });
        state.arrive(1);
        state.used += 1 + OVERHEAD;
        state.packets.push_back(Packet { bytes: vec![byte], ..Packet::default() });
        let owner = state.owner.upgrade();
        drop(state);
        if let Some(owner) = owner {
            owner.is_due(What::Urgent);
        }
        self.readable.wake();
    }

    /// Whether a byte of urgent data has room.
    ///
    /// # Errors
    /// `EAGAIN`; `EPIPE` if nothing more is taken.
    pub fn check_urgent(&self) -> Result<(), Errno> {
        let state = lock(&self.state);
        if state.shut {
            return Err(Errno::PIPE);
        }
        if state.used >= state.limit { Err(Errno::AGAIN) } else { Ok(()) }
    }

    /// Whom signals tell of urgent data.
    pub fn set_owner(&self, owner: &Arc<Owner>) {
        lock(&self.state).owner = Arc::downgrade(owner);
    }

    /// Whether urgent data comes with the rest of the stream.
    pub fn set_urgent_inline(&self, inline: bool) {
        lock(&self.state).urgent_inline = inline;
    }

    /// Takes the byte of urgent data, or looks at it. Its place in the stream stays marked.
    ///
    /// # Errors
    /// `EINVAL` if there is none apart.
    pub fn urgent(&self, peek: bool) -> Result<u8, Errno> {
        let mut state = lock(&self.state);
        let apart = !state.urgent_inline;
        let byte = state.mark.as_mut().filter(|_| apart).map(|mark| &mut mark.byte);
        byte.and_then(|byte| if peek { *byte } else { byte.take() }).ok_or(Errno::INVAL)
    }

    /// Whether there is one that was not received.
    #[must_use]
    pub fn has_urgent(&self) -> bool {
        let state = lock(&self.state);
        state.urgent || state.mark.is_some_and(|mark| mark.byte.is_some())
    }

    /// Whether the urgent byte is what comes next in the stream.
    #[must_use]
    pub fn is_at_mark(&self) -> bool {
        let state = lock(&self.state);
        state.mark.is_some_and(|mark| mark.at == state.taken) || state.is_apart_next()
    }

    /// Whether there is enough to be received of a stream, as poll(2) tells it.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        let state = lock(&self.state);
        state.holds(u64::MAX)
    }

    /// Whether a read of so many bytes that may wait has enough.
    #[must_use]
    pub fn has_enough(&self, room: usize) -> bool {
        let state = lock(&self.state);
        let over = state.shut || state.error.is_some();
        let marked = state.mark.is_some_and(|mark| mark.at > state.taken);
        over || marked || state.holds(room as u64)
    }

    /// Bytes that come before the urgent one, or all.
    #[must_use]
    pub fn unread(&self) -> usize {
        let state = lock(&self.state);
        let end = match state.mark {
            Some(mark) if !state.urgent_inline => mark.at,
            _ => state.came,
        };
        usize::try_from(end - state.taken).unwrap_or(usize::MAX)
    }
}

impl State {
    /// How much of `room` bytes is enough: no more than always finds room.
    fn least(&self, room: u64) -> u64 {
        self.low.min(self.limit as u64 / 4).min(room).max(1)
    }

    /// Whether there is as much as is enough of `room` bytes; or something, if no more comes
    /// before that is received: small packets take more room than their bytes.
    fn holds(&self, room: u64) -> bool {
        let left = (self.came - self.taken).saturating_sub(self.hole());
        left >= self.least(room) || left > 0 && self.full()
    }

    /// How much of what comes next is not received with the rest: the urgent byte.
    pub(super) fn hole(&self) -> u64 {
        let next = self.mark.is_some_and(|mark| mark.at == self.taken);
        u64::from(next && !self.urgent_inline && self.came > self.taken)
    }

    /// Leaves the urgent byte out, if it is what comes next.
    pub(super) fn skip_mark(&mut self) {
        if self.hole() == 0 {
            return;
        }
        self.taken += 1;
        self.used = self.used.saturating_sub(1);
        if let Some(packet) = self.packets.front_mut() {
            packet.start += 1;
            if packet.start >= packet.bytes.len() {
                self.packets.pop_front();
                self.used = self.used.saturating_sub(OVERHEAD);
            }
        }
        self.pass_mark();
    }

    /// What is behind is not marked any more.
    pub(super) fn pass_mark(&mut self) {
        if self.mark.is_some_and(|mark| mark.at < self.taken) {
            self.mark = None;
        }
    }
}
