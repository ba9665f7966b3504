//! A guest's thread and the stub thread that runs it.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::ipc::semaphores::UndoList;
use crate::kernel::Kernel;
use crate::mm::{Areas, Flight, Program, Sites, Space};
use crate::platform::{GuestMemory, HostCall, HostTid, Slot};
use crate::signal::ThreadSignals;
use crate::syscalls::Habits;
use crate::time::Key;
use crate::workers::let_others_serve;

use super::filter::Guard;
use super::leaving::settled;
use super::namespaces::Namespaces;
use super::posting::Posting;
use super::process::Fs;
use super::trace::Trace;
use super::waiter::{Waiter, lock};
use super::{Credentials, Pid, Process};

/// What goes on when a stub thread has made an ordered call: gets the event that
/// waits for an answer, and what the call returned.
pub type Then = Box<dyn FnOnce(&Arc<Kernel>, &Arc<Thread>, u64, i64) + Send>;

/// Ends a wait that a signal interrupts.
pub type Parked = Box<dyn FnOnce() + Send>;

/// A call that a stub thread was told to make.
pub struct Order {
    /// Exactly this one.
    pub call: HostCall,
    /// Whether the host was told to make it.
    pub made: bool,
    /// What goes on afterwards.
    pub then: Then,
    /// Whether its thread holds the turn to change its space.
    pub holds_turn: bool,
    /// Whether a signal ends it, which is told as the host's restart code.
    pub interruptible: bool,
}

/// How a call that a signal interrupted goes on, if a handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Again, if the handler was set with `SA_RESTART`; else `EINTR`.
    IfAsked,
    /// `EINTR`; again, if no handler runs.
    Never,
    /// Again, whatever the handler was set with.
    Always,
    /// Again, but then it waits no longer than until this.
    Until(Instant),
    /// `EINTR`, after a stop, too (signal(7)); else again, until this at most.
    UnlessStopped(Option<Instant>),
}

/// Where a thread runs.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its address space.
    pub space: Arc<Space>,
    /// The stub's thread; `None` until it has reported for the first time.
    pub host: Option<HostTid>,
    /// Its part of the stub's memory.
    pub slot: Slot,
    /// Whether it counts as a user of the space. Not the child of a fork before it
    /// has reported: `space` is its parent's until then.
    pub counted: bool,
}

/// A thread of the guest.
pub struct Thread {
    /// Its id; that of the process for the first one.
    pub tid: Pid,
    /// Its process.
    pub process: Arc<Process>,
    /// Who it is: shared with the process if it is its first one.
    pub credentials: Arc<Mutex<Credentials>>,
    /// `comm`: shared with the process if it is its first one.
    pub name: Arc<Mutex<Vec<u8>>>,
    /// What it has set of itself: shared with the process if it is its first one.
    pub habits: Arc<Mutex<Habits>>,
    /// Where it is in the file system.
    fs: Mutex<Arc<Fs>>,
    /// Its namespaces, but that of users.
    namespaces: Mutex<Namespaces>,
    /// Operations of semaphores that are taken back, once it needed a list.
    pub undo: Mutex<Option<Arc<UndoList>>>,
    /// Where it runs.
    pub place: Mutex<Place>,
    /// Mask, pending signals, alternate stack.
    pub signals: Mutex<ThreadSignals>,
    /// Where its calls block.
    pub waiter: Arc<Waiter>,
    /// When a call of its that waits without a thread is looked at.
    pub alarm: Mutex<Option<(Instant, Key)>>,
    /// Interrupts a call that waits without a thread of the sentry's.
    pub parked: Mutex<Option<Parked>>,
    /// `set_tid_address`
    pub clear_tid: AtomicU64,
    /// The list of robust futexes; kept for `get_robust_list`.
    pub robust_list: AtomicU64,
    /// It is to end as soon as it reports.
    pub doomed: AtomicBool,
    /// How many threads of the sentry are at something for it.
    serving: AtomicU32,
    /// The child of its fork, until the host has made it, and what the child's arrival is
    /// known by.
    pub making: Mutex<Option<(Arc<Thread>, u64)>>,
    /// What it maps, executes and has rewritten, of a fork's child until it arrives or ends.
    pub inherited: Mutex<Option<Box<(Areas, Program, Sites)>>>,
    /// What its stub was told to do.
    pub order: Mutex<Option<Order>>,
    /// A change of its space may be in flight ([`Flight`]).
    pub flying: AtomicBool,
    /// It was let wait by the host, with these arguments.
    pub host_wait: Mutex<Option<[u64; 6]>>,
    /// Set between the interruption of a call and the report of the signal.
    pub restart: Mutex<Option<Restart>>,
    /// Until when the next call waits, if it goes on with one that no handler
    /// interrupted.
    pub continued: Mutex<Option<Instant>>,
    /// The select(2) that was judged: made again, after a wait, it knows its files.
    pub selects: AtomicU64,
    /// It waits for a child that has its memory: nothing but its death ends that.
    pub lent: AtomicBool,
    /// The present call is to be served with all registers, once they are
    /// reported.
    pub reframed: AtomicBool,
    /// Who listens to its filters has let the present call be made.
    pub let_be: AtomicBool,
    /// That call, by number and arguments.
    let_through: Mutex<(u64, [u64; 6])>,
    /// The call site that is to be rewritten before the present call is made; or 0.
    pub site: AtomicU64,
    /// What its process has in view is to be changed before the present call is made.
    pub looks: AtomicBool,
    /// When its posted calls may be served.
    pub posting: Posting,
    /// Who traces it, and what of.
    pub trace: Mutex<Trace>,
    /// Whether anybody does.
    tracer: AtomicI32,
    /// What its own filters let it do.
    pub guard: Mutex<Guard>,
    /// Whether there are any.
    guarded: AtomicBool,
    /// The stop of its process that it counts in, by number.
    pub stop: AtomicU64,
    /// Where the registers are that a signal saved which interrupted an order.
    pub nested: Mutex<Option<u64>>,
    /// Processors that it chose; 0 for all.
    pub affinity: AtomicU64,
    /// `SCHED_*`
    pub policy: AtomicI32,
}

