//! Guests' own filters: seccomp(2), and what they decide about a call.

use std::sync::Arc;

use caisson_sys::seccomp::SockFilter;
use rustix::io::Errno;

use crate::task::filter::{ACTIONS, CallData, Filter, Guard, Verdict};
use crate::task::notice::Notifier;
use crate::task::waiter::lock;
use crate::task::{Caps, Thread};
use crate::vfs::{NoticeFile, OpenFile, status};

use super::{Call, Outcome};

const STRICT: u64 = 0;
const FILTER: u64 = 1;
const ACTION_AVAILABLE: u64 = 2;
const NOTICE_SIZES: u64 = 3;
const ALL_THREADS: u64 = 1;
const LOG: u64 = 2;
const SPECULATE: u64 = 4;
const NEW_LISTENER: u64 = 8;
const WAIT_KILLABLE: u64 = 32;
/// `ESRCH` instead of the thread that is in the way.
const PLAIN_ERROR: u64 = 16;

pub(super) fn seccomp(call: &Call<'_>) -> Outcome {
    let [operation, flags, address, ..] = call.args;
    match operation {
        STRICT if flags == 0 && address == 0 => strict(call),
        FILTER => filter(call, flags, address),
        ACTION_AVAILABLE if flags == 0 => {
            let action = call.memory().read_u32(address)?;
            if ACTIONS.contains(&action) { Ok(0) } else { Err(Errno::OPNOTSUPP.into()) }
        }
        NOTICE_SIZES if flags == 0 => super::notices::sizes(call, address),
        _ => Err(Errno::INVAL.into()),
    }
}

/// `PR_GET_SECCOMP`, `PR_SET_SECCOMP`
pub(super) fn prctl_get(call: &Call<'_>) -> Outcome {
    Ok(lock(&call.thread.guard).mode().into())
}

pub(super) fn prctl_set(call: &Call<'_>) -> Outcome {
    match call.arg(1) {
        1 => strict(call),
        2 => filter(call, 0, call.arg(2)),
        _ => Err(Errno::INVAL.into()),
    }
}

fn strict(call: &Call<'_>) -> Outcome {
    let mut guard = lock(&call.thread.guard);
    if matches!(*guard, Guard::Filters(_)) {
        return Err(Errno::INVAL.into());
    }
    *guard = Guard::Strict;
    drop(guard);
    watch(call, call.thread);
    Ok(0)
}

/// From now on the thread's calls are judged.
fn watch(call: &Call<'_>, thread: &Thread) {
    thread.set_guarded();
    if super::sites::are_judged(thread) {
        super::sites::report_all(call.kernel, &thread.process);
    }
}

/// `struct sock_fprog`: a length and an address.
fn program(call: &Call<'_>, address: u64) -> Result<Vec<SockFilter>, Errno> {
    let memory = call.memory();
    let [low, high, ..] = memory.read_u32(address)?.to_le_bytes();
    let start = memory.read_u64(address.wrapping_add(8))?;
    steps(call, u16::from_le_bytes([low, high]), start)
}

/// The instructions of a program.
///
/// # Errors
/// `EINVAL` if there are none, or too many.
pub(super) fn steps(call: &Call<'_>, count: u16, start: u64) -> Result<Vec<SockFilter>, Errno> {
    const MOST: u16 = 4096;
    if count == 0 || count > MOST {
        return Err(Errno::INVAL);
    }
    let mut bytes = vec![0; usize::from(count) * 8];
    call.memory().read(start, &mut bytes)?;
    let steps = bytes.chunks_exact(8).filter_map(|step| {
        let (head, operand) = step.split_first_chunk::<4>()?;
        let [low, high, jt, jf] = *head;
        let k = u32::from_le_bytes(operand.try_into().ok()?);
        Some(SockFilter { code: u16::from_le_bytes([low, high]), jt, jf, k })
    });
    Ok(steps.collect())
}

