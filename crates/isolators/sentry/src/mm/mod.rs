//! Guest address spaces: what is mapped where, and whose turn it is to change it.

mod anchor;
mod areas;
mod flight;
mod marks;
mod sites;
pub mod views;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

pub use anchor::Anchor;
pub use areas::{Area, Areas, Backing, PAGE, Protection, round_up};
pub use flight::Flight;
pub use marks::Marks;
use rustix::io::Errno;
pub use sites::{Site, Sites};
use views::Views;

use crate::platform::desks::Desks;
use crate::platform::{GuestMemory, MAX_SLOTS, Slot, StubProcess};
use crate::task::waiter::{is_left, lock};
use crate::vfs::Entry;
use crate::vfs::file_use::FileUse;
use crate::workers::{Wait, let_others_serve, step_aside};

/// What an address space executes.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Its path, for procfs.
    pub path: Vec<u8>,
    /// Where it was found.
    pub entry: Option<Arc<Entry>>,
    /// Keeps others from writing it, and its interpreter as long as that is being mapped.
    pub executing: Vec<Arc<FileUse>>,
}

/// An address space and the stub process that holds it.
#[derive(Debug)]
pub struct Space {
    /// The host's process.
    pub stub: Arc<StubProcess>,
    /// Its memory.
    pub memory: GuestMemory,
    /// What is mapped.
    pub areas: Mutex<Areas>,
    turn: Turn,
    flights: flight::Flights,
    /// Call sites that report, and those that were rewritten.
    pub sites: Mutex<Sites>,
    /// Where its threads post calls, once some do.
    pub desks: OnceLock<Arc<Desks>>,
    /// What its threads copy from.
    pub views: Views,
    slots: Mutex<Slots>,
    users: AtomicUsize,
    /// The program.
    pub program: Mutex<Program>,
}

/// Changes to an address space are made one at a time: from the decision to the
/// report that the stub has made the call.
#[derive(Debug, Default)]
struct Turn {
    state: Mutex<TurnState>,
    free: Condvar,
}

#[derive(Debug, Default)]
struct TurnState {
    taken: bool,
    ended: bool,
    /// How many wait for it: to tell nobody is a call of the host's, too.
    waiting: usize,
}

#[derive(Debug, Default)]
struct Slots {
    free: BTreeSet<Slot>,
    next: u32,
}

impl Space {
    /// For a stub with one thread in `slot`, which counts as a user.
    #[must_use]
    pub fn new(stub: Arc<StubProcess>, areas: Areas, slot: Slot) -> Arc<Self> {
        let free = (0..slot.0).map(Slot).collect();
        Arc::new(Space {
            memory: GuestMemory::new(Arc::clone(&stub)),
            stub,
            areas: Mutex::new(areas),
            turn: Turn::default(),
            flights: flight::Flights::default(),
            sites: Mutex::default(),
            desks: OnceLock::new(),
            views: Views::default(),
            slots: Mutex::new(Slots { free, next: slot.0 + 1 }),
            users: AtomicUsize::new(1),
            program: Mutex::default(),
        })
    }

    /// What a copy begins with.
    #[must_use]
    pub fn inherited(&self) -> (Areas, Program, Sites) {
        let areas = lock(&self.areas).inherited();
        (areas, lock(&self.program).clone(), lock(&self.sites).inherited())
    }

    /// A place for another thread, which becomes a user.
    ///
    /// # Errors
    /// `EAGAIN` if there are too many.
    pub fn enter(&self) -> Result<Slot, Errno> {
        let mut slots = lock(&self.slots);
        let slot = match slots.free.pop_first() {
            Some(slot) => slot,
            None if slots.next < MAX_SLOTS => {
                slots.next += 1;
                Slot(slots.next - 1)
            }
            None => return Err(Errno::AGAIN),
        };
        self.users.fetch_add(1, Ordering::SeqCst);
        Ok(slot)
    }

    /// A thread needs the space no more; the last one ends the stub, and nothing is held any
    /// more because it is mapped or executed.
    pub fn leave(&self) {
        if self.users.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.stub.kill();
            self.unmap();
        }
    }

    /// Nothing is held any more because it is mapped or executed: nobody runs here any longer.
    pub fn unmap(&self) {
        let mapped = std::mem::take(&mut *lock(&self.areas));
        let executed = std::mem::take(&mut lock(&self.program).executing);
        drop((mapped, executed));
        self.views.clear();
    }

    /// Threads in it.
    #[must_use]
    pub fn users(&self) -> usize {
        self.users.load(Ordering::SeqCst)
    }

    /// A thread's place is free again.
    pub fn free_slot(&self, slot: Slot) {
        lock(&self.slots).free.insert(slot);
    }

    /// Waits until nobody changes the space, and keeps others from it until
    /// [`Self::pass_turn`].
    ///
    /// # Errors
    /// `EINTR` if the space is gone, or the call is left.
    pub fn take_turn(&self) -> Result<(), Errno> {
        let mut state = lock(&self.turn.state);
        while state.taken && !state.ended {
            if is_left() {
                return Err(Errno::INTR);
            }
            let_others_serve();
            state.waiting += 1;
            state = self.turn.free.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        if state.ended {
            return Err(Errno::INTR);
        }
        state.taken = true;
        Ok(())
    }

    /// Waits until nobody changes the space, for `most` at the longest; not at all if nobody
    /// would serve events meanwhile. The turn is not taken.
    pub fn wait_for_turn(&self, most: Duration) {
        let mut state = lock(&self.turn.state);
        if state.taken && !state.ended && step_aside(Wait::Short) {
            let taken = |state: &mut TurnState| state.taken && !state.ended;
            state.waiting += 1;
            let waited = self.turn.free.wait_timeout_while(state, most, taken);
            waited.unwrap_or_else(PoisonError::into_inner).0.waiting -= 1;
            // It may have been told in place of one that takes the turn.
            self.turn.free.notify_one();
        }
    }

    /// Waits until no other thread's change of `range` is in flight. The caller
    /// has the turn, so none takes off.
    ///
    /// # Errors
    /// `EINTR` if the space is gone, or the call is left.
    pub fn settle(&self, own: crate::task::Pid, range: &Range<u64>) -> Result<(), Errno> {
        self.flights.settle(own, range, &self.stub)
    }

    /// Notes a change that its thread will have made before it reports again.
    pub fn depart(&self, flight: Flight) {
        self.flights.depart(flight);
    }

    /// The thread has reported: its change, if one was in flight, is made.
    pub fn land(&self, thread: crate::task::Pid) -> Option<Flight> {
        self.flights.land(thread)
    }

    /// The change is made.
    pub fn pass_turn(&self) {
        let awaited = {
            let mut state = lock(&self.turn.state);
            state.taken = false;
            state.waiting > 0
        };
        if awaited {
            self.turn.free.notify_one();
        }
    }

    /// The stub is gone: nobody waits for it any longer.
    pub fn end(&self) {
        lock(&self.turn.state).ended = true;
        self.turn.free.notify_all();
        self.flights.end();
        self.stub.reap();
        // A change may have been under way.
        self.unmap();
    }
}
