//! What the host counts for a process beside its time: memory, faults, switches.
//!
//! A stub's are told when it is reaped, which may be after the guest's process has ended
//! and was waited for: what is not told yet is waited for by who asks.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::platform::{Counted, StubProcess};
use crate::task::waiter::lock;
use crate::workers::let_others_serve;

/// Stubs that have been left: what they counted, and those that have not told it yet.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    told: Counted,
    ending: Vec<Arc<StubProcess>>,
}

impl Tally {
    /// Counts a stub in that nobody uses any more.
    pub fn add(&mut self, stub: Arc<StubProcess>) {
        self.ending.push(stub);
        self.gather();
    }

    /// Counts in what others counted.
    pub fn absorb(&mut self, other: Tally) {
        self.told = self.told.plus(other.told);
        self.ending.extend(other.ending);
        self.gather();
    }

    /// Counts in how much memory a stub has had that is not left yet, in kilobytes.
    pub fn reach(&mut self, kilobytes: u64) {
        self.told.most_memory = self.told.most_memory.max(kilobytes);
    }

    fn gather(&mut self) {
        let told = &mut self.told;
        self.ending.retain(|stub| match stub.counted() {
            Some(counted) => {
                *told = told.plus(counted);
                false
            }
            None => true,
        });
    }
}

/// Of a process: its own stubs but the present one, and those of children that were waited
/// for.
#[derive(Debug, Default)]
pub struct Counting {
    /// Its own.
    pub own: Tally,
    /// Its children's, with theirs.
    pub children: Tally,
}

impl Counting {
    /// All of it.
    #[must_use]
    pub fn all(&self) -> Tally {
        let mut all = self.own.clone();
        all.absorb(self.children.clone());
        all
    }
}

/// All that a tally counts. Stubs that it waits for are being killed; who still is there
/// after a second counts next time.
pub fn sum<T>(of: &Mutex<T>, tally: impl Fn(&mut T) -> &mut Tally) -> Counted {
    const PAUSE: Duration = Duration::from_micros(50);
    const MOST: Duration = Duration::from_secs(1);
    let end = Instant::now() + MOST;
    loop {
        {
            let mut whole = lock(of);
            let tally = tally(&mut whole);
            tally.gather();
            if tally.ending.is_empty() || Instant::now() >= end {
                return tally.told;
            }
        }
        let_others_serve();
        std::thread::sleep(PAUSE);
    }
}
