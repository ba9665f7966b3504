//! execve(2): a program in a fresh address space.

mod alone;
mod find;
mod plan;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::kernel::{Frame, Kernel};
use crate::loader::Image;
use crate::mm::Space;
use crate::platform::context::{Context, Register};
use crate::platform::{Event, HostCall, Slot, StubProcess};
use crate::signal::{self, SIGCHLD, ThreadSignals};
use crate::task::filter::Guard;
use crate::task::limits::resource;
use crate::task::thread::Place;
use crate::task::trace::{self, Leaving};
use crate::task::waiter::lock;
use crate::task::{Credentials, Process, Status, Thread, dismiss, exit_process, retire};
use crate::vfs::file_use::FileUse;
use crate::vfs::{Entry, Walker};

use self::find::find;
use self::plan::{Plan, Step, plan};
use super::gain::{Becomes, Gain};
use super::memory::host;

use super::{Call, Failure, Framed, sites};

/// Bytes of all arguments and variables: a quarter of the stack's limit, within these.
const STRINGS_LIMIT: std::ops::RangeInclusive<u64> = 128 << 10..=6 << 20;
/// Bytes of one (`MAX_ARG_STRLEN`).
const STRING_LIMIT: usize = 128 << 10;
/// How a program from outside ends that could not be started any more: as a shell has it.
const NOT_EXECUTED: u8 = 126;

#[derive(Clone)]
struct Binary {
    file: Arc<OwnedFd>,
    image: Image,
    path: Vec<u8>,
    entry: Arc<Entry>,
    id: (u64, u64),
    /// By what is mapped of it.
    reading: Option<Arc<FileUse>>,
    executing: Arc<FileUse>,
}

/// What a call is to execute.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// Where its own path starts, if that is relative.
    pub(super) start: Arc<Entry>,
    /// Where those of interpreters do.
    pub(super) current: Arc<Entry>,
    /// The path, which is also what the program is told; of a descriptor `/dev/fd/N` and what
    /// is behind that.
    pub(super) path: Vec<u8>,
    /// The part of it that is behind the descriptor; none if it is that file itself.
    pub(super) rest: Option<Vec<u8>>,
    /// Whether a link at its end is followed.
    pub(super) follow: bool,
    /// Whether the path leads there once the program runs: not by what is closed by then.
    pub(super) lasting: bool,
}

impl Named {
    /// A path.
    pub(super) fn new(current: Arc<Entry>, path: Vec<u8>) -> Self {
        let start = Arc::clone(&current);
        Named { start, current, rest: Some(path.clone()), path, follow: true, lasting: true }
    }
}

/// A program that was found and understood, with its arguments.
#[derive(Clone)]
pub(super) struct Program {
    binary: Binary,
    interpreter: Option<Binary>,
    arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
    /// As it was called.
    called: Vec<u8>,
    gain: Gain,
}

fn strings(call: &Call<'_>, address: u64, total: &mut usize) -> Result<Vec<Vec<u8>>, Errno> {
    let memory = call.memory();
    let mut list = Vec::new();
    if address == 0 {
        return Ok(list);
    }
    let stack = lock(&call.thread.process.limits).get(resource::STACK);
    let most = stack.map_or(u64::MAX, |(soft, _)| soft / 4);
    let most = most.clamp(*STRINGS_LIMIT.start(), *STRINGS_LIMIT.end());
    for index in 0_u64.. {
        let pointer = memory.read_u64(address.wrapping_add(index * 8))?;
        if pointer == 0 {
            break;
        }
        let text = memory.read_string(pointer, STRING_LIMIT)?.ok_or(Errno::TOOBIG)?;
        *total += text.len() + 9;
        if *total as u64 > most {
            return Err(Errno::TOOBIG);
        }
        list.push(text);
    }
    Ok(list)
}

