//! Locks whose word names the holder (`FUTEX_LOCK_PI` and its relatives). Threads have
//! numbers of ours, so no such call is the host's. Who holds a lock does not run with the
//! priority of those who wait: the host's scheduler knows nothing of it.
//!
//! The sentry has no atomic access to guest memory. It needs none while the mark of waiters
//! is in the word, as nobody outside of a kernel changes it then; a call that finds the
//! word without the mark has its thread put it there, by a call of the host's
//! (`FUTEX_WAKE_OP`), and is made again. So the word is written under the table's lock,
//! with the mark seen there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rustix::io::Errno;

use crate::kernel::{Frame, Kernel};
use crate::mm::Space;
use crate::platform::HostCall;
use crate::platform::context::Register;
use crate::signal;
use crate::task::waiter::lock;
use crate::task::{Pid, Restart, Thread};

use super::super::memory::in_turn;
use super::super::{Call, Failure, Framed, Outcome, time};
use super::table::{Held, Key, Queues, Waiting, key};
use super::{FUTEX, PRIVATE, REALTIME, op};

/// `FUTEX_WAITERS`, `FUTEX_OWNER_DIED`, `FUTEX_TID_MASK`
const WAITERS: u32 = 0x8000_0000;
const DIED: u32 = 0x4000_0000;
const TID: u32 = 0x3fff_ffff;
/// Locks that are followed in search of a circle.
const LONGEST: usize = 1024;

/// Until when a call waits for a lock.
pub(super) fn deadline(call: &Call<'_>, operation: u32) -> Result<Option<Instant>, Errno> {
    let wall = operation & !(REALTIME | PRIVATE) == op::LOCK_PI || operation & REALTIME != 0;
    match call.arg(3) {
        0 => Ok(None),
        address => time::absolute(call, address, wall).map(Some),
    }
}

/// Has the calling thread put the mark of waiters into the word, and makes its call again.
pub(super) fn mark(call: &Call<'_>, frame: &Frame) -> Framed {
    // Or, of 1 << 31; compared with a thread's number that nobody has.
    const MARK: u64 = 10 << 28 | 31 << 12 | 0x800;
    let requeues = call.uint(1) & !(REALTIME | PRIVATE) == op::CMP_REQUEUE_PI;
    let address = call.arg(if requeues { 4 } else { 0 });
    let (space, ()) = in_turn(call, |_| Ok(()))?;
    let args = [address, (op::WAKE_OP | PRIVATE).into(), 0, 0, address, MARK];
    let (mut saved, order) = (frame.clone(), frame);
    let then = move |kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, result: i64| {
        space.pass_turn();
        let context = &mut saved.context;
        if result < 0 {
            context.set(Register::Rax, result.cast_unsigned());
        } else {
            context.set(Register::Rip, context.get(Register::Rip).wrapping_sub(2));
            context.set(Register::Rax, FUTEX);
        }
        signal::resume(kernel, thread, id, &mut saved);
    };
    let host = HostCall { number: FUTEX, args };
    call.kernel.order(call.thread, call.id, order, host, Box::new(then));
    Ok(None)
}

fn number(tid: Pid) -> u32 {
    tid.cast_unsigned() & TID
}

fn write(space: &Space, address: u64, word: u32) -> Result<(), Errno> {
    Ok(space.memory.write(address, &word.to_le_bytes())?)
}

/// Gives a lock to the first who waits for it; `None` if nobody does.
fn hand_over(queues: &mut Queues, key: Key, more: u32) -> Option<Result<(), Errno>> {
    let held = queues.locks.get_mut(&key)?;
    while let Some(next) = held.waiting.pop_front() {
        if next.thread.doomed.load(Ordering::SeqCst) || !next.claim() {
            continue;
        }
        held.owner = next.thread.tid;
        let word = number(next.thread.number()) | WAITERS | more;
        let written = write(&next.space, next.address, word);
        if held.waiting.is_empty() {
            queues.locks.remove(&key);
        }
        let answer = written.err().map_or(0, |errno| -i64::from(errno.raw_os_error()));
        next.tell(answer);
        return Some(written);
    }
    queues.locks.remove(&key);
    None
}

/// Whether `owner` waits for what `tid` holds, be it by way of others.
fn is_circle(queues: &Queues, mut owner: Pid, tid: Pid) -> bool {
    for _ in 0..LONGEST {
        let waits = |held: &&Held| held.waiting.iter().any(|waiting| waiting.thread.tid == owner);
        match queues.locks.values().find(waits) {
            None => return false,
            Some(held) if held.owner == tid => return true,
            Some(held) => owner = held.owner,
        }
    }
    true
}

fn exists(call: &Call<'_>, tid: u32) -> bool {
    lock(&call.kernel.tree).thread(call.id_of(tid.cast_signed())).is_some()
}

