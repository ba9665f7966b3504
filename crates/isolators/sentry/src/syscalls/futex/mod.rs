//! futex(2): waiting on a word of memory.

mod inherited;
mod table;
mod vector;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rustix::io::Errno;

use crate::kernel::{Frame, Kernel};
use crate::mm::Space;
use crate::platform::HostCall;
use crate::platform::context::{Context, Register};
use crate::task::waiter::lock;
use crate::task::{Restart, Thread};

pub use inherited::{died, ended};
pub use table::Table;
pub(super) use vector::futex_waitv;

use super::memory::{finish, in_turn};
use super::{Call, Failure, Framed, Outcome, time};
use table::{Key, Place, Waiting, key};

/// Its number.
const FUTEX: u64 = 202;

const REALTIME: u32 = 256;
const PRIVATE: u32 = 128;
/// `FUTEX_*`
mod op {
    pub(super) const WAIT: u32 = 0;
    pub(super) const WAKE: u32 = 1;
    pub(super) const REQUEUE: u32 = 3;
    pub(super) const CMP_REQUEUE: u32 = 4;
    pub(super) const WAKE_OP: u32 = 5;
    pub(super) const LOCK_PI: u32 = 6;
    pub(super) const UNLOCK_PI: u32 = 7;
    pub(super) const TRYLOCK_PI: u32 = 8;
    pub(super) const WAIT_BITSET: u32 = 9;
    pub(super) const WAKE_BITSET: u32 = 10;
    pub(super) const WAIT_REQUEUE_PI: u32 = 11;
    pub(super) const CMP_REQUEUE_PI: u32 = 12;
    pub(super) const LOCK_PI2: u32 = 13;
}

/// Wakes those who wait for a word of `space`.
pub fn wake_private(kernel: &Kernel, space: &Arc<Space>, address: u64, most: u32) {
    kernel.futexes.wake(key(space, address), most, u32::MAX);
}

/// Waits on a word; `target` is the lock to wait for next, and its address.
fn wait(
    call: &Call<'_>,
    deadline: Option<Instant>,
    bits: u32,
    restart: Restart,
    target: Option<(Key, u64)>,
) -> Outcome {
    let space = call.thread.space();
    let (address, expected) = (call.arg(0), call.uint(2));
    let key = key(&space, address);
    let waiting = Waiting::new(call, target.map_or(0, |(_, at)| at), restart, false);
    let word = {
        let mut queues = lock(&call.kernel.futexes.queues);
        let word = space.memory.read_u32(address);
        if word == Ok(expected) {
            let (waiting, target) = (Arc::clone(&waiting), target.map(|(key, _)| key));
            queues.add(key, Place { waiting, bits, answer: 0, target });
        }
        word
    };
    match word {
        Ok(word) if word == expected => waiting.stay(call, deadline),
        Ok(_) => waiting.instead(Err(Errno::AGAIN.into())),
        Err(_) => waiting.instead(Err(Errno::FAULT.into())),
    }
}

fn requeue(call: &Call<'_>, compare: bool) -> Outcome {
    let space = call.thread.space();
    let (from, to) = (key(&space, call.arg(0)), key(&space, call.arg(4)));
    let (most, moved) = (call.int(2), call.int(3));
    let most = u32::try_from(most).map_err(|_| Errno::INVAL)?;
    let moved = usize::try_from(moved).map_err(|_| Errno::INVAL)?;
    if !call.arg(4).is_multiple_of(4) {
        return Err(Errno::INVAL.into());
    }
    // The first one is compared below, if it is.
    if !compare {
        space.memory.read_u32(call.arg(0))?;
    }
    space.memory.read_u32(call.arg(4))?;
    let mut queues = lock(&call.kernel.futexes.queues);
    if compare && space.memory.read_u32(call.arg(0))? != call.uint(5) {
        return Err(Errno::AGAIN.into());
    }
    if queues.words.get(&from).is_some_and(|all| all.iter().any(|place| place.target.is_some())) {
        return Err(Errno::INVAL.into());
    }
    let woken = if most == 0 { 0 } else { queues.wake(from, most, u32::MAX) };
    let mut queue = queues.words.remove(&from).unwrap_or_default();
    let rest = queue.split_off(queue.len().min(moved));
    let total =
        i64::from(woken) + if compare { i64::try_from(queue.len()).unwrap_or(0) } else { 0 };
    for place in &queue {
        for key in lock(&place.waiting.keys).iter_mut().filter(|key| **key == from) {
            *key = to;
        }
    }
    if !rest.is_empty() {
        queues.words.insert(from, rest);
    }
    if !queue.is_empty() {
        queues.words.entry(to).or_default().extend(queue);
    }
    Ok(total)
}

