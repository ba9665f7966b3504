//! Scheduling: which processors, which policy, how nice. The host's scheduler has the last
//! word; what is kept here is what programs set and ask.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::task::limits::resource;
use crate::task::user_namespace::Ids;
use crate::task::waiter::lock;
use crate::task::{Caps, Process, Thread};

use super::{Call, Failure, Outcome, system};

/// `SCHED_OTHER`, `SCHED_BATCH`, `SCHED_IDLE`: those that everybody may choose.
const FAIR: [i32; 3] = [0, 3, 5];
/// `SCHED_FIFO`, `SCHED_RR`
const REAL_TIME: [i32; 2] = [1, 2];
/// `SCHED_RESET_ON_FORK`
pub const RESET_ON_FORK: i32 = 0x4000_0000;

fn thread(call: &Call<'_>, tid: i32) -> Result<Arc<Thread>, Errno> {
    match tid {
        0 => Ok(Arc::clone(call.thread)),
        ..0 => Err(Errno::INVAL),
        _ => lock(&call.kernel.tree).thread(call.id_of(tid)).cloned().ok_or(Errno::SRCH),
    }
}

/// The same; a number that is none means nobody.
pub(super) fn any_thread(call: &Call<'_>, tid: i32) -> Result<Arc<Thread>, Errno> {
    if tid < 0 { Err(Errno::SRCH) } else { thread(call, tid) }
}

/// Whether the caller may change what is another's.
pub(super) fn may_change(call: &Call<'_>, other: &Process) -> Result<(), Errno> {
    let who = lock(&call.thread.credentials).clone();
    let [_, own, ..] = who.users;
    let theirs = other.who();
    let [real, effective, ..] = theirs.users;
    if own == real || own == effective {
        return Ok(());
    }
    who.require_in(&theirs.space, Caps::SYS_NICE)
}

/// Whether the caller may have a process be as little nice as that.
fn may_be(call: &Call<'_>, process: &Process, nice: i32) -> bool {
    // As RLIMIT_NICE counts.
    let wanted = u64::try_from(20 - nice).unwrap_or(0);
    nice >= process.nice.load(Ordering::SeqCst)
        || wanted <= lock(&process.limits).soft(resource::NICE)
        || lock(&call.thread.credentials).can(Caps::SYS_NICE)
}

