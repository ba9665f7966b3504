//! The kernel: what all threads of the sentry share, and how it answers events.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Instant;

use rustix::io::Errno;

use crate::log::Log;
use crate::platform::clock::Clock;
use crate::platform::context::{Context, Register};
use crate::platform::{
    Event, EventKind, GuestMemory, HostCall, HostPid, HostTid, INJECT_ADDRESS, Listener, Slot,
    Started, StubProcess, fast,
};
use crate::task::waiter::lock;
use crate::task::{Order, Pid, Status, Thread, Tree, WaitQueue, exit_process};
use crate::vfs::FileSystem;
use crate::vfs::tty::Terminals;
use crate::{signal, syscalls};

/// A thread's registers, and where its stub will load them from.
#[derive(Clone, Debug)]
pub struct Frame {
    /// In the guest's memory.
    pub address: u64,
    /// The registers.
    pub context: Context,
}

/// Runs when a new stub thread reports for the first time.
pub type Arrival = Box<dyn FnOnce(&Arc<Kernel>, Event) + Send>;

/// The stub process that new ones are copies of.
struct Zygote {
    stub: Arc<StubProcess>,
    thread: HostTid,
    /// The event with which it waits; `None` while it works.
    parked: Mutex<Option<u64>>,
    changed: Condvar,
    /// The call that it was told to make.
    order: Mutex<Option<HostCall>>,
}

/// Hears how a process ended whose parent is outside.
pub type Ended = Box<dyn FnOnce(Status) + Send>;

/// Everything.
pub struct Kernel {
    /// Where events come from.
    pub listener: Listener,
    zygote: Zygote,
    by_host: RwLock<HashMap<HostTid, Arc<Thread>>>,
    arrivals: Mutex<HashMap<u64, Arrival>>,
    next_cookie: AtomicU64,
    /// Stub processes, by number.
    pub stubs: Mutex<HashMap<HostPid, Arc<crate::mm::Space>>>,
    /// Processes.
    pub tree: Mutex<Tree>,
    /// Woken when a child ends.
    pub children: WaitQueue,
    /// Woken when a stopped process goes on.
    pub stops: WaitQueue,
    /// Woken when a signal is queued: for sigtimedwait and signalfd.
    pub signals: WaitQueue,
    /// Terminals.
    pub terminals: Terminals,
    /// What is to happen later.
    pub alarms: Arc<crate::time::Alarms>,
    /// Futexes.
    pub futexes: syscalls::futex::Table,
    /// The file system.
    pub files: FileSystem,
    /// System V IPC.
    pub ipc: crate::ipc::Ipc,
    /// Names and addresses of sockets.
    pub network: crate::net::Network,
    /// `dmesg`
    pub log: Log,
    logged: Mutex<HashSet<String>>,
    idle: AtomicUsize,
    ended: Mutex<Option<Status>>,
    end: Condvar,
    outside: Mutex<HashMap<Pid, Ended>>,
    /// When it started.
    pub booted: Instant,
    /// The clocks that guests read.
    pub clock: Clock,
    /// Names of this machine.
    pub host_name: Mutex<Vec<u8>>,
}

/// exit(2), which a stub's thread makes when its guest's thread is gone.
const EXIT: u64 = 60;
/// Sentry threads that may wait for events without work.
const MAX_IDLE: usize = 3;
const WORKER_STACK: usize = 256 << 10;

impl Kernel {
    /// Over a platform that [`crate::platform::start`] made.
    #[must_use]
    pub fn new(started: Started, files: FileSystem) -> Arc<Self> {
        let Started { listener, process, thread, clock } = started;
        let zygote = Zygote {
            stub: Arc::new(StubProcess::new(process)),
            thread,
            parked: Mutex::new(None),
            changed: Condvar::new(),
            order: Mutex::new(None),
        };
        Arc::new(Kernel {
            listener,
            zygote,
            by_host: RwLock::default(),
            arrivals: Mutex::default(),
            next_cookie: AtomicU64::new(1),
            stubs: Mutex::default(),
            tree: Mutex::default(),
            children: WaitQueue::default(),
            stops: WaitQueue::default(),
            signals: WaitQueue::default(),
            terminals: Terminals::default(),
            alarms: Arc::default(),
            futexes: syscalls::futex::Table::default(),
            files,
            ipc: crate::ipc::Ipc::default(),
            network: crate::net::Network::default(),
            log: Log::default(),
            logged: Mutex::default(),
            idle: AtomicUsize::new(0),
            ended: Mutex::new(None),
            end: Condvar::new(),
            outside: Mutex::default(),
            booted: Instant::now(),
            clock,
            host_name: Mutex::new(b"caisson".to_vec()),
        })
    }