/// Makes the steps that are left, then runs the program.
fn run(kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, mut plan: Plan) {
    let frame = Frame { address: Slot(0).context(), context: Context::default() };
    let fail = || exit_process(kernel, &thread.process, Status::Killed(9, false));
    let Some(step) = plan.steps.pop_front() else {
        let memory = thread.memory();
        if plan.writes.iter().any(|(at, bytes)| memory.write(*at, bytes).is_err()) {
            fail();
            return;
        }
        let mut frame = frame;
        frame.context.set(Register::Rip, plan.entry);
        frame.context.set(Register::Rsp, plan.pointer);
        // Its interpreter may be written from here on.
        lock(&thread.space().program).executing.truncate(1);
        *lock(&thread.process.auxiliary) = plan.auxiliary;
        *lock(&thread.process.strings) = plan.strings;
        let mut id = id;
        if trace::executed(kernel, thread, &mut id, &mut frame) == Leaving::Gone {
            return;
        }
        signal::resume(kernel, thread, id, &mut frame);
        return;
    };
    let call = match step {
        Step::Call(call) => call,
        Step::WithFile(index, mut call) => {
            let Some((file, given)) = plan.files.get_mut(index) else { return fail() };
            if given.is_none() {
                *given = kernel.listener.give(id, file.as_fd()).ok();
            }
            let Some(number) = *given else { return fail() };
            if let Some(argument) = call.args.get_mut(4) {
                *argument = number.into();
            }
            call
        }
        Step::Close(index) => {
            let number = plan.files.get(index).and_then(|(_, given)| *given);
            let Some(number) = number else { return run(kernel, thread, id, plan) };
            HostCall { number: host::CLOSE, args: [number.into(), 0, 0, 0, 0, 0] }
        }
    };
    let then = move |kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, result: i64| {
        if result < 0 {
            kernel.log.write(&format!("execve: the host's answer to {call:?}: {result}"));
            exit_process(kernel, &thread.process, Status::Killed(9, false));
            return;
        }
        run(kernel, thread, id, plan);
    };
    kernel.order(thread, id, &frame, call, Box::new(then));
}

fn ids(who: &Credentials) -> [u32; 4] {
    [who.users[0], who.users[1], who.groups[0], who.groups[1]]
}

/// The first report of a fresh stub: makes it the place of `process`'s only
/// thread, and begins to map.
fn arrive(
    kernel: &Arc<Kernel>,
    event: &Event,
    process: &Arc<Process>,
    (signals, old): (ThreadSignals, Option<&Thread>),
    mut plan: Plan,
) {
    let stub = Arc::new(StubProcess::new(event.thread.process()));
    // What it holds goes with it, should it be killed before it is set up.
    let space = Space::new(stub, std::mem::take(&mut plan.areas), Slot(0));
    *lock(&space.program) = std::mem::take(&mut plan.program);
    kernel.adopt(&space);
    let place = Place { space: Arc::clone(&space), host: None, slot: Slot(0), counted: true };
    let thread = Arc::new(Thread::new(process.pid, Arc::clone(process), place, signals));
    let guard = match old {
        Some(old) => lock(&old.guard).clone(),
        None => lock(&process.configured).clone().map_or(Guard::None, Guard::Filters),
    };
    thread.guard_as(guard);
    if sites::are_judged(&thread) {
        lock(&space.sites).turn_off();
    }
    if let Some(old) = old {
        // Those of a first thread stay with the process.
        let habits = *lock(&old.habits);
        *lock(&thread.habits) = habits;
        thread.affinity.store(old.affinity.load(Ordering::SeqCst), Ordering::SeqCst);
        thread.policy.store(old.policy.load(Ordering::SeqCst), Ordering::SeqCst);
        trace::pass_on(kernel, old, &thread);
        if thread.is_traced() {
            lock(&space.sites).turn_off();
        }
    }
    let alive = {
        let mut tree = lock(&kernel.tree);
        match tree.row_mut(process.pid) {
            Some(row) if row.ended.is_none() => {
                // Else the old one takes back what is in it, with the rest of its process.
                let undo = old.and_then(|old| lock(&old.undo).take());
                *lock(&thread.undo) = undo;
                row.threads = BTreeMap::from([(thread.tid, Arc::clone(&thread))]);
                row.executed = true;
                // What was agreed on was agreed with another program.
                row.exit_signal = SIGCHLD;
                let children = tree.rows_mut().filter(|(_, row)| row.parent == process.pid);
                children.for_each(|(_, row)| row.exit_signal = SIGCHLD);
                true
            }
            _ => false,
        }
    };
    if !alive {
        space.leave();
        return;
    }
    kernel.children.wake();
    kernel.attach(event.thread, &thread);
    run(kernel, &thread, event.id, plan);
}

fn short_name(path: &[u8]) -> Vec<u8> {
    let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
    name.get(..name.len().min(15)).unwrap_or_default().to_vec()
}

