//! Receiving a stream: whatever pieces it came in.

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::{Inbox, OVERHEAD, Packet, Received, Rights, State, Urgency};

impl Inbox {
    /// Takes up to `room` bytes of the stream, or looks at them. Goes no further than
    /// the first descriptors, and with `apart` not to what another process sent.
    ///
    /// # Errors
    /// As [`Self::datagram`].
    pub fn stream(&self, room: usize, peek: bool, apart: bool) -> Result<Received, Errno> {
        let mut state = lock(&self.state);
        let full = state.full();
        let received = state.stream(room, peek, apart);
        let wake = full && !state.full();
        let gone = std::mem::take(&mut state.gone);
        drop(state);
        drop(gone);
        if wake {
            self.room.wake();
        }
        received
    }

    /// Of what [`Self::stream`] gave, the pieces behind the first `whole` did not reach their
    /// receiver, and come back. How many bytes did.
    pub fn take_back(&self, received: Received, whole: usize, peek: bool) -> usize {
        let Received { mut pieces, rights, senders, .. } = received;
        let lost = pieces.split_off(whole.min(pieces.len()));
        let length = |(bytes, start): &(Vec<u8>, usize)| bytes.len().saturating_sub(*start);
        let kept = pieces.iter().map(length).sum();
        if peek {
            return kept;
        }
        // They came with the last piece.
        let mut rights = Rights::again(rights);
        let mut state = lock(&self.state);
        for (piece, sender) in lost.into_iter().zip(senders.into_iter().skip(whole)).rev() {
            let count = length(&piece);
            let (bytes, start) = piece;
            state.taken = state.taken.saturating_sub(count as u64);
            state.used += count;
            let rights = std::mem::take(&mut rights);
            // Back to where it was a part of, so that there are no more pieces than came.
            if let Some(first) = state.packets.front_mut()
                && first.sender == sender
                && first.rights.is_empty()
                && first.urgency == Urgency::None
                && let Some(from) = first.start.checked_sub(count)
                && let Some(place) = first.bytes.get_mut(from..first.start)
            {
                place.copy_from_slice(bytes.get(start..).unwrap_or_default());
                (first.start, first.rights) = (from, rights);
                continue;
            }
            state.used += OVERHEAD;
            state.packets.push_front(Packet { bytes, start, sender, rights, ..Packet::default() });
        }
        drop(state);
        self.readable.wake();
        kept
    }
}

impl State {
    fn stream(&mut self, room: usize, peek: bool, apart: bool) -> Result<Received, Errno> {
        let mut received = Received::default();
        let hole = self.hole();
        if !peek {
            self.skip_mark();
        }
        // As far as the next mark.
        let from = self.taken + if peek { hole } else { 0 };
        let first = self.go_on(0, peek, false);
        if from == self.came || first.is_none() {
            return match self.error.take() {
                Some(error) => Err(error),
                None if self.shut || room == 0 => Ok(received),
                None => Err(Errno::AGAIN),
            };
        }
        let from = if peek { from } else { self.taken };
        let end = self.mark.map(|mark| mark.at).filter(|at| *at > from).unwrap_or(self.came);
        let most = usize::try_from(end - from).unwrap_or(usize::MAX).min(room);
        // Of what is only looked at, the urgent byte may be the first one.
        let (mut skip, mut index) = (usize::from(peek && hole > 0), 0);
        while received.length < most {
            let at = if peek { index } else { 0 };
            let Some(at) = self.go_on(at, peek, received.length > 0) else { break };
            let Some(packet) = self.packets.get_mut(at) else { break };
            if received.sender.is_some_and(|s| apart && s != packet.sender) {
                break;
            }
            received.sender = Some(packet.sender);
            received.senders.push(packet.sender);
            let start = packet.start + std::mem::take(&mut skip);
            let left = packet.bytes.len().saturating_sub(start);
            let count = left.min(most - received.length);
            received.length += count;
            if !peek && count == left {
                let Some(packet) = self.packets.pop_front() else { break };
                self.used = self.used.saturating_sub(count + OVERHEAD);
                received.rights = packet.rights.take();
                received.pieces.push((packet.bytes, start));
            } else {
                let part = packet.bytes.get(start..start + count);
                received.pieces.push((part.unwrap_or_default().to_vec(), 0));
                if peek {
                    received.rights = packet.rights.copies();
                    index = at + 1;
                } else {
                    received.rights = std::mem::take(&mut packet.rights).take();
                    packet.start += count;
                    self.used = self.used.saturating_sub(count);
                }
            }
            if !received.rights.is_empty() {
                break;
            }
        }
        received.full = received.length;
        if !peek {
            self.taken += received.length as u64;
            self.pass_mark();
        }
        Ok(received)
    }
}