impl Thread {
    /// A thread that has not reported yet.
    #[must_use]
    pub fn new(tid: Pid, process: Arc<Process>, place: Place, signals: ThreadSignals) -> Self {
        let own = process.credentials();
        let (credentials, name, habits) = if tid == process.pid {
            (own, Arc::clone(&process.name), Arc::clone(&process.habits))
        } else {
            let name = lock(&process.name).clone();
            (Arc::new(Mutex::new(lock(&own).clone())), Arc::new(Mutex::new(name)), Arc::default())
        };
        let (fs, namespaces) = (process.fs(), lock(&process.namespaces).clone());
        Thread {
            habits,
            fs: Mutex::new(fs),
            namespaces: Mutex::new(namespaces),
            undo: Mutex::default(),
            tid,
            waiter: Arc::new(Waiter::of(&process.resting)),
            process,
            credentials,
            name,
            place: Mutex::new(place),
            signals: Mutex::new(signals),
            alarm: Mutex::new(None),
            parked: Mutex::new(None),
            clear_tid: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            doomed: AtomicBool::new(false),
            serving: AtomicU32::new(0),
            making: Mutex::new(None),
            inherited: Mutex::new(None),
            order: Mutex::new(None),
            flying: AtomicBool::new(false),
            host_wait: Mutex::new(None),
            restart: Mutex::new(None),
            continued: Mutex::new(None),
            selects: AtomicU64::new(0),
            lent: AtomicBool::new(false),
            reframed: AtomicBool::new(false),
            let_be: AtomicBool::new(false),
            let_through: Mutex::default(),
            site: AtomicU64::new(0),
            looks: AtomicBool::new(false),
            posting: Posting::default(),
            trace: Mutex::default(),
            tracer: AtomicI32::new(0),
            guard: Mutex::default(),
            guarded: AtomicBool::new(false),
            stop: AtomicU64::new(0),
            nested: Mutex::new(None),
            affinity: AtomicU64::new(0),
            policy: AtomicI32::new(0),
        }
    }

    /// Whether it is a user of this space. A fork's child that has not reported yet has its
    /// parent's place, but lives elsewhere.
    #[must_use]
    pub fn lives_in(&self, space: &Arc<Space>) -> bool {
        let place = lock(&self.place);
        place.counted && Arc::ptr_eq(&place.space, space)
    }

    /// What it was let change is changed, as it has reported or posted a call since: the change.
    pub fn land(&self) -> Option<Flight> {
        self.posting.take_approved();
        drop(self.posting.take_lent());
        let flies = self.flying.swap(false, Ordering::SeqCst);
        flies.then(|| self.space().land(self.tid)).flatten()
    }

    /// Where it is in the file system.
    #[must_use]
    pub fn fs(&self) -> Arc<Fs> {
        Arc::clone(&lock(&self.fs))
    }

    /// Whether one of those others is wherever it goes (`CLONE_FS`). Not to be called with the
    /// tree locked.
    #[must_use]
    pub fn shares_fs(&self, kernel: &Kernel, others: impl Fn(&Thread) -> bool) -> bool {
        let own = self.fs();
        let held = 2 + usize::from(Arc::ptr_eq(&own, &self.process.fs()));
        // This one, the thread's, the process's; others may look at it for a moment.
        if Arc::strong_count(&own) <= held {
            return false;
        }
        let tree = lock(&kernel.tree);
        let mut threads = tree.rows().flat_map(|(_, row)| row.threads.values());
        threads.any(|other| others(other) && Arc::ptr_eq(&other.fs(), &own))
    }

