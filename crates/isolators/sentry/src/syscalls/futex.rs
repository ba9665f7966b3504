//! futex(2): waiting on a word of memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::mm::{Backing, Space};
use crate::task::Restart;
use crate::task::waiter::{Waiter, Woken, lock};

use super::{Call, Failure, Outcome, time};

/// What a word is: the same for all who share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Space and address.
    Private(usize, u64),
    /// Shared memory and offset.
    Shared(u64, u64),
    /// Device, inode and offset.
    File(u64, u64, u64),
}

#[derive(Debug)]
struct Waiting {
    waiter: Arc<Waiter>,
    bits: u32,
    woken: AtomicBool,
}

/// Who waits for what. Its lock is held while a word is compared, and while
/// sleepers are woken, so a wake is not lost in between.
#[derive(Debug, Default)]
pub struct Table {
    queues: Mutex<HashMap<Key, Vec<Arc<Waiting>>>>,
}

fn key(space: &Arc<Space>, address: u64) -> Key {
    let areas = lock(&space.areas);
    let private = Key::Private(Arc::as_ptr(space).addr(), address);
    let Some((start, area)) = areas.at(address) else { return private };
    let distance = address - start;
    match &area.backing {
        Backing::Shared(object, offset) => Key::Shared(*object, offset + distance),
        Backing::File { id, offset, shared: true, .. } => Key::File(id.0, id.1, offset + distance),
        _ => private,
    }
}

/// Each waiter of a thread is in one queue; it calls through its own flag.
fn call_waiter(waiting: &Waiting) {
    waiting.woken.store(true, Ordering::SeqCst);
    let queue = crate::task::WaitQueue::default();
    queue.join(&waiting.waiter);
    queue.wake();
}

fn wake(table: &Table, key: Key, most: u32, bits: u32) -> u32 {
    let mut queues = lock(&table.queues);
    let Some(queue) = queues.get_mut(&key) else { return 0 };
    let mut woken = 0;
    queue.retain(|waiting| {
        if woken < most && waiting.bits & bits != 0 {
            call_waiter(waiting);
            woken += 1;
            return false;
        }
        true
    });
    if queue.is_empty() {
        queues.remove(&key);
    }
    woken
}

/// Wakes those who wait for a word of `space`.
pub fn wake_private(kernel: &Kernel, space: &Arc<Space>, address: u64, most: u32) {
    wake(&kernel.futexes, key(space, address), most, u32::MAX);
}

fn wait(
    call: &Call<'_>,
    expected: u32,
    deadline: Option<Instant>,
    bits: u32,
    restart: Restart,
) -> Outcome {
    let space = call.thread.space();
    let address = call.arg(0);
    let key = key(&space, address);
    let table = &call.kernel.futexes;
    let waiting = Arc::new(Waiting {
        waiter: Arc::clone(call.waiter()),
        bits,
        woken: AtomicBool::new(false),
    });
    {
        let mut queues = lock(&table.queues);
        if space.memory.read_u32(address)? != expected {
            return Err(Errno::AGAIN.into());
        }
        queues.entry(key).or_default().push(Arc::clone(&waiting));
    }
    loop {
        let woken = call.waiter().wait(deadline);
        if waiting.woken.load(Ordering::SeqCst) {
            return Ok(0);
        }
        if woken == Woken::Called {
            continue;
        }
        let mut queues = lock(&table.queues);
        // A requeue may have moved it.
        for queue in queues.values_mut() {
            queue.retain(|w| !Arc::ptr_eq(w, &waiting));
        }
        queues.retain(|_, queue| !queue.is_empty());
        if waiting.woken.load(Ordering::SeqCst) {
            return Ok(0);
        }
        return match woken {
            Woken::TimedOut => Err(Errno::TIMEDOUT.into()),
            _ => Err(Failure::Interrupted(restart)),
        };
    }
}

