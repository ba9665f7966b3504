//! What the kernels of a sandbox's containers share: whose a host's thread is, and the
//! stub processes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, Weak};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::log::Log;
use crate::mm::Space;
use crate::orders::ordered;
use crate::platform::context::Context;
use crate::platform::{
    Event, EventKind, GuestMemory, HostCall, HostPid, HostTid, Listener, Slot, StubProcess,
};
use crate::syscalls::Partner;
use crate::task::Thread;
use crate::task::waiter::lock;
use crate::workers::{Workers, let_others_serve};

/// Runs when a new stub thread reports for the first time, or an empty stub that it made none.
pub type Arrival = Box<dyn FnOnce(&Arc<Kernel>, Event) + Send>;

/// A stub process that new ones are copies of: one for each container, in its cgroup.
pub struct Zygote {
    stub: Arc<StubProcess>,
    thread: HostTid,
    /// The event with which it waits; `None` while it works.
    parked: Mutex<Option<u64>>,
    changed: Condvar,
    /// The call that it was told to make.
    order: Mutex<Option<HostCall>>,
    ended: AtomicBool,
}

impl Zygote {
    /// One that waits with an event, or has not reported yet.
    #[must_use]
    pub fn new(process: HostPid, thread: HostTid, parked: Option<u64>) -> Arc<Self> {
        Arc::new(Zygote {
            stub: Arc::new(StubProcess::new(process)),
            thread,
            parked: Mutex::new(parked),
            changed: Condvar::new(),
            order: Mutex::new(None),
            ended: AtomicBool::new(false),
        })
    }

    /// Its number, in the sentry's PID namespace.
    #[must_use]
    pub fn pid(&self) -> HostPid {
        self.stub.pid()
    }

    /// Has it make a call, once it waits.
    ///
    /// # Errors
    /// `EAGAIN` if it has ended, `EFAULT` if it can't be told.
    pub fn order(&self, listener: &Listener, call: HostCall) -> Result<(), Errno> {
        let mut parked = lock(&self.parked);
        let id = loop {
            if self.ended.load(Ordering::SeqCst) {
                return Err(Errno::AGAIN);
            }
            if let Some(id) = parked.take() {
                break id;
            }
            let_others_serve();
            parked = self.changed.wait(parked).unwrap_or_else(PoisonError::into_inner);
        };
        let memory = GuestMemory::new(Arc::clone(&self.stub));
        let address = Slot(0).context();
        let context = ordered(Context::default(), address, &call);
        let written = memory.write(address, context.bytes());
        *lock(&self.order) = Some(call);
        listener.answer(id, 0);
        written.map_err(|_| Errno::FAULT)
    }

    /// Ends it.
    pub fn end(&self) {
        self.note_end();
        self.stub.kill();
    }

    fn note_end(&self) {
        // Under the lock, so that nobody who has looked misses it.
        let _parked = lock(&self.parked);
        self.ended.store(true, Ordering::SeqCst);
        self.changed.notify_all();
    }
}

type Owned<T> = (Arc<Kernel>, T);
/// A space, and whose it is.
type Stub = (Weak<Kernel>, Arc<Space>);

/// See the module's documentation.
pub struct Machine {
    by_host: RwLock<HashMap<HostTid, Owned<Arc<Thread>>>>,
    arrivals: Mutex<HashMap<u64, Owned<Arrival>>>,
    next_cookie: AtomicU64,
    stubs: Mutex<HashMap<HostPid, Stub>>,
    zygotes: RwLock<HashMap<HostTid, Arc<Zygote>>>,
    /// Who serves events.
    pub workers: Arc<Workers>,
    /// Who serves posted calls.
    pub partner: Partner,
}

impl Machine {
    /// With one stub process.
    #[must_use]
    pub fn new(zygote: &Arc<Zygote>) -> Self {
        let machine = Machine {
            by_host: RwLock::default(),
            arrivals: Mutex::default(),
            next_cookie: AtomicU64::new(1),
            stubs: Mutex::default(),
            zygotes: RwLock::default(),
            workers: Arc::default(),
            partner: Partner::default(),
        };
        machine.add_zygote(zygote);
        machine
    }

    /// Has the reports of an empty stub process heeded.
    pub fn add_zygote(&self, zygote: &Arc<Zygote>) {
        let mut zygotes = self.zygotes.write().unwrap_or_else(PoisonError::into_inner);
        zygotes.insert(zygote.thread, Arc::clone(zygote));
    }

    /// Whose a host's thread is.
    #[must_use]
    pub fn thread(&self, host: HostTid) -> Option<Owned<Arc<Thread>>> {
        self.by_host.read().unwrap_or_else(PoisonError::into_inner).get(&host).cloned()
    }

