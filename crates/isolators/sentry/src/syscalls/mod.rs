//! System calls, one family a file, and the table that finds them.

mod advice;
mod aio;
mod approved;
mod capabilities;
mod copying;
mod descriptors;
mod epoll;
mod exec;
mod extended;
mod file_owner;
mod files;
pub mod futex;
mod gain;
mod growth;
mod handles;
mod identity;
mod inotify;
mod kcmp;
mod leases;
mod limits;
mod locking;
mod locks;
mod mapping;
mod memory;
mod messages;
mod mount_contexts;
mod mount_trees;
mod mounts;
mod namespaces;
mod notices;
mod owners;
mod parked;
mod paths;
mod pidfd;
mod polling;
mod posted;
mod prctl;
mod prctl_memory;
mod priorities;
mod process_vm;
mod processes;
mod ptrace;
mod ptrace_registers;
mod queues;
mod remapping;
mod scheduling;
mod seccomp;
mod semaphores;
mod setns;
mod shared_memory;
mod signals;
mod site_forms;
pub mod site_unwinding;
pub mod sites;
mod sockets;
pub mod system;
mod table;
mod threads;
mod time;
mod timers;
mod transfer;
mod unserved;
mod usage;
pub mod views;
mod wait;
pub mod watched;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

pub use approved::missed;
pub use exec::start_first;
pub use growth::grow;
use limits::allow_growth;
pub use limits::{allow_size, watch as watch_processor_time};
pub(crate) use mounts::MOUNTABLE;
pub use posted::Partner;
pub use prctl::Habits;
use rustix::io::Errno;
pub use scheduling::RESET_ON_FORK;
pub use table::{Framed, Handler, Row, TABLE};
pub use unserved::call_name;

use crate::kernel::{Frame, Kernel};
use crate::panic_report::{provoked, serving};
use crate::platform::context::Register;
use crate::platform::{GuestMemory, HostCall, may_be_made};
use crate::signal::{self, owner};
use crate::task::waiter::{self, Leave, Waiter, Woken, lock};
use crate::task::{Restart, Thread};
use crate::vfs::{Entry, FileTable, OpenFile, Walker, asked_brokers};

/// A system call that a thread makes.
pub struct Call<'a> {
    /// The kernel.
    pub kernel: &'a Arc<Kernel>,
    /// The thread.
    pub thread: &'a Arc<Thread>,
    /// Its arguments.
    pub args: [u64; 6],
    /// Names the answer.
    pub id: u64,
    /// Until when it waits, if it goes on with a call that was interrupted.
    pub continued: Option<Instant>,
    /// The file that it was made on, if it has waited since.
    pub held: Option<Held>,
}

/// A descriptor, and the file that it stood for.
pub type Held = (u32, Arc<OpenFile>);

/// Why a call has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It failed.
    Errno(Errno),
    /// A signal is to be handled first.
    Interrupted(Restart),
    /// It was answered, or will be by who ends its wait.
    Answered,
    /// It is to be served with all registers: [`Handler::Both`].
    NeedsFrame,
    /// The host makes it, with the registers that it reported. Only for calls that
    /// do no more than write what the thread may know to the guest's memory.
    Host,
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Failure::Errno(errno)
    }
}

impl From<crate::platform::Fault> for Failure {
    fn from(_: crate::platform::Fault) -> Self {
        Failure::Errno(Errno::FAULT)
    }
}

/// What a call returns.
pub type Outcome = Result<i64, Failure>;

/// `ERESTARTSYS`: never seen by a guest; the host makes the call again.
const RESTART: i64 = -512;

fn value(outcome: Outcome, thread: &Thread) -> i64 {
    match outcome {
        Ok(value) => value,
        Err(Failure::Errno(errno)) => -i64::from(errno.raw_os_error()),
        Err(Failure::Interrupted(how)) => {
            *lock(&thread.restart) = Some(how);
            // So that the host has a signal for it.
            thread.kick();
            RESTART
        }
        Err(Failure::NeedsFrame) => {
            thread.reframed.store(true, Ordering::SeqCst);
            thread.kick();
            RESTART
        }
        // Answered before.
        Err(Failure::Host | Failure::Answered) => 0,
    }
}

