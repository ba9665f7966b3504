//! What is known of a connection: what was sent, and how long another machine takes to confirm it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::task::waiter::lock;

use super::{Role, Tcp};

/// Of a connection with another machine, which the stack has.
#[derive(Debug, Default)]
pub struct Measured(Mutex<Wire>);

#[derive(Debug, Default)]
struct Wire {
    /// Bytes that the stack was given, and those of them that are not confirmed.
    given: u64,
    queued: u64,
    /// What is to be confirmed, and since when.
    waits: Option<(u64, Instant)>,
    times: Option<Times>,
    /// It has packets.
    there: bool,
}

/// How long a confirmation takes: smoothed, as RFC 6298 has it, how that varies, and the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Smoothed.
    pub smoothed: Duration,
    /// How it varies.
    pub varies: Duration,
    /// The shortest.
    pub least: Duration,
}

impl Times {
    fn with(self, sample: Duration) -> Self {
        let distance = self.smoothed.abs_diff(sample);
        Times {
            smoothed: (self.smoothed * 7 + sample) / 8,
            varies: (self.varies * 3 + distance) / 4,
            least: self.least.min(sample),
        }
    }
}

impl Measured {
    /// The stack was given bytes, when so many were not confirmed.
    pub fn give(&self, bytes: usize, queued: usize) {
        let mut wire = lock(&self.0);
        wire.given += bytes as u64;
        if queued == 0 {
            wire.waits = Some((wire.given, Instant::now()));
        }
    }

    /// Another connection begins.
    pub fn forget(&self) {
        *lock(&self.0) = Wire::default();
    }

    /// So many are not confirmed now.
    pub fn look(&self, queued: usize) {
        let mut wire = lock(&self.0);
        (wire.there, wire.queued) = (true, queued as u64);
        let confirmed = wire.given.saturating_sub(wire.queued);
        let Some((_, since)) = wire.waits.filter(|(until, _)| confirmed >= *until) else { return };
        let sample = since.elapsed();
        wire.waits = None;
        let first = Times { smoothed: sample, varies: sample / 2, least: sample };
        wire.times = Some(wire.times.map_or(first, |times| times.with(sample)));
    }
}

/// What there is to tell of a socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// Of one that listens: how many wait, and how many may.
    pub backlog: Option<(usize, usize)>,
    /// Whether it is, or was, connected; and whether it was its side that asked.
    pub connected: (bool, bool),
    /// Whether that goes over packets.
    pub by_packets: bool,
    /// Bytes that came.
    pub received: u64,
    /// Bytes that are not sent yet; that are sent, and not confirmed; that are confirmed.
    pub sent: (u64, u64, u64),
    /// Bytes that may be on the way.
    pub limit: usize,
    /// Measured, if anything was.
    pub times: Option<Times>,
}

impl Tcp {
    /// What there is to tell of it.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let state = lock(&self.state);
        let mut facts = Facts { limit: state.limit, ..Facts::default() };
        facts.connected = (state.joined, state.active);
        facts.received = self.inbox.total();
        let peer = match &state.role {
            Role::Listening { backlog, waiting, .. } => {
                facts.backlog = Some((waiting.len(), *backlog));
                None
            }
            Role::Connected { peer, .. } => Some(std::sync::Arc::clone(peer)),
            Role::Idle | Role::Connecting => None,
        };
        drop(state);
        let wire = lock(&self.measured.0);
        (facts.by_packets, facts.times) = (wire.there, wire.times);
        facts.sent = match peer {
            Some(peer) if wire.there => {
                let left = peer.total().saturating_sub(wire.given);
                (left, wire.queued, wire.given.saturating_sub(wire.queued))
            }
            // What the other side's socket has is confirmed.
            Some(peer) => (0, 0, peer.total()),
            None => (0, 0, wire.given.saturating_sub(wire.queued)),
        };
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirmations_are_timed_from_an_empty_queue_on() {
        let measured = Measured::default();
        measured.give(100, 0);
        measured.give(100, 100);
        measured.look(150);
        assert_eq!(lock(&measured.0).times, None);
        std::thread::sleep(Duration::from_millis(2));
        measured.look(50);
        let first = lock(&measured.0).times.unwrap();
        assert!(first.least >= Duration::from_millis(2) && first.varies == first.smoothed / 2);
        measured.look(0);
        measured.give(1, 0);
        measured.look(0);
        let second = lock(&measured.0).times.unwrap();
        assert!(second.least < first.least && second.smoothed < first.smoothed);
    }
}
