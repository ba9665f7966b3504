//! Urgent data as UNIX streams have it: a packet of one byte, which can be received apart.
//! Reads stop in front of it, and where it was.

use rustix::io::Errno;

use crate::signal::owner::What;
use crate::task::waiter::lock;

use super::{Inbox, OVERHEAD, Packet, State};

/// Whether a packet can be received apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Urgency {
    /// It is like any other.
    #[default]
    None,
    /// It can: the last one that was sent so.
    Waiting,
    /// It was: nothing of it is left but its place.
    Received,
}

impl Inbox {
    /// Adds a packet of one byte that can be received apart; one before it can't be any more.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_apart(&self, packet: &mut Packet) -> Result<(), Errno> {
        packet.urgency = Urgency::Waiting;
        let state = lock(&self.state);
        let owner = state.owner.upgrade();
        self.add(state, packet, false)?;
        if let Some(owner) = owner {
            owner.is_due(What::Urgent);
        }
        Ok(())
    }

    /// Takes the byte that can be received apart, or looks at it.
    ///
    /// # Errors
    /// `EINVAL` if there is none, or if it is to come with the rest.
    pub fn take_apart(&self, peek: bool) -> Result<u8, Errno> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let waits = |packet: &Packet| packet.urgency == Urgency::Waiting;
        let at = state.packets.iter().rposition(waits).filter(|_| !state.urgent_inline);
        let at = at.ok_or(Errno::INVAL)?;
        let packet = state.packets.get_mut(at).ok_or(Errno::INVAL)?;
        let byte = *packet.bytes.get(packet.start).ok_or(Errno::INVAL)?;
        if peek {
            return Ok(byte);
        }
        (packet.urgency, state.urgent) = (Urgency::Received, false);
        packet.start += 1;
        let full = state.full();
        state.taken += 1;
        state.used = state.used.saturating_sub(1);
        // Two places without anything between are one.
        let before = at.checked_sub(1);
        if let Some(before) = before.filter(|at| state.was_urgent(*at)) {
            let place = state.packets.remove(before);
            state.gone.extend(place);
            state.used = state.used.saturating_sub(OVERHEAD);
        }
        let wake = full && !state.full();
        let gone = std::mem::take(&mut state.gone);
        drop(guard);
        drop(gone);
        if wake {
            self.room.wake();
        }
        Ok(byte)
    }

    /// Whether something can be received, or waits to be: more than a place.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        lock(&self.state).packets.iter().any(|packet| packet.urgency != Urgency::Received)
    }
}

impl State {
    fn is(&self, at: usize, urgency: Urgency) -> bool {
        self.packets.get(at).is_some_and(|packet| packet.urgency == urgency)
    }

    fn was_urgent(&self, at: usize) -> bool {
        self.is(at, Urgency::Received)
    }

    /// A packet that can be received apart comes: it is the only one.
    pub(super) fn mark_apart(&mut self) {
        let waits = |packet: &&mut Packet| packet.urgency == Urgency::Waiting;
        if let Some(packet) = self.packets.iter_mut().rfind(waits) {
            packet.urgency = Urgency::None;
        }
        self.urgent = true;
    }

    /// Whether a read that got something would stop here.
    pub(super) fn is_apart_next(&self) -> bool {
        self.is(0, Urgency::Waiting)
            || self.was_urgent(0) && (!self.urgent || self.is(1, Urgency::Waiting))
    }

    /// With which packet who receives goes on at this one; `None` if there is none, or if he got
    /// something already and is to stop.
    pub(super) fn go_on(&mut self, mut at: usize, peek: bool, copied: bool) -> Option<usize> {
        if self.was_urgent(at) {
            if copied && !self.urgent {
                return None;
            }
            if peek {
                at += 1;
            } else {
                self.gone.extend(self.packets.pop_front());
                self.used = self.used.saturating_sub(OVERHEAD);
            }
        }
        if !self.is(at, Urgency::Waiting) {
            return (at < self.packets.len()).then_some(at);
        }
        if copied {
            return None;
        }
        if !peek {
            self.urgent = false;
            if let Some(packet) = self.packets.front_mut().filter(|_| self.urgent_inline) {
                packet.urgency = Urgency::None;
            } else {
                // Nobody wanted it.
                self.gone.extend(self.packets.pop_front());
                self.taken += 1;
                self.used = self.used.saturating_sub(1 + OVERHEAD);
            }
        } else if !self.urgent_inline {
            at += 1;
        }
        (at < self.packets.len()).then_some(at)
    }
}
