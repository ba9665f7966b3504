//! The kernel: what all threads of the sentry share, and how it answers events.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::log::Log;
use crate::machine::{Arrival, Machine, Zygote};
use crate::panic_report::serving;
use crate::platform::clock::Clock;
use crate::platform::context::{Context, Register};
use crate::platform::{Event, EventKind, HostCall, HostPid, HostTid, Listener, Started, fast};
use crate::task::trace::Tracees;
use crate::task::waiter::lock;
use crate::task::{OuterIds, Pid, Status, Thread, Tree, WaitQueue, exit_process};
use crate::vfs::FileSystem;
use crate::vfs::tty::Terminals;
use crate::workers::Next;
use crate::{signal, syscalls};

/// A thread's registers, and where its stub will load them from.
#[derive(Clone, Debug)]
pub struct Frame {
    /// In the guest's memory.
    pub address: u64,
    /// The registers.
    pub context: Context,
}

impl Frame {
    /// The call that it came with is made again, with the same registers.
    pub fn make_again(&mut self) {
        const LENGTH: u64 = 2;
        let after = self.context.get(Register::Rip);
        self.context.set(Register::Rip, after.wrapping_sub(LENGTH));
    }
}

/// Hears how a process ended whose parent is outside.
pub type Ended = Box<dyn FnOnce(Status) + Send>;

/// Everything.
pub struct Kernel {
    /// Where events come from.
    pub listener: Arc<Listener>,
    /// What it shares with the kernels of the sandbox's other containers.
    pub machine: Arc<Machine>,
    /// The empty stub process that its stubs are copies of.
    pub(crate) zygote: Arc<Zygote>,
    /// Processes.
    pub tree: Arc<Mutex<Tree>>,
    /// What is known of tracees besides themselves.
    pub tracees: Arc<Tracees>,
    /// Woken when a child ends.
    pub children: Arc<WaitQueue>,
    /// Woken when a stopped process goes on.
    pub stops: Arc<WaitQueue>,
    /// Woken when a signal is queued: for sigtimedwait and signalfd.
    pub signals: Arc<WaitQueue>,
    /// How many of them wait for whom.
    pub queued: Arc<crate::task::queued::Queued>,
    /// Terminals.
    pub terminals: Terminals,
    /// What is to happen later.
    pub alarms: Arc<crate::time::Alarms>,
    /// Futexes.
    pub futexes: Arc<syscalls::futex::Table>,
    /// The file system.
    pub files: FileSystem,
    /// System V IPC.
    pub ipc: Arc<crate::ipc::Ipc>,
    /// Names and addresses of sockets.
    pub network: Arc<crate::net::Network>,
    /// `dmesg`
    pub log: Arc<Log>,
    logged: Mutex<HashSet<String>>,
    ended: Mutex<Option<Status>>,
    end: Condvar,
    /// Of its stub processes.
    pub(crate) ends: crate::stubs::Ends,
    outside: Arc<Mutex<HashMap<Pid, Ended>>>,
    /// When it started.
    pub booted: Instant,
    /// The clocks that guests read.
    pub clock: Arc<Clock>,
    /// The name of this machine.
    pub host_name: Arc<Mutex<Vec<u8>>>,
    /// That of its domain (NIS); empty: none.
    pub domain_name: Arc<Mutex<Vec<u8>>>,
    /// What judges calls of programs that are started from outside, and of what they start.
    pub filter: OnceLock<Arc<crate::task::filter::Filter>>,
    /// The ids that its container has.
    pub ids: OnceLock<OuterIds>,
    /// What its container's cgroup is limited to.
    pub limits: Limits,
    /// What it has used of processors.
    pub used: crate::vfs::Used,
}

/// What a container's kernel may have in common with that of another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Shared {
    /// Processes, by one numbering.
    pub processes: bool,
    /// System V IPC.
    pub ipc: bool,
    /// The machine's name.
    pub host_name: bool,
}

