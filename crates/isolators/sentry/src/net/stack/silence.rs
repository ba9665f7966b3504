//! What another machine has not said yet: how long it may take before its connection is
//! over. The stack's own limit knows only of the last word, whatever it is about.

use std::time::{Duration, Instant};

use smoltcp::socket::tcp::{self, State};

use crate::net::inet::Patience;

use super::flow::time;

/// Of one connection.
pub(super) struct Silence {
    /// When the last word came.
    heard: Instant,
    /// Since when what was sent first of what is not confirmed waits for that.
    stalled: Option<Instant>,
    /// Bytes that were sent, and those that were confirmed.
    sent: u64,
    confirmed: u64,
    patience: Option<Patience>,
    /// When it may be asked first for a word: not sooner than it was decided to ask.
    asks: Instant,
    /// When something is to be done at the latest.
    pub(super) due: Option<Instant>,
}

impl Silence {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Silence {
            heard: now,
            stalled: None,
            sent: 0,
            confirmed: 0,
            patience: None,
            asks: now,
            due: None,
        }
    }

    /// So many bytes were given to the stack.
    pub(super) fn sent(&mut self, count: usize) {
        self.sent += count as u64;
    }

    /// The other machine has said something, which the stack does not know yet.
    pub(super) fn hear(&mut self, socket: &mut tcp::Socket<'_>) {
        self.heard = Instant::now();
        socket.set_keep_alive(None);
    }

    /// Whether it is over by now.
    pub(super) fn is_over(&mut self, socket: &mut tcp::Socket<'_>, patience: Patience) -> bool {
        let now = Instant::now();
        let old = self.patience.replace(patience).and_then(|old| old.silent());
        match (old, patience.silent()) {
            (None, Some((idle, _))) => self.asks = now.checked_add(idle).unwrap_or(now),
            (Some((old, _)), Some((idle, _))) if old != idle => self.asks = now,
            (Some(_), None) => socket.set_keep_alive(None),
            _ => {}
        }
        let waiting = socket.send_queue();
        let confirmed = self.sent.saturating_sub(waiting as u64);
        let ends = matches!(socket.state(), State::FinWait1 | State::Closing | State::LastAck);
        let moved = std::mem::replace(&mut self.confirmed, confirmed) != confirmed;
        self.stalled = match self.stalled {
            _ if waiting == 0 && !ends => None,
            Some(since) if !moved => Some(since),
            _ => Some(now),
        };
        self.due = None;
        let end = if let Some(stalled) = self.stalled {
            let (limit, whatever) = patience.unconfirmed();
            let from = if whatever { stalled } else { stalled.max(self.heard) };
            from.checked_add(limit)
        } else if let Some((idle, interval)) = patience.silent() {
            let first = self.heard.checked_add(idle).unwrap_or(now).max(self.asks);
            if now >= first {
                // At once, and from then on.
                socket.set_keep_alive(Some(time(interval)));
            } else {
                self.due = Some(first);
            }
            first.checked_add(patience.asking(first.duration_since(self.heard)))
        } else {
            None
        };
        self.due = self.due.into_iter().chain(end).min();
        end.is_some_and(|end| now >= end)
    }

    /// Whether a connection that is asked for since then does not come to be any more.
    pub(super) fn is_in_vain(&mut self, since: Instant, patience: Duration) -> bool {
        self.due = since.checked_add(patience);
        since.elapsed() >= patience
    }

    /// Nothing is to be done for its sake.
    pub(super) fn forget(&mut self) {
        self.due = None;
    }
}