fn requeue(call: &Call<'_>, compare: bool) -> Outcome {
    let space = call.thread.space();
    let (from, to) = (key(&space, call.arg(0)), key(&space, call.arg(4)));
    let (most, moved) = (call.int(2), call.int(3));
    let most = u32::try_from(most).map_err(|_| Errno::INVAL)?;
    let moved = usize::try_from(moved).map_err(|_| Errno::INVAL)?;
    let table = &call.kernel.futexes;
    let mut queues = lock(&table.queues);
    if compare && space.memory.read_u32(call.arg(0))? != call.uint(5) {
        return Err(Errno::AGAIN.into());
    }
    let mut queue = queues.remove(&from).unwrap_or_default();
    let count = queue.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    for waiting in queue.drain(..count) {
        call_waiter(&waiting);
    }
    let rest = queue.split_off(queue.len().min(moved));
    let total = count + if compare { queue.len() } else { 0 };
    if !queue.is_empty() {
        queues.entry(to).or_default().extend(queue);
    }
    if !rest.is_empty() {
        queues.entry(from).or_default().extend(rest);
    }
    Ok(i64::try_from(total).unwrap_or(0))
}

pub(super) fn futex(call: &Call<'_>) -> Outcome {
    const REALTIME: u32 = 256;
    const PRIVATE: u32 = 128;
    const WAIT: u32 = 0;
    const WAKE: u32 = 1;
    const REQUEUE: u32 = 3;
    const CMP_REQUEUE: u32 = 4;
    const WAIT_BITSET: u32 = 9;
    const WAKE_BITSET: u32 = 10;
    if !call.arg(0).is_multiple_of(4) {
        return Err(Errno::INVAL.into());
    }
    let operation = call.uint(1);
    let bits = call.uint(5);
    match operation & !(REALTIME | PRIVATE) {
        WAIT => {
            let deadline = time::deadline_at(call, call.arg(3))?;
            let deadline = call.continued.or(deadline);
            let restart = deadline.map_or(Restart::IfAsked, Restart::Until);
            wait(call, call.uint(2), deadline, u32::MAX, restart)
        }
        WAIT_BITSET if bits != 0 => {
            let deadline = match call.arg(3) {
                0 => None,
                address => Some(until(call, address, operation & REALTIME != 0)?),
            };
            let deadline = call.continued.or(deadline);
            let restart = deadline.map_or(Restart::IfAsked, Restart::Until);
            wait(call, call.uint(2), deadline, bits, restart)
        }
        WAKE => woken(call, u32::MAX),
        WAKE_BITSET if bits != 0 => woken(call, bits),
        REQUEUE => requeue(call, false),
        CMP_REQUEUE => requeue(call, true),
        WAIT_BITSET | WAKE_BITSET => Err(Errno::INVAL.into()),
        // Those that change the word themselves, and priority inheritance.
        _ => Err(Errno::NOSYS.into()),
    }
}

fn woken(call: &Call<'_>, bits: u32) -> Outcome {
    let most = u32::try_from(call.int(2).max(1)).unwrap_or(1);
    let space = call.thread.space();
    Ok(wake(&call.kernel.futexes, key(&space, call.arg(0)), most, bits).into())
}

/// An absolute time.
fn until(call: &Call<'_>, address: u64, realtime: bool) -> Result<Instant, Errno> {
    use rustix::time::{ClockId, clock_gettime};
    let memory = call.memory();
    let seconds = memory.read_u64(address)?.cast_signed();
    let nanoseconds = memory.read_u64(address.wrapping_add(8))?.cast_signed();
    time::after(seconds, nanoseconds)?;
    let id = if realtime { ClockId::Realtime } else { ClockId::Monotonic };
    let now = clock_gettime(id);
    let distance = (i128::from(seconds) - i128::from(now.tv_sec)) * 1_000_000_000
        + i128::from(nanoseconds - now.tv_nsec);
    let distance = u64::try_from(distance.max(0)).unwrap_or(u64::MAX >> 1);
    Ok(Instant::now() + Duration::from_nanos(distance))
}