/// Whether the host makes a call itself. A private futex is a word and threads of one
/// address space, which the stub's is, and its operation is in registers: it means
/// to the host what it means to the guest. A thread that waits so takes nothing of
/// the sentry's, and no place in the list of those who wait for an answer, which
/// the host searches from one end. A word that `WAKE_OP` changes is one that the guest
/// could change. Locks whose word names the holder are none of it: to the host, threads
/// have other numbers.
fn by_the_host(operation: u32) -> bool {
    let plain = matches!(
        operation & !(REALTIME | PRIVATE),
        op::WAIT
            | op::WAKE
            | op::REQUEUE
            | op::CMP_REQUEUE
            | op::WAKE_OP
            | op::WAIT_BITSET
            | op::WAKE_BITSET
    );
    plain && operation & PRIVATE != 0
}

/// A thread that was let wait by the host reports before its next call: whether
/// its wait was interrupted, and how it goes on then. The registers are set to
/// before the call, as the host does it with calls that it makes again.
pub fn interrupted(thread: &Arc<Thread>, context: &mut Context, args: [u64; 6]) -> Option<Restart> {
    const SYSCALL: [u8; 2] = [0x0f, 0x05];
    let memory = thread.memory();
    let is_call = |at: u64| memory.read_array::<2>(at) == Ok(SYSCALL);
    if context.args() != args {
        return None;
    }
    let pointer = context.get(Register::Rip);
    match context.get(Register::Rax).cast_signed() {
        202 | 449 if is_call(pointer) => Some(Restart::IfAsked),
        // With a time the host makes nothing again. A time from now on can't be
        // told anew without its start: the guest sees the interruption.
        value if value == -i64::from(Errno::INTR.raw_os_error()) => {
            let absolute = args.get(1).is_some_and(|op| op & 0x7f == u64::from(op::WAIT_BITSET));
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

/// Whether a call is one that waits on the host.
pub(super) fn waits_on_host(args: [u64; 6]) -> bool {
    let [address, operation, ..] = args;
    let operation = u32::try_from(operation & 0xffff_ffff).unwrap_or(0);
    let waits = matches!(operation & !(REALTIME | PRIVATE), op::WAIT | op::WAIT_BITSET);
    waits && by_the_host(operation) && address.is_multiple_of(4)
}

/// Whether its time, if it has one, counts from its start.
pub(super) fn is_relative(args: [u64; 6]) -> bool {
    let [_, operation, ..] = args;
    operation & 0x7f == u64::from(op::WAIT)
}

pub(super) fn futex(call: &Call<'_>) -> Outcome {
    let operation = call.uint(1);
    let plain = operation & !(REALTIME | PRIVATE);
    let timed = matches!(plain, op::WAIT_BITSET | op::WAIT_REQUEUE_PI | op::LOCK_PI2);
    if operation & REALTIME != 0 && !timed {
        return Err(Errno::NOSYS.into());
    }
    if !call.arg(0).is_multiple_of(4) {
        return Err(Errno::INVAL.into());
    }
    if by_the_host(operation) {
        if matches!(plain, op::WAIT | op::WAIT_BITSET) {
            *lock(&call.thread.host_wait) = Some(call.args);
        }
        let wakes = matches!(plain, op::WAKE | op::WAKE_BITSET);
        if wakes && call.kernel.futexes.mixed.load(Ordering::SeqCst) > 0 {
            let bits = if plain == op::WAKE { u32::MAX } else { call.uint(5) };
            let (most, Ok(woken)) = (i64::from(call.int(2)), woken(call, bits)) else {
                return Err(Failure::Host);
            };
            if woken > 0 && woken >= most {
                return Ok(woken);
            }
        }
        return Err(Failure::Host);
    }
    let bits = call.uint(5);
    let absolute = || match call.arg(3) {
        0 => Ok(None),
        address => time::absolute(call, address, operation & REALTIME != 0).map(Some),
    };
    match plain {
        op::WAIT => {
            let deadline = time::deadline_at(call, call.arg(3))?;
            let deadline = call.continued.or(deadline);
            let restart = deadline.map_or(Restart::IfAsked, Restart::Until);
            wait(call, deadline, u32::MAX, restart, None)
        }
        op::WAIT_BITSET if bits != 0 => {
            let deadline = call.continued.or(absolute()?);
            let restart = deadline.map_or(Restart::IfAsked, Restart::Until);
            wait(call, deadline, bits, restart, None)
        }
        op::WAKE => woken(call, u32::MAX),
        op::WAKE_BITSET if bits != 0 => woken(call, bits),
        op::REQUEUE => requeue(call, false),
        op::CMP_REQUEUE => requeue(call, true),
        op::WAKE_OP => Err(Failure::NeedsFrame),
        op::LOCK_PI | op::LOCK_PI2 => {
            inherited::take(call, false, inherited::deadline(call, operation)?)
        }
        op::TRYLOCK_PI => inherited::take(call, true, None),
        op::UNLOCK_PI => inherited::release(call),
        op::CMP_REQUEUE_PI => inherited::requeue(call),
        op::WAIT_REQUEUE_PI => {
            let deadline = absolute()?;
            let (space, at) = (call.thread.space(), call.arg(4));
            let target = key(&space, at);
            if target == key(&space, call.arg(0)) || !at.is_multiple_of(4) {
                return Err(Errno::INVAL.into());
            }
            wait(call, deadline, u32::MAX, Restart::Always, Some((target, at)))
        }
        op::WAIT_BITSET | op::WAKE_BITSET => Err(Errno::INVAL.into()),
        // `FUTEX_FD`, and what is not there yet.
        _ => Err(Errno::NOSYS.into()),
    }
}

/// Those that change a word.
pub(super) fn futex_with_frame(call: &Call<'_>, frame: &Frame) -> Framed {
    match call.uint(1) & !(REALTIME | PRIVATE) {
        op::WAKE_OP => wake_and_change(call, frame),
        _ => inherited::mark(call, frame),
    }
}

/// Wakes those who wait for a word here. If nobody does, the word is looked for: of a shared
/// one Linux asks what it belongs to, of a private one no more than whether it is an address.
fn woken(call: &Call<'_>, bits: u32) -> Outcome {
    let most = u32::try_from(call.int(2).max(1)).unwrap_or(1);
    let space = call.thread.space();
    let woken = call.kernel.futexes.wake(key(&space, call.arg(0)), most, bits);
    if woken == 0 && call.uint(1) & PRIVATE == 0 {
        space.memory.read_u32(call.arg(0))?;
    }
    Ok(woken.into())
}

/// `FUTEX_WAKE_OP` on shared words: the thread changes the second one by the host's call.
/// What that found there is not told, so if in doubt, those who wait there are woken.
fn wake_and_change(call: &Call<'_>, frame: &Frame) -> Framed {
    let [first, _, most, most_second, second, change] = call.args;
    let (space, ()) = in_turn(call, |_| Ok(()))?;
    let keys = (key(&space, first), key(&space, second));
    let before = space.memory.read_u32(second);
    let args = [first, (op::WAKE_OP | PRIVATE).into(), 0, 0, second, change];
    let saved = frame.clone();
    let count = |argument: u64| u32::try_from(argument & 0x7fff_ffff).unwrap_or(1).max(1);
    let then = move |kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, result: i64| {
        space.pass_turn();
        let mut answer = result;
        if result >= 0 {
            let after = space.memory.read_u32(second);
            let known = before.ok().filter(|before| Ok(changed(*before, change)) == after);
            let known = known.filter(|_| change >> 28 & 7 != 0);
            let mut queues = lock(&kernel.futexes.queues);
            let mut woken = queues.wake(keys.0, count(most), u32::MAX);
            if known.is_none_or(|before| compares(before, change)) {
                woken += queues.wake(keys.1, count(most_second), u32::MAX);
            }
            answer = woken.into();
        }
        finish(kernel, thread, id, saved, answer);
    };
    let host = HostCall { number: FUTEX, args };
    call.kernel.order(call.thread, call.id, frame, host, Box::new(then));
    Ok(None)
}

/// A field of twelve bits with a sign.
fn field(change: u64, at: u32) -> u32 {
    let bits = u32::try_from(change >> at & 0xfff).unwrap_or(0);
    if bits & 0x800 != 0 { bits | 0xffff_f000 } else { bits }
}

/// What the operation makes of a word.
fn changed(word: u32, change: u64) -> u32 {
    let argument = field(change, 12);
    let argument =
        if change >> 31 & 1 != 0 { 1_u32.checked_shl(argument).unwrap_or(0) } else { argument };
    match change >> 28 & 7 {
        0 => argument,
        1 => word.wrapping_add(argument),
        2 => word | argument,
        3 => word & !argument,
        _ => word ^ argument,
    }
}

/// Whether those who wait for the second word are to be woken, too.
fn compares(word: u32, change: u64) -> bool {
    let (word, other) = (word.cast_signed(), field(change, 0).cast_signed());
    match change >> 24 & 15 {
        0 => word == other,
        1 => word != other,
        2 => word < other,
        3 => word <= other,
        4 => word > other,
        _ => word >= other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_on_words_are_those_of_the_kernel() {
        let operation = |op: u64, cmp: u64, argument: u64, other: u64| {
            op << 28 | cmp << 24 | argument << 12 | other
        };
        assert_eq!(changed(5, operation(0, 0, 9, 0)), 9);
        assert_eq!(changed(5, operation(1, 0, 0xfff, 0)), 4);
        assert_eq!(changed(5, operation(10, 0, 31, 0)), 0x8000_0005);
        assert_eq!(changed(7, operation(3, 0, 2, 0)), 5);
        assert_eq!(changed(7, operation(4, 0, 1, 0)), 6);
        assert!(compares(5, operation(0, 4, 0, 4)) && !compares(5, operation(0, 4, 0, 5)));
        assert!(compares(5, operation(0, 5, 0, 0xfff)) && compares(5, operation(0, 1, 0, 4)));
    }
}