pub(super) fn take(call: &Call<'_>, tries: bool, deadline: Option<Instant>) -> Outcome {
    let (space, address, own) = (call.thread.space(), call.arg(0), call.thread.tid);
    let key = key(&space, address);
    let waiting = Waiting::new(call, address, Restart::Always, false);
    let mut queues = lock(&call.kernel.futexes.queues);
    let outcome = (|| {
        let mut word = space.memory.read_u32(address)?;
        let shown = number(call.thread.number());
        if word & TID == shown {
            return Err(Errno::DEADLK.into());
        }
        if word & WAITERS == 0 {
            return Err(Failure::NeedsFrame);
        }
        if word & TID == 0 {
            // Its holder died, and others were there before.
            if hand_over(&mut queues, key, word & DIED).is_some() {
                word = space.memory.read_u32(address)?;
            } else {
                write(&space, address, shown | word & DIED)?;
                return Ok(0);
            }
        }
        if tries {
            return Err(Errno::AGAIN.into());
        }
        let owner = call.id_of((word & TID).cast_signed());
        if !exists(call, word & TID) {
            return Err(Errno::SRCH.into());
        }
        if is_circle(&queues, owner, own) {
            return Err(Errno::DEADLK.into());
        }
        lock(&waiting.keys).push(key);
        let held = queues.locks.entry(key).or_default();
        held.owner = owner;
        held.waiting.push_back(Arc::clone(&waiting));
        Err(Failure::Answered)
    })();
    drop(queues);
    match outcome {
        Err(Failure::Answered) => waiting.stay(call, deadline),
        outcome => waiting.instead(outcome),
    }
}

pub(super) fn release(call: &Call<'_>) -> Outcome {
    let (space, address) = (call.thread.space(), call.arg(0));
    let key = key(&space, address);
    let mut queues = lock(&call.kernel.futexes.queues);
    let word = space.memory.read_u32(address)?;
    if word & TID != number(call.thread.number()) {
        return Err(Errno::PERM.into());
    }
    if word & WAITERS == 0 {
        return Err(Failure::NeedsFrame);
    }
    match hand_over(&mut queues, key, 0) {
        Some(handed) => handed?,
        None => write(&space, address, 0)?,
    }
    Ok(0)
}

/// Moves those who wait on a word to a lock; the first may get it.
pub(super) fn requeue(call: &Call<'_>) -> Outcome {
    let space = call.thread.space();
    let (from, to) = (key(&space, call.arg(0)), key(&space, call.arg(4)));
    let (wakes, most) = (call.int(2), call.int(3));
    let most = usize::try_from(most).map_err(|_| Errno::INVAL)?;
    if wakes != 1 || from == to {
        return Err(Errno::INVAL.into());
    }
    let mut queues = lock(&call.kernel.futexes.queues);
    if space.memory.read_u32(call.arg(0))? != call.uint(5) {
        return Err(Errno::AGAIN.into());
    }
    let Some(queue) = queues.words.get(&from) else { return Ok(0) };
    if queue.iter().any(|place| place.target != Some(to)) {
        return Err(Errno::INVAL.into());
    }
    let word = space.memory.read_u32(call.arg(4))?;
    if word & WAITERS == 0 {
        return Err(Failure::NeedsFrame);
    }
    if word & TID != 0 && !exists(call, word & TID) {
        return Err(Errno::SRCH.into());
    }
    let mut places = queues.words.remove(&from).unwrap_or_default();
    let rest = places.split_off(places.len().min(most.saturating_add(1)));
    if !rest.is_empty() {
        queues.words.insert(from, rest);
    }
    let count = places.len();
    let held = queues.locks.entry(to).or_default();
    held.owner = call.id_of((word & TID).cast_signed());
    for place in places {
        *lock(&place.waiting.keys) = vec![to];
        place.waiting.moved.store(true, Ordering::SeqCst);
        held.waiting.push_back(place.waiting);
    }
    if word & TID == 0 {
        hand_over(&mut queues, to, word & DIED).transpose()?;
    }
    Ok(i64::try_from(count).unwrap_or(0))
}

/// A thread has ended that held the lock at `address`, as its list says: the next one gets
/// it, and is told.
pub fn died(kernel: &Kernel, space: &Arc<Space>, address: u64, tid: Pid) {
    let key = key(space, address);
    let mut queues = lock(&kernel.futexes.queues);
    let Ok(word) = space.memory.read_u32(address) else { return };
    if word & TID == number(tid) && hand_over(&mut queues, key, DIED).is_none() {
        // Whoever puts the mark in between looks again.
        let _ = write(space, address, word & WAITERS | DIED);
    }
}

/// A thread has ended: what it held is given to those who wait for it.
pub fn ended(kernel: &Kernel, thread: &Thread) {
    let (tid, shown) = (thread.tid, thread.number());
    let mut queues = lock(&kernel.futexes.queues);
    // Another container's thread can have the same number.
    let of_container = |held: &Held| {
        let first = held.waiting.front().and_then(|first| first.thread.process.kernel());
        first.is_some_and(|other| Arc::ptr_eq(&other.tree, &kernel.tree))
    };
    let held = queues.locks.iter().filter(|(_, held)| held.owner == tid && of_container(held));
    let keys: Vec<Key> = held.map(|(key, _)| *key).collect();
    for key in keys {
        let first = queues.locks.get(&key).and_then(|held| held.waiting.front());
        let Some(first) = first.map(Arc::clone) else { continue };
        match first.space.memory.read_u32(first.address).map(|word| word & TID) {
            Ok(other) if other != 0 && other != number(shown) => {
                if let Some(held) = queues.locks.get_mut(&key) {
                    held.owner = thread.process.id_of(other.cast_signed());
                }
            }
            _ => drop(hand_over(&mut queues, key, DIED)),
        }
    }
}