fn all() -> u64 {
    let count = system::processors().min(64);
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

pub(super) fn sched_getaffinity(call: &Call<'_>) -> Outcome {
    let size = usize::try_from(call.uint(1)).unwrap_or(0);
    if size < 8 || size % 8 != 0 {
        return Err(Errno::INVAL.into());
    }
    let chosen = any_thread(call, call.int(0))?.affinity.load(Ordering::SeqCst) & all();
    let mask = if chosen == 0 { all() } else { chosen };
    call.memory().write(call.arg(2), &mask.to_le_bytes())?;
    Ok(8)
}

pub(super) fn sched_setaffinity(call: &Call<'_>) -> Outcome {
    let mut mask = [0; 8];
    let size = usize::try_from(call.uint(1)).unwrap_or(0).min(8);
    call.memory().read(call.arg(2), mask.get_mut(..size).unwrap_or_default())?;
    let thread = any_thread(call, call.int(0))?;
    may_change(call, &thread.process)?;
    let mask = u64::from_le_bytes(mask) & all();
    if mask == 0 {
        return Err(Errno::INVAL.into());
    }
    thread.affinity.store(mask, Ordering::SeqCst);
    Ok(0)
}

fn set_policy(call: &Call<'_>, tid: i32, policy: i32, priority: i32) -> Outcome {
    let thread = thread(call, tid)?;
    let plain = policy & !RESET_ON_FORK;
    if REAL_TIME.contains(&plain) {
        // RLIMIT_RTPRIO is 0.
        let valid = (1..=99).contains(&priority);
        return Err(if valid { Errno::PERM } else { Errno::INVAL }.into());
    }
    if !FAIR.contains(&plain) || priority != 0 {
        return Err(Errno::INVAL.into());
    }
    may_change(call, &thread.process)?;
    thread.policy.store(policy, Ordering::SeqCst);
    Ok(0)
}

pub(super) fn sched_setscheduler(call: &Call<'_>) -> Outcome {
    if call.arg(2) == 0 || call.int(0) < 0 || call.int(1) < 0 {
        return Err(Errno::INVAL.into());
    }
    let priority = call.memory().read_u32(call.arg(2))?.cast_signed();
    set_policy(call, call.int(0), call.int(1), priority)
}

/// Bytes of `struct sched_attr` at first, and now.
const ATTRIBUTES: [u32; 2] = [48, 56];

pub(super) fn sched_setattr(call: &Call<'_>) -> Outcome {
    let (tid, address) = (call.int(0), call.arg(1));
    if address == 0 || tid < 0 || call.uint(2) != 0 {
        return Err(Errno::INVAL.into());
    }
    let memory = call.memory();
    let size = match memory.read_u32(address)? {
        0 => ATTRIBUTES[0],
        size @ 48..=4096 => size,
        _ => {
            memory.write(address, &ATTRIBUTES[1].to_le_bytes())?;
            return Err(Errno::TOOBIG.into());
        }
    };
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    memory.read(address, &mut bytes)?;
    if bytes.iter().skip(56).any(|byte| *byte != 0) {
        return Err(Errno::TOOBIG.into());
    }
    let word = |at: usize| {
        let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
        word.map_or(0, i32::from_le_bytes)
    };
    let (policy, flags, nice, priority) = (word(4), word(8), word(16), word(20));
    // SCHED_FLAG_RESET_ON_FORK; the others are of deadlines and of clamps.
    if policy < 0 || flags & !1 != 0 || word(12) != 0 {
        return Err(Errno::INVAL.into());
    }
    let thread = thread(call, tid)?;
    let nice = nice.clamp(-20, 19);
    if policy == 0 || policy == 3 {
        may_change(call, &thread.process)?;
        if !may_be(call, &thread.process, nice) {
            return Err(Errno::PERM.into());
        }
    }
    let reset = if flags & 1 != 0 { RESET_ON_FORK } else { 0 };
    set_policy(call, tid, policy | reset, priority)?;
    if policy == 0 || policy == 3 {
        thread.process.nice.store(nice, Ordering::SeqCst);
    }
    Ok(0)
}

pub(super) fn sched_getattr(call: &Call<'_>) -> Outcome {
    let (tid, address, size) = (call.int(0), call.arg(1), call.uint(2));
    if address == 0 || tid < 0 || !(ATTRIBUTES[0]..=4096).contains(&size) || call.uint(3) != 0 {
        return Err(Errno::INVAL.into());
    }
    let thread = thread(call, tid)?;
    let policy = thread.policy.load(Ordering::SeqCst);
    let size = size.min(ATTRIBUTES[1]);
    let nice = thread.process.nice.load(Ordering::SeqCst);
    let flags = i32::from(policy & RESET_ON_FORK != 0);
    let words = [size.cast_signed(), policy & !RESET_ON_FORK, flags, 0, nice, 0];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.resize(48, 0);
    // What a task may use of a processor: from nothing to all.
    bytes.extend_from_slice(&[0_u32.to_le_bytes(), 1024_u32.to_le_bytes()].concat());
    bytes.truncate(usize::try_from(size).unwrap_or(0));
    call.memory().write(address, &bytes)?;
    Ok(0)
}

pub(super) fn sched_setparam(call: &Call<'_>) -> Outcome {
    if call.arg(1) == 0 || call.int(0) < 0 {
        return Err(Errno::INVAL.into());
    }
    let priority = call.memory().read_u32(call.arg(1))?.cast_signed();
    let policy = thread(call, call.int(0))?.policy.load(Ordering::SeqCst);
    set_policy(call, call.int(0), policy, priority)
}

pub(super) fn sched_getscheduler(call: &Call<'_>) -> Outcome {
    Ok(thread(call, call.int(0))?.policy.load(Ordering::SeqCst).into())
}

pub(super) fn sched_getparam(call: &Call<'_>) -> Outcome {
    if call.arg(1) == 0 {
        return Err(Errno::INVAL.into());
    }
    thread(call, call.int(0))?;
    call.memory().write(call.arg(1), &[0; 4])?;
    Ok(0)
}

pub(super) fn sched_get_priority_max(call: &Call<'_>) -> Outcome {
    limit(call.int(0), 99)
}

pub(super) fn sched_get_priority_min(call: &Call<'_>) -> Outcome {
    limit(call.int(0), 1)
}

fn limit(policy: i32, real_time: i64) -> Outcome {
    match policy {
        1 | 2 => Ok(real_time),
        // SCHED_DEADLINE has none.
        0 | 3 | 5 | 6 => Ok(0),
        _ => Err(Errno::INVAL.into()),
    }
}

pub(super) fn sched_rr_get_interval(call: &Call<'_>) -> Outcome {
    const SLICE: u64 = 4_000_000;
    thread(call, call.int(0))?;
    call.memory().write(call.arg(1), &[0_u64.to_le_bytes(), SLICE.to_le_bytes()].concat())?;
    Ok(0)
}

/// Processes that `which` and `who` of getpriority(2) mean.
fn meant(call: &Call<'_>) -> Result<Vec<Arc<Process>>, Errno> {
    of(call, call.int(0), call.int(1))
}

/// Processes that such arguments mean.
pub(super) fn of(call: &Call<'_>, which: i32, who: i32) -> Result<Vec<Arc<Process>>, Errno> {
    let own = call.thread.process.pid;
    let tree = lock(&call.kernel.tree);
    let group = tree.row(own).map_or(0, |row| row.group);
    let own_credentials = lock(&call.thread.credentials).clone();
    let [user, ..] = own_credentials.users;
    let named = own_credentials.id_from(Ids::Users, who.cast_unsigned());
    let who = if which < 2 { call.id_of(who) } else { who };
    let is = |pid: i32, row: &crate::task::Row| match which {
        0 if who == 0 => pid == own,
        0 => pid == who || row.threads.contains_key(&who),
        1 => row.group == if who == 0 { group } else { who },
        _ => {
            let [theirs, ..] = lock(&row.process.credentials()).users;
            let meant = if who == 0 { theirs == user } else { Ok(theirs) == named };
            meant && call.thread.process.sees(&row.process)
        }
    };
    if !(0..=2).contains(&which) {
        return Err(Errno::INVAL);
    }
    let found: Vec<_> = tree
        .rows()
        .filter(|(pid, row)| is(*pid, row))
        .map(|(_, r)| Arc::clone(&r.process))
        .collect();
    if found.is_empty() { Err(Errno::SRCH) } else { Ok(found) }
}

pub(super) fn getpriority(call: &Call<'_>) -> Outcome {
    let least = meant(call)?.iter().map(|p| p.nice.load(Ordering::SeqCst)).min();
    Ok(i64::from(20 - least.unwrap_or(0)))
}

pub(super) fn setpriority(call: &Call<'_>) -> Outcome {
    let nice = call.int(2).clamp(-20, 19);
    for process in meant(call)? {
        may_change(call, &process)?;
        if !may_be(call, &process, nice) {
            return Err(Errno::ACCESS.into());
        }
        process.nice.store(nice, Ordering::SeqCst);
    }
    Ok(0)
}

/// Barriers between threads of one address space, which is the stub's: the host makes
/// them.
pub(super) fn membarrier(call: &Call<'_>) -> Outcome {
    /// Global, private, private with the instruction stream, and their registrations.
    const COMMANDS: [i32; 7] = [1, 2, 4, 8, 16, 32, 64];
    match (call.int(0), call.uint(1)) {
        (0, 0) => Ok(COMMANDS.iter().sum::<i32>().into()),
        (command, 0) if COMMANDS.contains(&command) => Err(Failure::Host),
        _ => Err(Errno::INVAL.into()),
    }
}