/// What execve(2) and execveat(2) have in common.
pub(super) fn execute(call: &Call<'_>, frame: &Frame, named: &Named, lists: (u64, u64)) -> Framed {
    let mut total = 0;
    let mut arguments = strings(call, lists.0, &mut total)?;
    let environment = strings(call, lists.1, &mut total)?;
    if arguments.is_empty() {
        arguments.push(Vec::new());
    }
    let program = find((&call.walker(), Some(call)), named, arguments, environment)?;
    let process = Arc::clone(&call.thread.process);
    let name = match &named.rest {
        Some(_) => short_name(&named.path),
        None => short_name(&named.start.name()),
    };
    let own = lock(&call.thread.credentials).clone();
    let way = |program: Program, becomes: Becomes| {
        let plan = plan(program, &process, (ids(&becomes.who), becomes.secure))?;
        Ok::<_, Errno>((becomes, plan))
    };
    // Whether it is traced, and whether another thread has had it gain nothing any more,
    // counts when there is no way back.
    let free = program.gain.apply(&own, false)?;
    let other = |becomes: Becomes| match becomes.is_as(&free) {
        true => Ok(None),
        false => way(program.clone(), becomes).map(Some),
    };
    let watched = other(program.gain.apply(&own, true)?)?;
    let confined = other(program.gain.confined(&own)?)?;
    let free = way(program, free)?;
    let (old, address, id) = (Arc::clone(call.thread), frame.address, call.id);
    let process = Arc::clone(&process);
    let mut refused = frame.clone();
    let made = move |kernel: &Arc<Kernel>, event: Result<Event, Errno>| {
        let event = match event {
            Ok(event) => event,
            Err(errno) => {
                // From here on the file may be written again.
                drop((free, watched, confined));
                let value = -i64::from(errno.raw_os_error());
                refused.context.set(Register::Rax, value.cast_unsigned());
                return signal::resume(kernel, &old, id, &mut refused);
            }
        };
        if !alone::is_left(kernel, &old) {
            StubProcess::new(event.thread.process()).kill();
            if old.space().users() > 0 {
                // Its stub stays, with its parent in it.
                dismiss(kernel, &old, id, address);
            }
            return;
        }
        // From here on there is no way back.
        let signals = {
            let mut signals = lock(&old.signals);
            ThreadSignals {
                mask: signals.mask,
                pending: std::mem::take(&mut signals.pending),
                ..ThreadSignals::default()
            }
        };
        // Who shares the directories and the mask could lead a program astray that may more.
        let led =
            watched.is_some() && old.shares_fs(kernel, |other| other.process.pid != process.pid);
        let plan = {
            // Who is to trace it asks under the same lock whether he may.
            let trace = lock(&old.trace);
            let space = &free.0.who.space;
            let confines = lock(&old.credentials).caps.no_new_privs;
            let (mut becomes, plan) = match (confined, watched) {
                (Some(confined), _) if confines => confined,
                (_, Some(watched)) if led || trace.is_watched_by_less(space) => watched,
                _ => free,
            };
            becomes.who.caps.no_new_privs = confines;
            becomes.enter(&process);
            plan
        };
        let left = old.space();
        lock(&process.accounts).leave(Some(&left.stub));
        if left.users() == 1 {
            lock(&process.counting).own.add(Arc::clone(&left.stub));
            // The new program may write the old one.
            left.unmap();
        }
        drop(left);
        lock(&process.timers).execute();
        // Of the first thread, whose place this one takes.
        lock(&process.pending).forget_buried();
        process.aio.clear();
        // What another process shared is its own from here on.
        let mut actions = lock(&process.actions()).clone();
        actions.reset_handlers();
        process.share_actions(Arc::new(Mutex::new(actions)));
        process.set_fs(old.fs());
        process.go_to(old.namespaces());
        // Whose locks stay, if no other process has the descriptors, too.
        process.own_files(kernel).execute();
        *lock(&process.name) = name;
        arrive(kernel, &event, &process, (signals, Some(&old)), plan);
        retire(kernel, &old);
        if old.space().users() > 0 {
            dismiss(kernel, &old, id, address);
        }
    };
    call.kernel.new_stub(Box::new(made));
    Ok(None)
}

/// That of a failure which nothing waited for.
fn errno(failure: Failure) -> Errno {
    if let Failure::Errno(errno) = failure { errno } else { Errno::IO }
}

/// Runs the first program in `process`, which is in the tree already.
///
/// # Errors
/// As execve(2).
pub fn start_first(
    kernel: &Arc<Kernel>,
    process: &Arc<Process>,
    path: &[u8],
    arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
) -> Result<(), Errno> {
    let fs = process.fs();
    let directories = lock(&fs.directories);
    let walker = Walker {
        kernel,
        pid: process.pid,
        tid: process.pid,
        root: Arc::clone(&directories.root),
        credentials: process.who(),
        only_looks: false,
    };
    let start = Arc::clone(&directories.current);
    drop(directories);
    let named = Named::new(start, path.to_vec());
    let program = find((&walker, None), &named, arguments, environment).map_err(errno)?;
    *lock(&process.name) = short_name(path);
    let own = process.who();
    let becomes = program.gain.apply(&own, false)?;
    let plan = plan(program, process, (ids(&becomes.who), becomes.secure))?;
    becomes.enter(process);
    let process = Arc::clone(process);
    kernel.new_stub(Box::new(move |kernel, event| match event {
        Ok(event) => arrive(kernel, &event, &process, (ThreadSignals::default(), None), plan),
        Err(errno) => {
            kernel.log.write(&format!("no process for a program: {errno}"));
            exit_process(kernel, &process, Status::Exited(NOT_EXECUTED));
        }
    }));
    Ok(())
}
