//! What processes used: getrusage(2), times(2).

use std::sync::Arc;

use rustix::io::Errno;

use crate::kernel::{Frame, Kernel};
use crate::platform::HostCall;
use crate::platform::context::Register;
use crate::signal;
use crate::task::Thread;
use crate::task::waiter::lock;
use crate::time::Usage;

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

/// A `struct rusage` that knows the times alone.
pub(super) fn bytes_of(usage: Usage) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    if let Some(room) = bytes.get_mut(..32) {
        room.copy_from_slice(&times_of(usage));
    }
    bytes
}

pub(super) fn getrusage(call: &Call<'_>) -> Outcome {
    const CHILDREN: i32 = -1;
    const OWN: i32 = 0;
    const THREAD: i32 = 1;
    match call.int(0) {
        CHILDREN => {
            let children = lock(&call.thread.process.accounts).children;
            call.memory().write(call.arg(1), &bytes_of(children))?;
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
        let copy = memory.read_array::<SIZE>(scratch).and_then(|mut bytes| {
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
    call.kernel.order(call.thread, call.id, frame, host, Box::new(then));
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
