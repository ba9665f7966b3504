//! Who is told by signals what happens to an open file: `F_SETOWN`, `O_ASYNC`, `SIGURG`.
//!
//! Files call while their locks are held, so signals are sent a moment later: before the call
//! that is being served is answered, or waits.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::syscalls::Failure;
use crate::task::waiter::{Waiter, lock};
use crate::task::{Pid, Process, Thread, members};
use crate::vfs::{OpenFile, Ready};
use crate::workers::Parked;

use super::{Info, SI_KERNEL, SIGIO, SIGURG, Sender, Target, send, try_send};

/// Whom a file's signals are for, by the kernel's ids.
#[derive(Clone, Debug)]
pub enum Whose {
    /// A thread.
    Thread(Pid, Weak<Thread>),
    /// A process.
    Process(Pid, Weak<Process>),
    /// All processes of a group, until its id is another's.
    Group(Pid, Arc<AtomicBool>),
}

impl Whose {
    /// The thread, process or group of that id, as `F_SETOWN_EX` numbers them.
    ///
    /// # Errors
    /// `ESRCH` if there is none, `EINVAL` for another number.
    pub fn find(kernel: &Kernel, kind: i32, id: Pid) -> Result<Self, Errno> {
        let mut tree = lock(&kernel.tree);
        let found = match kind {
            0 => tree.thread(id).map(|thread| Whose::Thread(id, Arc::downgrade(thread))),
            1 => tree.process(id).map(|process| Whose::Process(id, Arc::downgrade(&process))),
            2 if tree.has_group(id) => Some(Whose::Group(id, tree.mark(id))),
            2 => None,
            _ => return Err(Errno::INVAL),
        };
        found.ok_or(Errno::SRCH)
    }

    /// Kind and id, if it is there still.
    fn told(&self, kernel: &Kernel) -> Option<(i32, Pid)> {
        match self {
            Whose::Thread(id, thread) => (thread.strong_count() > 0).then_some((0, *id)),
            Whose::Process(id, process) => (process.strong_count() > 0).then_some((1, *id)),
            Whose::Group(id, gone) => {
                let there = lock(&kernel.tree).has_group(*id) && !gone.load(Ordering::SeqCst);
                there.then_some((2, *id))
            }
        }
    }

    fn targets(&self, kernel: &Kernel) -> Vec<Target> {
        match self {
            Whose::Thread(_, thread) => thread.upgrade().map(Target::Thread).into_iter().collect(),
            Whose::Process(_, process) => {
                process.upgrade().map(Target::Process).into_iter().collect()
            }
            Whose::Group(id, gone) => {
                let members = members(kernel, *id);
                // Afterwards: then they are that group's.
                let own = members.into_iter().filter(|_| !gone.load(Ordering::SeqCst));
                own.map(Target::Process).collect()
            }
        }
    }
}

/// `POLL_*` of `<signal.h>`, with what poll(2) says then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    In = 1,
    Out = 2,
    Message = 3,
    Error = 4,
    Urgent = 5,
    HungUp = 6,
}

impl Event {
    fn band(self) -> i64 {
        match self {
            Event::In => 0x41,
            Event::Out => 0x304,
            Event::Message => 0x441,
            Event::Error => 0x8,
            Event::Urgent => 0x82,
            Event::HungUp => 0x18,
        }
    }
}

#[derive(Default)]
struct State {
    /// With who said so, on whose behalf signals are sent.
    whose: Option<(Weak<Kernel>, Whose, Sender)>,
    /// `F_SETSIG`
    signal: i32,
    /// The descriptor by which signals were asked for (`O_ASYNC`).
    asked: Option<i32>,
    /// What was ready and how much had arrived when it was last looked at.
    ready: Option<Ready>,
    arrived: u64,
}

/// The owner of an open file.
pub struct Owner {
    file: Weak<OpenFile>,
    state: Mutex<State>,
    waiter: Arc<Waiter>,
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner").finish_non_exhaustive()
    }
}

/// Of what an owner is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// What can be done with his file without waiting.
    Ready,
    /// Urgent data came.
    Urgent,
    /// Something of which this descriptor was asked for: it happened in his directory, or his
    /// lease is to end.
    Message(u32),
}