/// exit(2), which a stub's thread makes when its guest's thread is gone.
const EXIT: u64 = 60;
/// Bytes of stack of a thread that serves events.
const WORKER_STACK: usize = 256 << 10;

impl Kernel {
    /// Over a platform that [`crate::platform::start`] made.
    #[must_use]
    pub fn new(started: Started, files: FileSystem) -> Arc<Self> {
        let Started { listener, process, thread, clock } = started;
        let zygote = Zygote::new(process, thread, None);
        let machine = Arc::new(Machine::new(&zygote));
        Arc::new(Kernel {
            listener: Arc::new(listener),
            machine,
            zygote,
            tree: Arc::default(),
            tracees: Arc::default(),
            children: Arc::default(),
            stops: Arc::default(),
            signals: Arc::default(),
            queued: Arc::default(),
            terminals: Terminals::default(),
            alarms: Arc::default(),
            futexes: Arc::default(),
            files,
            ipc: Arc::default(),
            network: Arc::default(),
            log: Arc::default(),
            logged: Mutex::default(),
            ended: Mutex::new(None),
            end: Condvar::new(),
            ends: crate::stubs::Ends::default(),
            outside: Arc::default(),
            booted: Instant::now(),
            clock: Arc::new(clock),
            host_name: Arc::new(Mutex::new(b"caisson".to_vec())),
            domain_name: Arc::default(),
            filter: OnceLock::new(),
            ids: OnceLock::new(),
            limits: Limits::default(),
            used: Default::default(),
        })
    }

    /// The kernel of a further container in the sandbox of this one: files and terminals
    /// of its own, the same network, and what else is `shared`. Its stubs are copies of
    /// `zygote`.
    #[must_use]
    pub fn beside(&self, zygote: Arc<Zygote>, files: FileSystem, shared: Shared) -> Arc<Self> {
        fn or_new<T: Default>(shared: bool, of: &Arc<T>) -> Arc<T> {
            if shared { Arc::clone(of) } else { Arc::default() }
        }
        Arc::new(Kernel {
            listener: Arc::clone(&self.listener),
            machine: Arc::clone(&self.machine),
            zygote,
            tree: or_new(shared.processes, &self.tree),
            tracees: or_new(shared.processes, &self.tracees),
            children: or_new(shared.processes, &self.children),
            stops: or_new(shared.processes, &self.stops),
            signals: or_new(shared.processes, &self.signals),
            queued: Arc::default(),
            terminals: Terminals::default(),
            alarms: Arc::clone(&self.alarms),
            futexes: Arc::clone(&self.futexes),
            files,
            ipc: or_new(shared.ipc, &self.ipc),
            network: Arc::clone(&self.network),
            log: Arc::clone(&self.log),
            logged: Mutex::default(),
            ended: Mutex::new(None),
            end: Condvar::new(),
            ends: crate::stubs::Ends::default(),
            outside: or_new(shared.processes, &self.outside),
            booted: self.booted,
            clock: Arc::clone(&self.clock),
            host_name: or_new(shared.host_name, &self.host_name),
            domain_name: or_new(shared.host_name, &self.domain_name),
            filter: OnceLock::new(),
            ids: OnceLock::new(),
            limits: Limits::default(),
            used: Default::default(),
        })
    }

    /// The ids that there are in its container.
    #[must_use]
    pub fn ids(&self) -> &OuterIds {
        self.ids.get_or_init(OuterIds::default)
    }