    /// A thread that is not a guest's yet: an empty stub's, or a new one.
    pub fn handle_stranger(&self, listener: &Listener, log: &Log, event: Event) {
        let zygote = {
            let zygotes = self.zygotes.read().unwrap_or_else(PoisonError::into_inner);
            zygotes.get(&event.thread).cloned()
        };
        if let Some(zygote) = zygote {
            match event.kind {
                EventKind::Ordered(call) if lock(&zygote.order).take() == Some(call) => {
                    listener.let_go_on(event.id);
                }
                EventKind::Done { result, cookie } => {
                    *lock(&zygote.parked) = Some(event.id);
                    zygote.changed.notify_one();
                    let missing = (result < 0).then(|| lock(&self.arrivals).remove(&cookie));
                    if let Some((kernel, arrival)) = missing.flatten() {
                        arrival(&kernel, event);
                    }
                }
                _ => log.write("an empty stub process misbehaves"),
            }
            return;
        }
        if let EventKind::Done { cookie, .. } = event.kind {
            let arrival = lock(&self.arrivals).remove(&cookie);
            let process = event.thread.process();
            match arrival {
                Some((kernel, arrival)) => arrival(&kernel, event),
                // Its parent has ended while it was made.
                None if !lock(&self.stubs).contains_key(&process) => {
                    StubProcess::new(process).kill();
                }
                None => {}
            }
        }
        // Others are threads that are being killed: no answer.
    }

    /// See [`Kernel::expect_arrival`].
    pub fn expect_arrival(&self, kernel: Arc<Kernel>, arrival: Arrival) -> u64 {
        let cookie = self.next_cookie.fetch_add(1, Ordering::SeqCst);
        lock(&self.arrivals).insert(cookie, (kernel, arrival));
        cookie
    }

    /// See [`Kernel::forget_arrival`].
    pub fn forget_arrival(&self, cookie: u64) {
        let arrival = lock(&self.arrivals).remove(&cookie);
        drop(arrival);
    }

    /// See [`Kernel::attach`].
    pub fn attach(&self, host: HostTid, kernel: Arc<Kernel>, thread: Arc<Thread>) {
        let mut threads = self.by_host.write().unwrap_or_else(PoisonError::into_inner);
        threads.insert(host, (kernel, thread));
    }

    /// See [`Kernel::detach`].
    pub fn detach(&self, host: HostTid) {
        let gone = self.by_host.write().unwrap_or_else(PoisonError::into_inner).remove(&host);
        drop(gone);
    }

    /// See [`Kernel::detach_all`].
    pub fn detach_all(&self, space: &Arc<Space>) {
        let mut threads = self.by_host.write().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|_, (_, thread)| !Arc::ptr_eq(&lock(&thread.place).space, space));
    }

    /// See [`Kernel::adopt`].
    pub fn adopt(&self, kernel: &Arc<Kernel>, space: &Arc<Space>) {
        let owned = (Arc::downgrade(kernel), Arc::clone(space));
        lock(&self.stubs).insert(space.stub.pid(), owned);
    }

    /// Address spaces of all containers.
    #[must_use]
    pub fn spaces(&self) -> Vec<Arc<Space>> {
        lock(&self.stubs).values().map(|(_, space)| Arc::clone(space)).collect()
    }

    /// Whether a container has stub processes that have not been reaped.
    #[must_use]
    pub fn has_stubs(&self, kernel: &Arc<Kernel>) -> bool {
        let own = Arc::downgrade(kernel);
        lock(&self.stubs).values().any(|(of, _)| Weak::ptr_eq(of, &own))
    }

    /// A stub process has ended: what it was, and whose. `None` for an empty one.
    pub fn stub_ended(&self, pid: HostPid) -> Option<(Option<Arc<Kernel>>, Arc<Space>)> {
        let mut stubs = lock(&self.stubs);
        let found = stubs.remove(&pid).map(|(kernel, space)| (kernel.upgrade(), space));
        // With the lock held: who misses it finds it noticed.
        if let Some((Some(kernel), _)) = &found {
            kernel.ends.noticed();
        }
        drop(stubs);
        if found.is_none() {
            let mut zygotes = self.zygotes.write().unwrap_or_else(PoisonError::into_inner);
            let ended = |_: &HostTid, zygote: &mut Arc<Zygote>| zygote.pid() == pid;
            zygotes.extract_if(ended).for_each(|(_, zygote)| zygote.note_end());
        }
        found
    }

    /// Whether a container has stub processes that nobody uses any more.
    pub(crate) fn has_ending_stubs(&self, kernel: &Arc<Kernel>) -> bool {
        let own = Arc::downgrade(kernel);
        let is_ending = |(of, space): &Stub| Weak::ptr_eq(of, &own) && space.users() == 0;
        lock(&self.stubs).values().any(is_ending)
    }
}