    /// It is where another one is, or has a place of its own from now on.
    pub fn set_fs(&self, fs: Arc<Fs>) {
        if self.tid == self.process.pid {
            self.process.set_fs(Arc::clone(&fs));
        }
        *lock(&self.fs) = fs;
    }

    /// Its namespaces.
    #[must_use]
    pub fn namespaces(&self) -> Namespaces {
        lock(&self.namespaces).clone()
    }

    /// Puts it into others.
    pub fn set_namespaces(&self, namespaces: Namespaces) {
        if self.tid == self.process.pid {
            self.process.go_to(namespaces.clone());
        }
        *lock(&self.namespaces) = namespaces;
    }

    /// Whoever does something for it says so first, and then looks whether it is doomed.
    pub fn serve<T>(&self, f: impl FnOnce() -> T) -> T {
        self.begin();
        let result = f();
        self.finish();
        result
    }

    /// The first half of [`Self::serve`].
    pub fn begin(&self) {
        self.serving.fetch_add(1, Ordering::SeqCst);
    }

    /// The other half, once for each first one.
    pub fn finish(&self) {
        let last = self.serving.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && self.doomed.load(Ordering::SeqCst) {
            settled(self);
        }
    }

    /// It has ended, and is in none.
    pub(super) fn leave_namespaces(&self) {
        drop(self.posting.take_lent());
        let none = Namespaces { ended: true, ..Namespaces::default() };
        let own = std::mem::replace(&mut *lock(&self.namespaces), none);
        drop(own);
    }

    /// Whether somebody does: of one that is doomed, a call that has begun before, and perhaps
    /// waits.
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.serving.load(Ordering::SeqCst) > 0
    }

    /// Its id as it knows it itself: as its PID namespace has it.
    #[must_use]
    pub fn number(&self) -> Pid {
        self.process.number_of(self.tid)
    }

    /// Whether it has a tracer.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.tracer.load(Ordering::SeqCst) != 0
    }

    /// Whether filters judge its calls.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        self.guarded.load(Ordering::SeqCst)
    }

    /// Its present call, by number and arguments, may be made whatever filters say.
    pub fn let_be(&self, call: (u64, [u64; 6])) {
        *lock(&self.let_through) = call;
        self.let_be.store(true, Ordering::SeqCst);
    }

    /// Whether that was said of this call; once. Its registers may come from memory of the
    /// guest's, where another thread can have changed them.
    #[must_use]
    pub fn is_let_be(&self, call: (u64, [u64; 6])) -> bool {
        self.let_be.swap(false, Ordering::SeqCst) && *lock(&self.let_through) == call
    }

    /// They do now: no filter is ever taken away.
    pub fn set_guarded(&self) {
        self.guarded.store(true, Ordering::SeqCst);
    }

    /// Has another one's filters from the start.
    pub fn guard_as(&self, guard: Guard) {
        if guard.mode() != 0 {
            *lock(&self.guard) = guard;
            self.set_guarded();
        }
    }

    /// The process of who traces it: told without the lock of `trace`, which a tracer holds
    /// while the thread makes a call for it.
    #[must_use]
    pub fn tracer(&self) -> Option<Pid> {
        Some(self.tracer.load(Ordering::SeqCst)).filter(|pid| *pid != 0)
    }

    /// It has one now, or none any more. For who holds the lock of `trace`.
    pub fn watch(&self, tracer: Option<Pid>) {
        self.tracer.store(tracer.unwrap_or(0), Ordering::SeqCst);
    }

    /// Its address space.
    #[must_use]
    pub fn space(&self) -> Arc<Space> {
        Arc::clone(&lock(&self.place).space)
    }

    /// Its own address space, which the child of a fork has once it has reported for the
    /// first time: waits for that.
    #[must_use]
    pub fn own_space(&self) -> Arc<Space> {
        while !lock(&self.place).counted && !self.doomed.load(Ordering::SeqCst) {
            let_others_serve();
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
        self.space()
    }

    /// Its memory.
    #[must_use]
    pub fn memory(&self) -> GuestMemory {
        lock(&self.place).space.memory.clone()
    }

    /// Makes it report, and its call return, soon.
    pub fn interrupt(&self) {
        self.waiter.interrupt();
        self.rouse();
    }

    /// The rest of it, for who has told the waiter of a signal.
    pub fn rouse(&self) {
        let parked = lock(&self.parked).take();
        if let Some(interrupt) = parked {
            interrupt();
        }
        let place = lock(&self.place);
        if let Some(host) = place.host {
            place.space.stub.kick(host);
        }
    }

    /// Makes its stub report once the present call was answered.
    pub fn kick(&self) {
        let place = lock(&self.place);
        if let Some(host) = place.host {
            place.space.stub.kick(host);
        }
    }
}
