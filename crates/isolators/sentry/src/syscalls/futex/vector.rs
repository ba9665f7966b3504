//! futex_waitv(2): waiting on several words.

use std::sync::Arc;

use rustix::io::Errno;

use crate::task::Restart;
use crate::task::waiter::lock;

use super::super::{Call, Failure, Outcome, time};
use super::PRIVATE;
use super::table::{Place, Waiting, key};

/// `FUTEX_WAITV_MAX`
const MOST: usize = 128;
/// `FUTEX_32`
const WORD: u32 = 2;

struct Element {
    expected: u32,
    address: u64,
    private: bool,
}

/// `struct futex_waitv`: value, address, flags, nothing.
fn element(bytes: &[u8]) -> Result<Element, Errno> {
    let long = |at: usize| {
        let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
        word.map_or(0, u64::from_le_bytes)
    };
    let (value, address, last) = (long(0), long(8), long(16));
    let flags = u32::try_from(last).map_err(|_| Errno::INVAL)?;
    if flags & !PRIVATE != WORD || !address.is_multiple_of(4) {
        return Err(Errno::INVAL);
    }
    let expected = u32::try_from(value & 0xffff_ffff).unwrap_or(0);
    Ok(Element { expected, address, private: flags & PRIVATE != 0 })
}

pub(in super::super) fn futex_waitv(call: &Call<'_>) -> Outcome {
    const SIZE: usize = 24;
    let count = usize::try_from(call.uint(1)).ok().filter(|count| (1..=MOST).contains(count));
    let count = count.filter(|_| call.uint(2) == 0 && call.arg(0) != 0).ok_or(Errno::INVAL)?;
    let deadline = match (call.arg(3), call.int(4)) {
        (0, _) => None,
        (address, clock @ 0..=1) => Some(time::absolute(call, address, clock == 0)?),
        _ => return Err(Errno::INVAL.into()),
    };
    let mut bytes = vec![0; count * SIZE];
    call.memory().read(call.arg(0), &mut bytes)?;
    let elements = bytes.chunks_exact(SIZE).map(element).collect::<Result<Vec<_>, _>>()?;
    if elements.iter().all(|element| element.private) {
        // Whatever is there when the host reads it: it only waits.
        *lock(&call.thread.host_wait) = Some(call.args);
        return Err(Failure::Host);
    }
    let mixed = elements.iter().any(|element| element.private);
    let space = call.thread.space();
    let keys: Vec<_> = elements.iter().map(|element| key(&space, element.address)).collect();
    let waiting = Waiting::new(call, 0, Restart::IfAsked, mixed);
    let refused = {
        let mut queues = lock(&call.kernel.futexes.queues);
        let refused =
            elements.iter().find_map(|element| match space.memory.read_u32(element.address) {
                Ok(word) if word == element.expected => None,
                Ok(_) => Some(Errno::AGAIN),
                Err(_) => Some(Errno::FAULT),
            });
        if refused.is_none() {
            for (answer, key) in (0..).zip(keys) {
                let waiting = Arc::clone(&waiting);
                queues.add(key, Place { waiting, bits: u32::MAX, answer, target: None });
            }
        }
        refused
    };
    match refused {
        Some(errno) => waiting.instead(Err(errno.into())),
        None => waiting.stay(call, deadline),
    }
}