fn filter(call: &Call<'_>, flags: u64, address: u64) -> Outcome {
    const KNOWN: u64 = ALL_THREADS | LOG | SPECULATE | NEW_LISTENER | PLAIN_ERROR | WAIT_KILLABLE;
    let has = |flag: u64| flags & flag != 0;
    // A listener's descriptor could not be told from the thread that is in the way.
    if flags & !KNOWN != 0
        || has(NEW_LISTENER) && has(ALL_THREADS) && !has(PLAIN_ERROR)
        || has(WAIT_KILLABLE) && !has(NEW_LISTENER)
    {
        return Err(Errno::INVAL.into());
    }
    let who = super::identity::who(call);
    let steps = program(call, address)?;
    if !who.caps.no_new_privs && !who.can_here(Caps::SYS_ADMIN) {
        return Err(Errno::ACCESS.into());
    }
    // One installation in a process at a time.
    let _turn = lock(&call.thread.process.filtering);
    let own = match &*lock(&call.thread.guard) {
        Guard::Strict => return Err(Errno::INVAL.into()),
        Guard::None => None,
        Guard::Filters(filter) => Some(Arc::clone(filter)),
    };
    let threads = if has(ALL_THREADS) {
        let threads = call.kernel.threads_of(call.thread.process.pid);
        let others = threads.into_iter().filter(|thread| thread.tid != call.thread.tid);
        let others: Vec<Arc<Thread>> = others.collect();
        let in_the_way = others.iter().find(|thread| match (&*lock(&thread.guard), &own) {
            (Guard::None, _) => false,
            (Guard::Filters(theirs), Some(own)) => !own.descends_from(theirs),
            _ => true,
        });
        if let Some(thread) = in_the_way {
            return if has(PLAIN_ERROR) {
                Err(Errno::SRCH.into())
            } else {
                Ok(call.number_of(thread.tid).into())
            };
        }
        others
    } else {
        Vec::new()
    };
    let notifier = has(NEW_LISTENER).then(|| Notifier::new(has(WAIT_KILLABLE)));
    let new = Filter::with_notifier(steps, own, notifier.clone())?;
    let listener = match notifier {
        Some(notifier) => {
            let file = OpenFile::stream(Box::new(NoticeFile(notifier)), status::READ_WRITE);
            call.files().add(file, 0, true)?.into()
        }
        None => 0,
    };
    for thread in threads {
        *lock(&thread.guard) = Guard::Filters(Arc::clone(&new));
        lock(&thread.credentials).caps.no_new_privs |= who.caps.no_new_privs;
        watch(call, &thread);
    }
    *lock(&call.thread.guard) = Guard::Filters(new);
    watch(call, call.thread);
    Ok(listener)
}

/// What the thread's filters say about a call.
pub(super) fn judge(call: &Call<'_>, number: u64, pointer: u64) -> Verdict {
    let number = u32::try_from(number & 0xffff_ffff).unwrap_or(0);
    let guard = lock(&call.thread.guard).clone();
    let verdict = guard.judge(&CallData { number, pointer, args: call.args });
    if verdict == Verdict::Log {
        let name = String::from_utf8_lossy(&lock(&call.thread.process.name)).into_owned();
        let message = format!("{name}: a filter tells of call {number}");
        call.kernel.log_once(&format!("filter {name} {number}"), &message);
    }
    verdict
}

/// What a tracer is told of a tracee's filter: its instructions, or its flags.
pub(super) fn told(call: &Call<'_>, thread: &Thread, flags: bool) -> Outcome {
    const METADATA: usize = 16;
    let memory = call.memory();
    let may = lock(&call.thread.credentials).can(Caps::SYS_ADMIN);
    if !may || lock(&call.thread.guard).mode() != 0 {
        return Err(Errno::ACCESS.into());
    }
    let size = usize::try_from(call.arg(2)).unwrap_or(usize::MAX);
    if flags && size < 8 {
        return Err(Errno::INVAL.into());
    }
    let number = if flags { memory.read_u64(call.arg(3))? } else { call.arg(2) };
    let guard = lock(&thread.guard).clone();
    let Guard::Filters(all) = guard else { return Err(Errno::INVAL.into()) };
    let number = usize::try_from(number).map_err(|_| Errno::NOENT)?;
    let filter = all.nth(number).ok_or(Errno::NOENT)?;
    let bytes: Vec<u8> = if flags {
        // The flag to log has no effect, and is not kept.
        [(number as u64).to_le_bytes(), [0; 8]].concat()
    } else {
        let instructions = filter.instructions().iter();
        instructions
            .flat_map(|i| {
                let [code, k] = [&i.code.to_le_bytes()[..], &i.k.to_le_bytes()[..]];
                [code, &[i.jt, i.jf], k].concat()
            })
            .collect()
    };
    let told = if flags { size.min(METADATA) } else { bytes.len() };
    if call.arg(3) != 0 {
        memory.write(call.arg(3), bytes.get(..told).unwrap_or_default())?;
    }
    let count = if flags { told } else { filter.instructions().len() };
    Ok(i64::try_from(count).unwrap_or(0))
}