    /// Starts serving events, and noticing ends of stubs.
    ///
    /// # Errors
    /// If a thread can't be started.
    pub fn serve(self: &Arc<Self>) -> std::io::Result<()> {
        self.spawn_worker()?;
        let kernel = Arc::clone(self);
        let reaper = std::thread::Builder::new().stack_size(WORKER_STACK);
        reaper.spawn(move || {
            while let Ok((pid, killed_by)) = crate::platform::wait_for_any() {
                let space = lock(&kernel.stubs).remove(&pid);
                match space {
                    Some(space) => crate::task::stub_ended(&kernel, &space, killed_by),
                    None => crate::platform::reap_stray(pid),
                }
            }
        })?;
        Ok(())
    }

    fn spawn_worker(self: &Arc<Self>) -> std::io::Result<()> {
        self.idle.fetch_add(1, Ordering::SeqCst);
        let kernel = Arc::clone(self);
        let worker = std::thread::Builder::new().stack_size(WORKER_STACK);
        let started = worker.spawn(move || kernel.work());
        if started.is_err() {
            self.idle.fetch_sub(1, Ordering::SeqCst);
        }
        started.map(drop)
    }

    /// Serves events. There is always a thread that waits for the next one, so
    /// a call may block as long as it likes.
    fn work(self: Arc<Self>) {
        loop {
            let event = match self.listener.receive() {
                Ok(event) => event,
                Err(Errno::NOENT | Errno::INTR) => continue,
                Err(_) => {
                    self.idle.fetch_sub(1, Ordering::SeqCst);
                    return;
                }
            };
            if self.idle.fetch_sub(1, Ordering::SeqCst) == 1 {
                // Without a thread to take over, this one would still go on.
                let _ = self.spawn_worker();
            }
            self.handle(event);
            if self.idle.fetch_add(1, Ordering::SeqCst) >= MAX_IDLE {
                self.idle.fetch_sub(1, Ordering::SeqCst);
                return;
            }
        }
    }

    fn handle(self: &Arc<Self>, event: Event) {
        let thread = {
            let threads = self.by_host.read().unwrap_or_else(PoisonError::into_inner);
            threads.get(&event.thread).cloned()
        };
        let Some(thread) = thread else {
            self.handle_stranger(event);
            return;
        };
        let landed = thread.flying.swap(false, Ordering::SeqCst);
        let flight = landed.then(|| thread.space().land(thread.tid)).flatten();
        match event.kind {
            EventKind::Missed { error, context } => match flight {
                Some(flight) => {
                    syscalls::missed(self, &thread, event.id, &flight, (error, context));
                }
                None => self.violation(&thread, "a report of a mapping that was not to be made"),
            },
            EventKind::Call(call, at) => {
                *lock(&thread.restart) = None;
                *lock(&thread.host_wait) = None;
                if syscalls::sites::called(self, &thread, event.id, call.number, at) {
                    return;
                }
                syscalls::direct(self, &thread, event.id, call);
            }
            EventKind::Signal { signal, info, context } => {
                signal::reported(self, &thread, event.id, signal, (info, context));
            }
            EventKind::Ordered(call) => {
                let mut order = lock(&thread.order);
                match order.as_mut() {
                    Some(order) if order.call == call && !order.made => {
                        order.made = true;
                        if call.number == EXIT {
                            // It does not come back, and its number will be another's.
                            self.detach(event.thread);
                        }
                        self.listener.let_go_on(event.id);
                    }
                    _ => {
                        drop(order);
                        self.violation(&thread, "a call from the stub that was not ordered");
                    }
                }
            }
            EventKind::Done { result, .. } => {
                let order = lock(&thread.order).take_if(|order| order.made);
                match order {
                    Some(order) => (order.then)(self, &thread, event.id, result),
                    None => self.violation(&thread, "a report of a call that was not ordered"),
                }
            }
        }
    }

