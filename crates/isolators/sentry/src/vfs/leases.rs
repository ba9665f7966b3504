//! Leases (`F_SETLEASE`): who has one is told by a signal before somebody opens the file in a way
//! that it excludes, and has a while to give it up.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::signal::owner::{Owner, What};
use crate::syscalls::{Call, Failure};
use crate::task::Restart;
use crate::task::waiter::{self, Woken, lock};

use super::file_use::{FileUse, Purpose, Uses};
use super::locks::Taker;
use super::weak_table::find_or_keep;

/// Device and inode.
type Id = (u64, u64);

/// Seconds that an owner has, unless that is set.
pub const USUAL_BREAK: i32 = 45;

/// What a lease excludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// That somebody opens the file to write it.
    Read,
    /// That somebody opens it.
    Write,
}

/// Somebody waits for the end of a lease, or for what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    No,
    /// It ends by itself then, if ever.
    Until(Option<Instant>),
}

impl Asked {
    fn is_over(self, now: Instant) -> bool {
        matches!(self, Asked::Until(Some(end)) if end <= now)
    }

    fn end(self) -> Option<Instant> {
        if let Asked::Until(end) = self { end } else { None }
    }
}

/// A lease.
#[derive(Debug)]
pub(super) struct Lease {
    /// Address of the use that it goes with.
    of: usize,
    kind: Kind,
    /// Whether it is to go, or to become one to read.
    ends: Asked,
    shrinks: Asked,
    /// Who is told, and by which descriptor.
    owner: Arc<Owner>,
    descriptor: u32,
    /// For `/proc/locks`.
    id: Id,
    taker: Taker,
}

impl Lease {
    fn excludes(&self, writes: bool) -> bool {
        writes || self.kind == Kind::Write
    }

    /// What it is, or is to become.
    fn told(&self) -> Option<Kind> {
        match (self.ends, self.shrinks) {
            (Asked::Until(_), _) => None,
            (_, Asked::Until(_)) => Some(Kind::Read),
            _ => Some(self.kind),
        }
    }
}

/// Who wants a lease, and who is told of its end by which descriptor.
pub struct Wanted<'a> {
    /// What it excludes.
    pub kind: Kind,
    /// Who is told, and by which descriptor.
    pub told: (&'a Arc<Owner>, u32),
    /// The file, and the process that asks: for `/proc/locks`.
    pub seen: (Id, Taker),
}

/// A lease as `/proc/locks` tells of it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The file.
    pub id: Id,
    /// Who asked for it.
    pub taker: Taker,
    /// What it is or is to become.
    pub kind: Option<Kind>,
    /// Whether somebody waits for that.
    pub breaking: bool,
}

/// Files that had leases, by their addresses.
static LEASED: LazyLock<Mutex<HashMap<usize, Weak<Uses>>>> = LazyLock::new(Mutex::default);

/// All leases.
#[must_use]
pub fn all() -> Vec<Seen> {
    let files: Vec<_> = lock(&LEASED).values().filter_map(Weak::upgrade).collect();
    let of = |file: Arc<Uses>| -> Vec<Seen> {
        let seen = |lease: &Lease| Seen {
            id: lease.id,
            taker: lease.taker,
            kind: lease.told(),
            breaking: lease.ends != Asked::No || lease.shrinks != Asked::No,
        };
        file.state().leases.iter().map(seen).collect()
    };
    files.into_iter().flat_map(of).collect()
}

/// Those whose time is up end; what has ended is to be dropped without the lock.
fn time_out(leases: &mut Vec<Lease>) -> Vec<Lease> {
    let now = Instant::now();
    for lease in &mut *leases {
        if lease.shrinks.is_over(now) {
            (lease.kind, lease.shrinks) = (Kind::Read, Asked::No);
        }
    }
    let ended: Vec<Lease> = leases.extract_if(.., |lease| lease.ends.is_over(now)).collect();
    ended.iter().for_each(|lease| lease.owner.resign());
    ended
}