/// Serves a call that was reported without a frame, and answers it.
pub fn direct(kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, host: HostCall, at: u64) {
    if thread.doomed.load(Ordering::SeqCst) {
        thread.kick();
        kernel.listener.answer(id, 0);
        return;
    }
    let continued = lock(&thread.continued).take();
    let call = Call { kernel, thread, args: host.args, id, continued, held: None };
    match watched::before(&call, host.number, at) {
        watched::Before::Serve => {}
        watched::Before::Fail(failure) => {
            return kernel.listener.answer(id, value(Err(failure), thread));
        }
        watched::Before::Answer(value) => return kernel.listener.answer(id, value),
        watched::Before::Frame => {
            *lock(&thread.continued) = continued;
            return kernel.listener.answer(id, value(Err(Failure::NeedsFrame), thread));
        }
    }
    serve(kernel, thread, id, host, (continued, None));
}

/// Makes a call that may be made, and answers it unless it is parked. `since` is what it
/// was made with, if it has waited.
fn serve(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: u64,
    host: HostCall,
    since: (Option<Instant>, Option<Held>),
) {
    let (continued, held) = since;
    let _serving = serving(thread, Some(host.number));
    let mut call = Call { kernel, thread, args: host.args, id, continued, held };
    let let_be = thread.let_be.swap(false, Ordering::SeqCst);
    let asked = asked_brokers();
    let outcome = match table::find(host.number) {
        Some(Row { handler: Handler::Plain(handler) | Handler::Both(handler, _), .. }) => loop {
            let leave = parked::leave(&call, host.number);
            if leave != Leave::Never && call.held.is_none() {
                call.held = parked::file(&call, host.number);
            }
            let (outcome, left) = owner::telling(|| waiter::leaving(leave, || handler(&call)));
            let interrupted =
                matches!(outcome, Err(Failure::Interrupted(_) | Failure::Errno(Errno::INTR)));
            let Some(end) = left.filter(|_| interrupted) else { break outcome };
            if parked::park(&call, host.number, end) {
                return;
            }
            call.continued = end;
        },
        Some(Row { handler: Handler::Own(handler), .. }) => {
            handler(&call);
            return;
        }
        Some(Row { handler: Handler::Framed(_), .. }) | None => missing(&call, host.number),
        Some(Row { handler: Handler::Refused(errno), .. }) => refused(&call, host.number, *errno),
    };
    // Once it is answered, the guest may close the file for good.
    call.held = None;
    if outcome == Err(Failure::Answered) {
        return;
    }
    if outcome == Err(Failure::NeedsFrame) && let_be {
        thread.let_be.store(true, Ordering::SeqCst);
    }
    if outcome == Err(Failure::Host) {
        if may_be_made(&host).is_some() {
            // It is back soon, and has nothing to do with us until then.
            thread.posting.goes_on();
        }
        kernel.listener.let_go_on(id);
        return;
    }
    let value = value(outcome, thread);
    if asked_brokers() != asked {
        thread.posting.was_asked_for();
    }
    thread.posting.goes_on();
    kernel.listener.answer(id, value);
}

/// Serves a call that came with its frame, and lets the thread go on.
pub fn with_frame(kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, mut frame: Frame) {
    let mut id = id;
    if thread.is_traced() || thread.is_guarded() {
        match watched::enter(kernel, thread, &mut id, &mut frame) {
            watched::Next::Serve => {}
            watched::Next::Done => return,
        }
    }
    let number = frame.context.get(Register::Rax);
    let _serving = serving(thread, Some(number));
    let call = Call { kernel, thread, args: frame.context.args(), id, continued: None, held: None };
    let outcome = match table::find(number) {
        Some(Row { handler: Handler::Framed(handler) | Handler::Both(_, handler), .. }) => {
            match handler(&call, &frame) {
                // It goes on by itself.
                Ok(None) => return,
                Ok(Some(value)) => Ok(value),
                Err(failure) => Err(failure),
            }
        }
        Some(Row { handler: Handler::Refused(errno), .. }) => refused(&call, number, *errno),
        _ => missing(&call, number),
    };
    let value = match outcome {
        Err(Failure::Answered) => return,
        Err(Failure::Interrupted(_) | Failure::NeedsFrame | Failure::Host) => {
            -i64::from(Errno::INTR.raw_os_error())
        }
        other => value(other, thread),
    };
    frame.context.set(Register::Rax, value.cast_unsigned());
    signal::resume(kernel, thread, id, &mut frame);
}