    /// A thread that is not a guest's yet: the first stub, or a new one.
    fn handle_stranger(self: &Arc<Self>, event: Event) {
        if event.thread == self.zygote.thread {
            match event.kind {
                EventKind::Ordered(call) if lock(&self.zygote.order).take() == Some(call) => {
                    self.listener.let_go_on(event.id);
                }
                EventKind::Done { .. } => {
                    *lock(&self.zygote.parked) = Some(event.id);
                    self.zygote.changed.notify_one();
                }
                _ => self.log.write("the first stub process misbehaves"),
            }
            return;
        }
        if let EventKind::Done { cookie, .. } = event.kind {
            let arrival = lock(&self.arrivals).remove(&cookie);
            if let Some(arrival) = arrival {
                arrival(self, event);
            }
        }
        // Others are threads that are being killed: no answer.
    }

    /// A number for the sixth argument of an ordered clone, and what to do when
    /// the child that carries it reports.
    pub fn expect_arrival(&self, arrival: Arrival) -> u64 {
        let cookie = self.next_cookie.fetch_add(1, Ordering::SeqCst);
        lock(&self.arrivals).insert(cookie, arrival);
        cookie
    }

    /// Forgets about an arrival: the clone failed.
    pub fn forget_arrival(&self, cookie: u64) {
        lock(&self.arrivals).remove(&cookie);
    }

    /// Makes the first stub process make a call, after `prepare` was told.
    fn order_zygote(&self, call: HostCall) -> Result<(), Errno> {
        let mut parked = lock(&self.zygote.parked);
        let id = loop {
            if let Some(id) = parked.take() {
                break id;
            }
            parked = self.zygote.changed.wait(parked).unwrap_or_else(PoisonError::into_inner);
        };
        let memory = GuestMemory::new(Arc::clone(&self.zygote.stub));
        let address = Slot(0).context();
        let context = ordered(Context::default(), address, &call);
        let written = memory.write(address, context.bytes());
        *lock(&self.zygote.order) = Some(call);
        self.listener.answer(id, 0);
        written.map_err(|_| Errno::FAULT)
    }

    /// Empties the first stub process. Events must be served already.
    ///
    /// # Errors
    /// If the host refuses.
    pub fn prepare(&self) -> Result<(), Errno> {
        const MUNMAP: u64 = 11;
        const CLOSE: u64 = 3;
        const ARCH_PRCTL: u64 = 158;
        const SET_FS: u64 = 0x1002;
        const SET_GS: u64 = 0x1001;
        for (start, length) in crate::platform::outside() {
            let args = [start, length, 0, 0, 0, 0];
            self.order_zygote(HostCall { number: MUNMAP, args })?;
        }
        // Its own end of the notifications, which is number 0.
        self.order_zygote(HostCall { number: CLOSE, args: [0; 6] })?;
        // Nothing of the sentry's own thread pointer is left.
        let args = [SET_FS, 0, 0, 0, 0, 0];
        self.order_zygote(HostCall { number: ARCH_PRCTL, args })?;
        if !fast::possible() {
            return Ok(());
        }
        let args = [SET_GS, fast::first_base(), 0, 0, 0, 0];
        self.order_zygote(HostCall { number: ARCH_PRCTL, args })
    }

    /// Makes an empty address space; `arrival` gets the first report of its
    /// thread, which has a context at [`Slot`] 0 to be loaded.
    ///
    /// # Errors
    /// If the first stub process can't be told.
    pub fn new_stub(&self, arrival: Arrival) -> Result<(), Errno> {
        const CLONE: u64 = 56;
        const CLONE_PARENT: u64 = 0x8000;
        let cookie = self.expect_arrival(arrival);
        let args = [CLONE_PARENT, Slot(0).context(), 0, 0, 0, cookie];
        self.order_zygote(HostCall { number: CLONE, args })
    }

    /// Ties a stub's thread to a guest's thread.
    pub fn attach(&self, host: HostTid, thread: &Arc<Thread>) {
        lock(&thread.place).host = Some(host);
        let mut threads = self.by_host.write().unwrap_or_else(PoisonError::into_inner);
        threads.insert(host, Arc::clone(thread));
    }

    /// Unties it.
    pub fn detach(&self, host: HostTid) {
        self.by_host.write().unwrap_or_else(PoisonError::into_inner).remove(&host);
    }

    /// Has the end of a space's stub noticed.
    pub fn adopt(&self, space: &Arc<crate::mm::Space>) {
        lock(&self.stubs).insert(space.stub.pid(), Arc::clone(space));
    }

