//! What processes used: getrusage(2), times(2).

use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::kernel::{Frame, Kernel};
use crate::platform::context::Register;
use crate::platform::{Counted, HostCall};
use crate::signal;
use crate::task::waiter::lock;
use crate::task::{Spent, Thread};
use crate::time::{self, Usage};

use super::{Call, Failure, Framed, Outcome};

/// Bytes of `struct rusage`.
pub(super) const SIZE: usize = 144;

/// The times of a `struct rusage`.
pub(super) fn times_of(usage: Usage) -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut room = bytes.chunks_exact_mut(8);
    for time in [usage.user, usage.system] {
        for part in [time.as_secs(), time.subsec_micros().into()] {
            if let Some(room) = room.next() {
                room.copy_from_slice(&part.to_le_bytes());
            }
        }
    }
    bytes
}

/// Where `struct rusage` has the most memory, and the events that are counted.
const MEMORY: usize = 32;
const EVENTS: [usize; 6] = [64, 72, 88, 96, 128, 136];

/// Adds what was counted elsewhere to a `struct rusage`.
fn add(bytes: &mut [u8; SIZE], more: Counted) {
    let mut change = |at: usize, f: &dyn Fn(u64) -> u64| {
        if let Some(room) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<8>()) {
            *room = f(u64::from_le_bytes(*room)).to_le_bytes();
        }
    };
    change(MEMORY, &|old| old.max(more.most_memory));
    EVENTS.iter().zip(more.events).for_each(|(at, count)| change(*at, &|old| old + count));
}

/// A `struct rusage`.
fn whole(times: Usage, counted: Counted) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    if let Some(room) = bytes.get_mut(..32) {
        room.copy_from_slice(&times_of(times));
    }
    add(&mut bytes, counted);
    bytes
}

/// That of a child. What its stub counted is waited for.
pub(super) fn bytes_of(spent: Spent) -> [u8; SIZE] {
    whole(spent.times, time::sum(&Mutex::new(spent.tally), |tally| tally))
}

pub(super) fn getrusage(call: &Call<'_>) -> Outcome {
    const CHILDREN: i32 = -1;
    const OWN: i32 = 0;
    const THREAD: i32 = 1;
    match call.int(0) {
        CHILDREN => {
            let children = lock(&call.thread.process.accounts).children;
            let counting = &call.thread.process.counting;
            let counted = time::sum(counting, |counting| &mut counting.children);
            call.memory().write(call.arg(1), &whole(children, counted))?;
            Ok(0)
        }
        OWN => Err(Failure::NeedsFrame),
        THREAD => Err(Failure::Host),
        _ => Err(Errno::INVAL.into()),
    }
}

/// The host knows the stub's memory and faults; the times are those of all the
/// process's stubs.
pub(super) fn getrusage_of_process(call: &Call<'_>, frame: &Frame) -> Framed {
    const GETRUSAGE: u64 = 98;
    let scratch = lock(&call.thread.place).slot.scratch();
    let (mut own, address) = (frame.clone(), call.arg(1));
    let then = move |kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, result: i64| {
        let memory = thread.memory();
        let times = times_of(thread.process.usage(kernel));
        let former = time::sum(&thread.process.counting, |counting| &mut counting.own);
        let copy = memory.read_array::<SIZE>(scratch).and_then(|mut bytes| {
            add(&mut bytes, former);
            if let Some(room) = bytes.get_mut(..32) {
                room.copy_from_slice(&times);
            }
            memory.write(address, &bytes)
        });
        let answer = match copy {
            _ if result < 0 => result,
            Ok(()) => 0,
            Err(_) => -i64::from(Errno::FAULT.raw_os_error()),
        };
        own.context.set(Register::Rax, answer.cast_unsigned());
        signal::resume(kernel, thread, id, &mut own);
    };
    let host = HostCall { number: GETRUSAGE, args: [0, scratch, 0, 0, 0, 0] };
    let then = (false, Box::new(then) as crate::task::thread::Then);
    call.kernel.order_aside(call.thread, call.id, frame, host, then);
    Ok(None)
}

pub(super) fn times(call: &Call<'_>) -> Outcome {
    let process = &call.thread.process;
    if call.arg(0) != 0 {
        let own = process.usage(call.kernel);
        let children = lock(&process.accounts).children;
        let all = [own.user, own.system, children.user, children.system];
        let ticks = all.map(|time| u64::try_from(time.as_millis() / 10).unwrap_or(u64::MAX));
        let bytes: Vec<u8> = ticks.iter().flat_map(|t| t.to_le_bytes()).collect();
        call.memory().write(call.arg(0), &bytes)?;
    }
    let since = call.kernel.booted.elapsed().as_millis() / 10;
    Ok(i64::try_from(since).unwrap_or(0))
}