impl FileUse {
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Takes a lease, or changes the one that this use has; `begin` is run once it holds.
    ///
    /// # Errors
    /// `EAGAIN` if the file is open in a way that it excludes, or another lease is in the way.
    pub fn lease(&self, wanted: &Wanted<'_>, begin: impl FnOnce()) -> Result<(), Errno> {
        let mut state = self.file.state();
        let ended = time_out(&mut state.leases);
        let (owner, descriptor) = wanted.told;
        let free = match wanted.kind {
            Kind::Read => state.writers == 0,
            Kind::Write => {
                // Nobody but who asks.
                let own = if self.purpose == Purpose::Reading { (1, 0) } else { (0, 1) };
                (state.readers, state.writers) == own && state.programs == 0
            }
        };
        let in_the_way = |lease: &Lease| {
            lease.of != self.address() && (wanted.kind == Kind::Write || lease.ends != Asked::No)
        };
        if !free || state.leases.iter().any(in_the_way) {
            return Err(Errno::AGAIN);
        }
        if let Some(own) = state.leases.iter_mut().find(|lease| lease.of == self.address()) {
            (own.kind, own.descriptor) = (wanted.kind, descriptor);
            if wanted.kind == Kind::Read {
                own.shrinks = Asked::No;
            }
        } else {
            let (id, taker) = wanted.seen;
            state.leases.push(Lease {
                of: self.address(),
                kind: wanted.kind,
                ends: Asked::No,
                shrinks: Asked::No,
                owner: Arc::clone(owner),
                descriptor,
                id,
                taker,
            });
        }
        begin();
        drop(state);
        drop(ended);
        let address = Arc::as_ptr(&self.file).addr();
        find_or_keep(&mut lock(&LEASED), address, || Arc::clone(&self.file));
        self.file.freed.wake();
        Ok(())
    }

    /// Gives the lease of this use up; false if it has none.
    pub fn end_lease(&self) -> bool {
        let ended: Vec<Lease> = {
            let mut state = self.file.state();
            state.leases.extract_if(.., |lease| lease.of == self.address()).collect()
        };
        ended.iter().for_each(|lease| lease.owner.resign());
        if !ended.is_empty() {
            self.file.freed.wake();
        }
        !ended.is_empty()
    }

    /// The lease that this use has, or what that is to become.
    #[must_use]
    pub fn leased(&self) -> Option<Kind> {
        let mut state = self.file.state();
        let ended = time_out(&mut state.leases);
        let own = state.leases.iter().find(|lease| lease.of == self.address());
        let told = own.and_then(Lease::told);
        drop(state);
        drop(ended);
        told
    }

    /// Has leases end that exclude that the file is read, or that it is written. Waits for that,
    /// or fails once their owners are told.
    ///
    /// # Errors
    /// `EAGAIN` if it is not to wait; an interruption.
    pub fn break_leases(&self, call: &Call<'_>, writes: bool, waits: bool) -> Result<(), Failure> {
        let file = &self.file;
        let excludes = |lease: &Lease| lease.excludes(writes);
        if !file.state().leases.iter().any(excludes) {
            return Ok(());
        }
        if waits && waiter::never_waits() {
            // Whose call is made again uses the file all the while.
            let _ = call.waiter().wait(None);
            return Err(Failure::Interrupted(Restart::IfAsked));
        }
        let seconds = call.kernel.files.lease_break.load(Ordering::SeqCst);
        let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
        loop {
            file.freed.join(call.waiter());
            let mut told = Vec::new();
            let mut state = file.state();
            let ended = time_out(&mut state.leases);
            let end = seconds.and_then(|s| Instant::now().checked_add(Duration::from_secs(s)));
            for lease in state.leases.iter_mut().filter(|lease| lease.excludes(writes)) {
                let asked = lease.ends != Asked::No || !writes && lease.shrinks != Asked::No;
                if !asked {
                    *(if writes { &mut lease.ends } else { &mut lease.shrinks }) =
                        Asked::Until(end);
                    told.push((Arc::clone(&lease.owner), lease.descriptor));
                }
            }
            let left = state.leases.iter().filter(|lease| lease.excludes(writes));
            let ends = left.clone().filter_map(|lease| {
                [lease.ends.end(), lease.shrinks.end()].into_iter().flatten().min()
            });
            let (over, until) = (left.clone().next().is_none(), ends.min());
            drop(state);
            drop(ended);
            for (owner, descriptor) in told {
                owner.is_due(What::Message(descriptor));
            }
            if over {
                return Ok(());
            }
            if !waits {
                return Err(Errno::AGAIN.into());
            }
            if call.waiter().wait(until) == Woken::Interrupted {
                return Err(Failure::Interrupted(Restart::IfAsked));
            }
        }
    }
}