/// Owners, and of what they are to be told.
type Due = Vec<(Arc<Owner>, What)>;

thread_local! {
    /// Those that are to be told, if this thread serves a call.
    static DUE: RefCell<Option<Due>> = const { RefCell::new(None) };
    /// Where the owner is that starts to listen, and whether it was called meanwhile.
    static LISTENING: Cell<(usize, bool)> = const { Cell::new((0, false)) };
}

/// Runs `f`, which makes a call, and sends what signals come of it before it returns.
pub fn telling<T>(f: impl FnOnce() -> T) -> T {
    DUE.set(Some(Vec::new()));
    let result = f();
    tell();
    DUE.set(None);
    result
}

/// The calling thread is about to wait: whom it woke by signals is told now.
pub fn tell() {
    while let Some(due) = DUE.with_borrow_mut(|due| due.as_mut().and_then(take_all)) {
        due.into_iter().for_each(|(owner, what)| owner.tell(what));
    }
}

fn take_all<T>(list: &mut Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| std::mem::take(list))
}

/// So much of `length` bytes was written to a file: perhaps it is full.
pub fn wrote(file: &OpenFile, written: &Result<u64, Failure>, length: u64) {
    let full = match written {
        Ok(written) => *written < length,
        Err(failure) => *failure == Failure::Errno(Errno::AGAIN),
    };
    if let (true, Some(owner)) = (full, file.owner.get()) {
        owner.found_no_room();
    }
}

impl Owner {
    /// That of a file, which nobody is so far.
    #[must_use]
    pub fn of(file: &Arc<OpenFile>) -> &Arc<Self> {
        file.owner.get_or_init(|| {
            let owner = Arc::new_cyclic(|this: &Weak<Owner>| {
                let this = Weak::clone(this);
                let forward = move || {
                    if let Some(owner) = this.upgrade() {
                        owner.is_due(What::Ready);
                    }
                };
                let waiter = Arc::new(Waiter::forwarding(Box::new(forward)));
                Owner { file: Arc::downgrade(file), state: Mutex::default(), waiter }
            });
            if let Some(socket) = file.file.socket() {
                socket.set_owner(&owner);
            }
            owner
        })
    }

    /// Whose it is from now on.
    pub fn set(&self, kernel: &Arc<Kernel>, whose: Option<Whose>, by: Sender) {
        lock(&self.state).whose = whose.map(|whose| (Arc::downgrade(kernel), whose, by));
    }

    /// Whose it is, if it is nobody's so far.
    pub fn set_first(&self, kernel: &Arc<Kernel>, whose: Option<Whose>, by: Sender) {
        let mut state = lock(&self.state);
        if state.whose.is_none() {
            state.whose = whose.map(|whose| (Arc::downgrade(kernel), whose, by));
        }
    }

    /// It is nobody's any more, and has no signal of its own.
    pub fn resign(&self) {
        let mut state = lock(&self.state);
        (state.whose, state.signal) = (None, 0);
    }

    /// Kind and id of whose it is, if it is anybody's.
    #[must_use]
    pub fn whose(&self) -> Option<(i32, Pid)> {
        let (kernel, whose, _) = lock(&self.state).whose.clone()?;
        whose.told(&*kernel.upgrade()?)
    }

    /// `F_SETSIG`
    pub fn set_signal(&self, signal: i32) {
        lock(&self.state).signal = signal;
    }

    /// `F_GETSIG`
    #[must_use]
    pub fn signal(&self) -> i32 {
        lock(&self.state).signal
    }

    /// Signals are asked for by a descriptor, or no longer.
    pub fn ask(&self, descriptor: Option<u32>) {
        let asked = descriptor.map(u32::cast_signed);
        lock(&self.state).asked = asked;
        if let (Some(_), Some(file)) = (asked, self.file.upgrade()) {
            // First listen, then look.
            self.listen(&file);
            let now = (Some(file.file.ready()), file.file.arrived());
            let mut state = lock(&self.state);
            (state.ready, state.arrived) = now;
        }
    }