/// What Linux without that call returns.
fn missing(call: &Call<'_>, number: u64) -> Outcome {
    provoked::by(number);
    refused(call, number, Errno::NOSYS)
}

/// What is said of a call that is not served.
fn refused(call: &Call<'_>, number: u64, errno: Errno) -> Outcome {
    unserved::tell(call, number, errno);
    Err(errno.into())
}

impl Call<'_> {
    /// An argument; zero beyond the sixth.
    #[must_use]
    pub fn arg(&self, index: usize) -> u64 {
        self.args.get(index).copied().unwrap_or(0)
    }

    /// An argument of type `int`: the upper half of the register is ignored.
    #[must_use]
    pub fn int(&self, index: usize) -> i32 {
        self.uint(index).cast_signed()
    }

    /// An argument of type `unsigned int`.
    #[must_use]
    pub fn uint(&self, index: usize) -> u32 {
        u32::try_from(self.arg(index) & 0xffff_ffff).unwrap_or(0)
    }

    /// The thread's memory.
    #[must_use]
    pub fn memory(&self) -> GuestMemory {
        self.thread.memory()
    }

    /// Its process's files.
    #[must_use]
    pub fn files(&self) -> Arc<FileTable> {
        Arc::clone(&lock(&self.thread.process.files))
    }

    /// The file of a descriptor argument.
    ///
    /// # Errors
    /// `EBADF`
    pub fn file(&self, index: usize) -> Result<Arc<OpenFile>, Errno> {
        let number = self.uint(index);
        match parked::held(self.held.as_ref(), number) {
            Some(file) if index == 0 => Ok(file),
            _ => self.files().get(number),
        }
    }

    /// The same of one that is open as more than a name.
    ///
    /// # Errors
    /// `EBADF`
    pub fn open_file(&self, index: usize) -> Result<Arc<OpenFile>, Errno> {
        self.file(index).and_then(OpenFile::opened)
    }

    /// A path argument.
    ///
    /// # Errors
    /// `EFAULT`, `ENAMETOOLONG`
    pub fn path(&self, index: usize) -> Result<Vec<u8>, Errno> {
        self.memory().read_string(self.arg(index), 4096)?.ok_or(Errno::NAMETOOLONG)
    }

    /// The thread's working directory.
    #[must_use]
    pub fn working_directory(&self) -> Arc<Entry> {
        Arc::clone(&lock(&self.thread.fs().directories).current)
    }

    /// Who walks the thread's paths.
    #[must_use]
    pub fn walker(&self) -> Walker<'_> {
        let process = &self.thread.process;
        Walker {
            kernel: self.kernel,
            pid: process.pid,
            tid: self.thread.tid,
            root: Arc::clone(&lock(&self.thread.fs().directories).root),
            credentials: lock(&self.thread.credentials).clone(),
            only_looks: false,
        }
    }

    /// Where the thread's calls block.
    #[must_use]
    pub fn waiter(&self) -> &Arc<Waiter> {
        &self.thread.waiter
    }

    /// Tries until there is something, whenever what `watch` listens to has changed.
    ///
    /// # Errors
    /// What the attempt says; an interruption.
    pub fn until<T>(
        &self,
        watch: impl Fn(&Arc<Waiter>),
        mut attempt: impl FnMut() -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        let waiter = self.waiter();
        let mut watched = false;
        loop {
            // First listen, then try: only what changes afterwards ends the wait. What
            // poll(2) says is not asked, for it may see it differently.
            if watched {
                watch(waiter);
            }
            if let Some(found) = attempt()? {
                return Ok(found);
            }
            if std::mem::replace(&mut watched, true)
                && (waiter.is_interrupted() || waiter.wait(None) == Woken::Interrupted)
            {
                return Err(Failure::Interrupted(Restart::IfAsked));
            }
        }
    }
}