    /// Starts serving events, and noticing ends of stubs.
    ///
    /// # Errors
    /// If a thread can't be started.
    pub fn serve(self: &Arc<Self>) -> std::io::Result<()> {
        let kernel = Arc::clone(self);
        let spawn = move |called| kernel.spawn_worker(called).is_ok();
        self.machine.workers.set_spawn(Box::new(spawn));
        // One waits, one rests.
        self.spawn_worker(false)?;
        self.spawn_worker(false)?;
        self.alarms.start()?;
        let workers = Arc::clone(&self.machine.workers);
        let processors = syscalls::system::processors();
        std::thread::Builder::new()
            .stack_size(WORKER_STACK)
            .spawn(move || workers.watch(processors))?;
        let kernel = Arc::clone(self);
        std::thread::Builder::new().stack_size(WORKER_STACK).spawn(move || {
            while let Ok((pid, killed_by)) = crate::platform::wait_for_any() {
                match kernel.machine.stub_ended(pid) {
                    Some((Some(kernel), space)) => {
                        crate::task::stub_ended(&kernel, &space, killed_by);
                        kernel.ends.one_reaped();
                    }
                    // Nobody is left whom it concerns.
                    Some((None, space)) => space.end(),
                    None => crate::platform::reap_stray(pid),
                }
            }
        })?;
        Ok(())
    }

    fn spawn_worker(self: &Arc<Self>, called: bool) -> std::io::Result<()> {
        let kernel = Arc::clone(self);
        let worker = std::thread::Builder::new().stack_size(WORKER_STACK);
        worker.spawn(move || kernel.work(called)).map(drop)
    }

    /// Serves events. A call may block as long as it likes, if its thread steps aside
    /// first, so that somebody waits for the next one.
    fn work(self: Arc<Self>, called: bool) {
        let workers = &self.machine.workers;
        self.machine.partner.is_new(None);
        let mut next = workers.join(called);
        loop {
            match next {
                Next::Event => match self.listener.receive() {
                    Ok(event) => {
                        workers.took();
                        self.handle(event);
                    }
                    Err(Errno::NOENT | Errno::INTR) => {
                        next = Next::Event;
                        continue;
                    }
                    Err(_) => return workers.leave(),
                },
                Next::Work(work) => work(),
                Next::End => return,
            }
            next = workers.next();
        }
    }

    fn handle(self: &Arc<Self>, event: Event) {
        match self.machine.thread(event.thread) {
            Some((kernel, thread)) => {
                let number = match event.kind {
                    EventKind::Call(call, _) => Some(call.number),
                    _ => None,
                };
                let _serving = serving(&thread, number);
                thread.serve(|| kernel.serve_thread(&thread, event));
            }
            None => self.machine.handle_stranger(&self.listener, &self.log, event),
        }
    }

    fn serve_thread(self: &Arc<Self>, thread: &Arc<Thread>, event: Event) {
        thread.posting.reported();
        // A signal may have come before a call that was approved; who waits, or reports a call
        // that was ordered because of that, is still to make it.
        let may_be_to_make = matches!(
            event.kind,
            EventKind::Signal { .. } | EventKind::Waits | EventKind::Ordered(_)
        );
        let flight = if may_be_to_make { None } else { thread.land() };
        match event.kind {
            EventKind::Missed { error, context } => match flight.filter(|flight| flight.by_stub) {
                Some(flight) => {
                    syscalls::missed(self, thread, event.id, &flight, (error, context));
                }
                None => self.violation(thread, "a report of a mapping that was not to be made"),
            },
            EventKind::Call(call, at) => {
                *lock(&thread.restart) = None;
                *lock(&thread.host_wait) = None;
                if syscalls::sites::called(self, thread, event.id, &call, at) {
                    return;
                }
                syscalls::direct(self, thread, event.id, call, at);
            }
            EventKind::Waits => {
                thread.posting.goes_on();
                self.listener.answer(event.id, 0);
            }
            EventKind::Signal { signal, info, context } => {
                signal::reported(self, thread, event.id, signal, (info, context));
            }
            EventKind::Ordered(call) => {
                let mut order = lock(&thread.order);
                match order.as_mut() {
                    Some(order) if order.call == call && !order.made => {
                        order.made = true;
                        if call.number != EXIT {
                            return self.listener.let_go_on(event.id);
                        }
                        // It does not come back, and its number will be another's.
                        self.detach(event.thread);
                        self.listener.let_go_on(event.id);
                        let place = lock(&thread.place).clone();
                        place.space.free_slot(place.slot);
                    }
                    _ => {
                        drop(order);
                        self.violation(thread, "a call from the stub that was not ordered");
                    }
                }
            }
            EventKind::Done { result, .. } => {
                let order = lock(&thread.order).take_if(|order| order.made);
                match order {
                    Some(order) => (order.then)(self, thread, event.id, result),
                    None => self.violation(thread, "a report of a call that was not ordered"),
                }
            }
        }
    }

