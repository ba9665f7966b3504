//! futex(2): waiting on a word of memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::mm::{Backing, Space};
use crate::platform::context::{Context, Register};
use crate::task::waiter::lock;
use crate::task::{Restart, Thread};

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

/// A thread whose call has not been answered. No thread of the sentry waits with
/// it: whoever ends the wait answers.
struct Waiting {
    kernel: Arc<Kernel>,
    thread: Arc<Thread>,
    /// Names the answer.
    id: u64,
    bits: u32,
    /// Set by the one who answers.
    over: AtomicBool,
    /// Its queue; changes under the table's lock.
    key: Mutex<Key>,
    alarm: Mutex<Option<crate::time::Key>>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("thread", &self.thread.tid).finish_non_exhaustive()
    }
}

impl Waiting {
    /// Claims the right to answer, which only one gets.
    fn claim(&self) -> bool {
        if self.over.swap(true, Ordering::SeqCst) {
            return false;
        }
        drop(lock(&self.thread.parked).take());
        if let Some(alarm) = lock(&self.alarm).take() {
            self.kernel.alarms.cancel(alarm);
        }
        true
    }

    fn answer(&self, value: i64) -> bool {
        let claimed = self.claim();
        if claimed {
            self.kernel.listener.answer(self.id, value);
        }
        claimed
    }

    /// A signal is to be handled first.
    fn interrupt(self: &Arc<Self>, restart: Restart) {
        if self.claim() {
            self.kernel.futexes.remove(self);
            let value = super::value(Err(Failure::Interrupted(restart)), &self.thread);
            self.kernel.listener.answer(self.id, value);
        }
    }
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

impl Table {
    fn remove(&self, waiting: &Arc<Waiting>) {
        let mut queues = lock(&self.queues);
        let key = *lock(&waiting.key);
        let Some(queue) = queues.get_mut(&key) else { return };
        queue.retain(|w| !Arc::ptr_eq(w, waiting));
        if queue.is_empty() {
            queues.remove(&key);
        }
    }
}

fn wake(table: &Table, key: Key, most: u32, bits: u32) -> u32 {
    let mut queues = lock(&table.queues);
    let Some(queue) = queues.get_mut(&key) else { return 0 };
    let mut woken = 0;
    queue.retain(|waiting| {
        let chosen = woken < most && waiting.bits & bits != 0;
        if chosen && waiting.answer(0) {
            woken += 1;
        }
        !chosen
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
        kernel: Arc::clone(call.kernel),
        thread: Arc::clone(call.thread),
        id: call.id,
        bits,
        over: AtomicBool::new(false),
        key: Mutex::new(key),
        alarm: Mutex::new(None),
    });
    let interrupted = Arc::clone(&waiting);
    let interrupt = Box::new(move || interrupted.interrupt(restart));
    *lock(&call.thread.parked) = Some(interrupt);
    let word = {
        let mut queues = lock(&table.queues);
        let word = space.memory.read_u32(address);
        if word == Ok(expected) {
            queues.entry(key).or_default().push(Arc::clone(&waiting));
        }
        word
    };
    if word != Ok(expected) {
        let errno = if word.is_err() { Errno::FAULT } else { Errno::AGAIN };
        return Err(if waiting.claim() { errno.into() } else { Failure::Answered });
    }
    if let Some(end) = deadline {
        let late = Arc::clone(&waiting);
        let action = Box::new(move |kernel: &Arc<Kernel>| {
            if late.answer(-i64::from(Errno::TIMEDOUT.raw_os_error())) {
                kernel.futexes.remove(&late);
            }
        });
        let alarm = call.kernel.alarms.set(call.kernel, end, action);
        *lock(&waiting.alarm) = Some(alarm);
        if waiting.over.load(Ordering::SeqCst) {
            call.kernel.alarms.cancel(alarm);
        }
    }
    // What came before it could be told.
    if call.waiter().is_interrupted() {
        waiting.interrupt(restart);
    }
    Err(Failure::Answered)
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
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut count = 0;
    queue.retain(|waiting| {
        let chosen = count < most;
        if chosen && waiting.answer(0) {
            count += 1;
        }
        !chosen
    });
    let rest = queue.split_off(queue.len().min(moved));
    let total = count + if compare { queue.len() } else { 0 };
    queue.iter().for_each(|waiting| *lock(&waiting.key) = to);
    if !queue.is_empty() {
        queues.entry(to).or_default().extend(queue);
    }
    if !rest.is_empty() {
        queues.entry(from).or_default().extend(rest);
    }
    Ok(i64::try_from(total).unwrap_or(0))
}

const REALTIME: u32 = 256;
const PRIVATE: u32 = 128;
const WAIT: u32 = 0;
const WAKE: u32 = 1;
const REQUEUE: u32 = 3;
const CMP_REQUEUE: u32 = 4;
const WAIT_BITSET: u32 = 9;
const WAKE_BITSET: u32 = 10;

/// Whether the host makes a call itself. A private futex is a word and threads of one
/// address space, which the stub's is, and its operation is in registers: it means
/// to the host what it means to the guest. A thread that waits so takes nothing of
/// the sentry's, and no place in the list of those who wait for an answer, which
/// the host searches from one end. Those that change the word, and inheritance of
/// priorities, are none of it.
fn by_the_host(operation: u32) -> bool {
    let plain = matches!(
        operation & !(REALTIME | PRIVATE),
        WAIT | WAKE | REQUEUE | CMP_REQUEUE | WAIT_BITSET | WAKE_BITSET
    );
    plain && operation & PRIVATE != 0
}

/// A thread that was let wait by the host reports before its next call: whether
/// its wait was interrupted, and how it goes on then. The registers are set to
/// before the call, as the host does it with calls that it makes again.
pub fn interrupted(thread: &Arc<Thread>, context: &mut Context, args: [u64; 6]) -> Option<Restart> {
    const FUTEX: u64 = 202;
    const SYSCALL: [u8; 2] = [0x0f, 0x05];
    let memory = thread.memory();
    let is_call = |at: u64| memory.read_array::<2>(at) == Ok(SYSCALL);
    if context.args() != args {
        return None;
    }
    let pointer = context.get(Register::Rip);
    match context.get(Register::Rax).cast_signed() {
        202 if is_call(pointer) => Some(Restart::IfAsked),
        // With a time the host makes nothing again. A time from now on can't be
        // told anew without its start: the guest sees the interruption.
        value if value == -i64::from(Errno::INTR.raw_os_error()) => {
            let absolute = args.get(1).is_some_and(|op| op & 0x7f == u64::from(WAIT_BITSET));
            let before = pointer.wrapping_sub(2);
            if !absolute || !is_call(before) {
                return None;
            }
            context.set(Register::Rip, before);
            context.set(Register::Rax, FUTEX);
            Some(Restart::Never)
        }
        _ => None,
    }
}

pub(super) fn futex(call: &Call<'_>) -> Outcome {
    if !call.arg(0).is_multiple_of(4) {
        return Err(Errno::INVAL.into());
    }
    let operation = call.uint(1);
    if by_the_host(operation) {
        if matches!(operation & !(REALTIME | PRIVATE), WAIT | WAIT_BITSET) {
            *lock(&call.thread.host_wait) = Some(call.args);
        }
        return Err(Failure::Host);
    }
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
