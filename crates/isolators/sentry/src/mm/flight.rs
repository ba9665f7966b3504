//! Changes that the host makes without telling: a call of the guest's own that it
//! was let make, or a mapping that the stub makes with an answer.
//!
//! They are noted before they are made; made they are before the thread's next
//! event, or its next posted call. Until then they are *in flight*, and no other thread's change of the
//! same addresses, and no fork, comes in between: that thread is made to report.

use std::ops::Range;
use std::sync::{Condvar, Mutex, PoisonError};

use rustix::io::Errno;

use crate::platform::{HostTid, StubProcess};
use crate::task::Pid;
use crate::task::waiter::{is_left, lock};
use crate::workers::let_others_serve;

/// A change in flight.
#[derive(Clone, Debug)]
pub struct Flight {
    /// The guest's thread.
    pub thread: Pid,
    /// The stub's.
    pub host: HostTid,
    /// What it changes.
    pub range: Range<u64>,
    /// The heap as it was before, if brk changes it.
    pub heap: Option<(u64, u64)>,
    /// The stub was told to map it: it reports if it could not.
    pub by_stub: bool,
}

/// Those of an address space.
#[derive(Debug, Default)]
pub(super) struct Flights {
    state: Mutex<State>,
    landed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    flying: Vec<Flight>,
    ended: bool,
    /// How many wait for one to land: to tell nobody is a call of the host's, too.
    waiting: usize,
}

impl Flights {
    pub(super) fn depart(&self, flight: Flight) {
        lock(&self.state).flying.push(flight);
    }

    pub(super) fn land(&self, thread: Pid) -> Option<Flight> {
        let mut state = lock(&self.state);
        let at = state.flying.iter().position(|f| f.thread == thread)?;
        let flight = state.flying.swap_remove(at);
        let awaited = state.waiting > 0;
        drop(state);
        if awaited {
            self.landed.notify_all();
        }
        Some(flight)
    }

    /// Waits until no other thread's change of `range` is in flight.
    pub(super) fn settle(
        &self,
        own: Pid,
        range: &Range<u64>,
        stub: &StubProcess,
    ) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        let mut kicked = false;
        loop {
            let in_the_way = |f: &&Flight| {
                f.thread != own && f.range.start < range.end && range.start < f.range.end
            };
            let mut others = state.flying.iter().filter(in_the_way).peekable();
            if state.ended {
                return Err(Errno::INTR);
            }
            if others.peek().is_none() {
                return Ok(());
            }
            if is_left() {
                return Err(Errno::INTR);
            }
            if !kicked {
                others.for_each(|flight| stub.kick(flight.host));
                kicked = true;
            }
            let_others_serve();
            state.waiting += 1;
            state = self.landed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }

    pub(super) fn end(&self) {
        lock(&self.state).ended = true;
        self.landed.notify_all();
    }
}