    /// A number for the sixth argument of an ordered clone, and what to do when
    /// the child that carries it reports.
    pub fn expect_arrival(self: &Arc<Self>, arrival: Arrival) -> u64 {
        self.machine.expect_arrival(Arc::clone(self), arrival)
    }

    /// Forgets about an arrival: the clone failed.
    pub fn forget_arrival(&self, cookie: u64) {
        self.machine.forget_arrival(cookie);
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
            self.zygote.order(&self.listener, HostCall { number: MUNMAP, args })?;
        }
        // Its own end of the notifications, which is number 0.
        self.zygote.order(&self.listener, HostCall { number: CLOSE, args: [0; 6] })?;
        // Nothing of the sentry's own thread pointer is left.
        let args = [SET_FS, 0, 0, 0, 0, 0];
        self.zygote.order(&self.listener, HostCall { number: ARCH_PRCTL, args })?;
        if !fast::possible() {
            return Ok(());
        }
        let args = [SET_GS, fast::first_base(), 0, 0, 0, 0];
        self.zygote.order(&self.listener, HostCall { number: ARCH_PRCTL, args })
    }

    /// The empty stub process's number.
    #[must_use]
    pub fn zygote_pid(&self) -> HostPid {
        self.zygote.pid()
    }

    /// Ends the empty stub process, once no program is to be started any more.
    pub fn end_zygote(&self) {
        self.zygote.end();
    }

    /// Ties a stub's thread to a guest's thread.
    pub fn attach(self: &Arc<Self>, host: HostTid, thread: &Arc<Thread>) {
        lock(&thread.place).host = Some(host);
        self.machine.attach(host, Arc::clone(self), Arc::clone(thread));
    }

    /// Unties it.
    pub fn detach(&self, host: HostTid) {
        self.machine.detach(host);
    }

    /// Has the end of a space's stub noticed.
    pub fn adopt(self: &Arc<Self>, space: &Arc<crate::mm::Space>) {
        self.machine.adopt(self, space);
    }

    /// Unties all threads of a space whose stub has ended. Before it is reaped: until
    /// then the host gives their numbers to nobody.
    pub fn detach_all(&self, space: &Arc<crate::mm::Space>) {
        self.machine.detach_all(space);
    }

    /// Total and free bytes of memory: the host's, up to the container's limit.
    #[must_use]
    pub fn memory(&self) -> (u64, u64) {
        let (total, free) = syscalls::system::memory();
        let most = self.limits.memory().unwrap_or(u64::MAX);
        (total.min(most), free.min(most))
    }

    /// What a process is known by among those of all containers.
    #[must_use]
    pub fn tree_key(&self, pid: Pid) -> (usize, Pid) {
        (Arc::as_ptr(&self.tree).addr(), pid)
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

    /// The first of its threads that are left.
    #[must_use]
    pub fn first_thread(&self, pid: Pid) -> Option<Arc<Thread>> {
        lock(&self.tree).row(pid).and_then(|row| row.threads.values().next().cloned())
    }

    /// Logs a message the first time that `key` occurs; guests choose keys, so that only so
    /// many are told apart.
    pub fn log_once(&self, key: &str, message: &str) {
        const MOST: usize = 1000;
        let mut logged = lock(&self.logged);
        if logged.len() < MOST && logged.insert(key.to_owned()) {
            drop(logged);
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