    /// Whether a process executes the file of this device and inode.
    #[must_use]
    pub fn executes(&self, id: (u64, u64)) -> bool {
        lock(&self.stubs).values().any(|space| lock(&space.program).id == id)
    }

    /// Unties all threads of a space whose stub has ended. Before it is reaped: until
    /// then the host gives their numbers to nobody.
    pub fn detach_all(&self, space: &Arc<crate::mm::Space>) {
        let mut threads = self.by_host.write().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|_, thread| !Arc::ptr_eq(&lock(&thread.place).space, space));
    }

    /// Loads a frame's registers: the thread goes on.
    pub fn load(&self, thread: &Arc<Thread>, id: u64, frame: &mut Frame) {
        // Every signal of the host reaches the stub.
        frame.context.set_mask(0);
        let slot = lock(&thread.place).slot;
        let (base, size) = slot.stack();
        frame.context.set_stack(base, 0, size);
        if thread.memory().write(frame.address, frame.context.bytes()).is_err() {
            self.violation(thread, "a frame that can't be written");
            return;
        }
        self.listener.answer(id, 0);
    }

    /// Makes a thread that waits with a frame make a call of the host; `then`
    /// goes on. The frame is not loaded before.
    pub fn order(
        &self,
        thread: &Arc<Thread>,
        id: u64,
        frame: &Frame,
        call: HostCall,
        then: crate::task::thread::Then,
    ) {
        let mut context = ordered(frame.context, frame.address, &call);
        let (base, size) = lock(&thread.place).slot.stack();
        context.set_stack(base, 0, size);
        *lock(&thread.order) = Some(Order { call, made: false, then });
        if thread.memory().write(frame.address, context.bytes()).is_err() {
            self.violation(thread, "a frame that can't be written");
            return;
        }
        self.listener.answer(id, 0);
    }

    /// The guest's code did what no program does that means well: its process
    /// ends.
    pub fn violation(self: &Kernel, thread: &Arc<Thread>, what: &str) {
        let name = String::from_utf8_lossy(&lock(&thread.process.name)).into_owned();
        self.log.write(&format!("{name}[{}]: {what}: killed", thread.process.pid));
        // Its stub's end is noticed, and ends the guest's processes in it.
        thread.space().stub.kill();
    }

    /// Threads of a process.
    #[must_use]
    pub fn threads_of(&self, pid: Pid) -> Vec<Arc<Thread>> {
        lock(&self.tree).row(pid).map(|r| r.threads.values().cloned().collect()).unwrap_or_default()
    }

    /// Logs a message the first time that `key` occurs.
    pub fn log_once(&self, key: &str, message: &str) {
        if lock(&self.logged).insert(key.to_owned()) {
            self.log.write(message);
        }
    }

    /// Has somebody outside told when a process ends, which nobody inside waits for.
    pub fn tell_outside(&self, pid: Pid, ended: Ended) {
        lock(&self.outside).insert(pid, ended);
    }

    /// Has nobody told any more.
    pub fn forget_outside(&self, pid: Pid) -> Option<Ended> {
        lock(&self.outside).remove(&pid)
    }

    /// The first process has ended: so does the sandbox.
    pub fn finish(&self, status: Status) {
        lock(&self.ended).get_or_insert(status);
        self.end.notify_all();
    }

    /// Waits for that.
    #[must_use]
    pub fn wait_for_end(&self) -> Status {
        let mut ended = lock(&self.ended);
        loop {
            if let Some(status) = *ended {
                return status;
            }
            ended = self.end.wait(ended).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends the first process, and with it everything.
    pub fn kill_all(self: &Arc<Self>, signal: u8) {
        let process = lock(&self.tree).row(1).map(|row| Arc::clone(&row.process));
        if let Some(process) = process {
            exit_process(self, &process, Status::Killed(signal, false));
        }
    }
}

/// `base` changed to make `call` in the stub, and then to load what is at
/// `address`.
fn ordered(mut base: Context, address: u64, call: &HostCall) -> Context {
    base.set(Register::Rip, INJECT_ADDRESS);
    base.set(Register::Rsp, address);
    base.set(Register::Rax, call.number);
    base.set_args(call.args);
    // No signal of the host comes between.
    base.set_mask(u64::MAX);
    base
}