    /// That there is room is to be told of again.
    fn found_no_room(self: &Arc<Self>) {
        let asked = {
            let mut state = lock(&self.state);
            state.ready = state.ready.map(|ready| ready - Ready::OUT);
            state.asked.is_some()
        };
        if asked {
            self.is_due(What::Ready);
        }
    }

    /// Has itself called when something happens to its file. What calls at once is looked at
    /// anyway; a file that nobody can follow does so each time.
    fn listen(&self, file: &OpenFile) {
        for _ in 0..2 {
            LISTENING.set((std::ptr::from_ref(self).addr(), false));
            file.file.watch(&self.waiter);
            let (_, called) = LISTENING.replace((0, false));
            if !called {
                return;
            }
        }
    }

    /// Something has happened, of which the owner may be told.
    pub fn is_due(self: &Arc<Self>, what: What) {
        let own = Arc::as_ptr(self).addr();
        if what == What::Ready && LISTENING.get().0 == own {
            LISTENING.set((own, true));
            return;
        }
        let later = DUE.with_borrow_mut(|due| {
            let Some(list) = due else { return true };
            let same = |(owner, of): &(Arc<Owner>, What)| Arc::ptr_eq(owner, self) && *of == what;
            // Each of these is told of.
            if matches!(what, What::Message(_)) || !list.iter().any(same) {
                list.push((Arc::clone(self), what));
            }
            false
        });
        let kernel = || lock(&self.state).whose.as_ref().and_then(|(kernel, ..)| kernel.upgrade());
        if let (true, Some(kernel)) = (later, kernel()) {
            let this = Arc::clone(self);
            let work = move || this.tell(what);
            Parked::new(&kernel.machine.workers, None, Box::new(work)).go_on();
        }
    }

    fn tell(&self, what: What) {
        match what {
            What::Urgent => return self.send(Info::new(SIGURG, SI_KERNEL)),
            What::Message(number) => {
                return self.happened(Event::Message, number.cast_signed());
            }
            What::Ready => {}
        }
        let Some(file) = self.file.upgrade() else { return };
        if lock(&self.state).asked.is_none() {
            return;
        }
        self.listen(&file);
        let (now, arrived) = (file.file.ready(), file.file.arrived());
        let new = {
            let mut state = lock(&self.state);
            let before = state.ready.replace(now).unwrap_or(Ready::empty());
            let more = std::mem::replace(&mut state.arrived, arrived) != arrived;
            let again = if more { now & (Ready::IN | Ready::PRI) } else { Ready::empty() };
            now.difference(before) | again
        };
        let sockets = file.file.socket().is_some();
        let input = if new.contains(Ready::PRI) {
            Some(Event::Urgent)
        } else if new.contains(Ready::HUP) && sockets {
            Some(Event::HungUp)
        } else if new.contains(Ready::ERR) && sockets {
            Some(Event::Error)
        } else if new.intersects(Ready::IN | Ready::HUP | Ready::RDHUP) {
            Some(Event::In)
        } else {
            None
        };
        let output = match input {
            None => new.intersects(Ready::OUT | Ready::ERR),
            // Both have happened, or what is still to be read says nothing new.
            Some(Event::In) => new.contains(Ready::OUT),
            Some(_) => false,
        };
        for event in input.into_iter().chain(output.then_some(Event::Out)) {
            let descriptor = lock(&self.state).asked.unwrap_or(-1);
            self.happened(event, descriptor);
        }
    }

    fn happened(&self, event: Event, descriptor: i32) {
        let signal = lock(&self.state).signal;
        if signal == 0 {
            self.send(Info::new(SIGIO, SI_KERNEL));
            return;
        }
        let mut info = Info::new(signal, event as i32);
        info.set_band(event.band(), descriptor);
        self.send(info);
    }

    fn send(&self, info: Info) {
        let whose = lock(&self.state).whose.clone();
        let Some((kernel, whose, by)) = whose else { return };
        let Some(kernel) = kernel.upgrade() else { return };
        for target in whose.targets(&kernel) {
            // Where one that tells more finds no room, it is the plain one.
            if by.may_tell(target.process()) && try_send(&kernel, &target, info).is_err() {
                send(&kernel, &target, Info::new(SIGIO, SI_KERNEL));
            }
        }
    }
}
