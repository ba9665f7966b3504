//! Priorities of input and output: ioprio_set(2), ioprio_get(2). They are kept; the host's
//! disks know nothing of them.

use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::task::Caps;

use super::scheduling::{may_change, of};
use super::{Call, Outcome};
use crate::task::waiter::lock;

/// Classes: real-time, best effort, idle.
const REAL_TIME: i32 = 1;
const BEST_EFFORT: i32 = 2;
const IDLE: i32 = 3;
const SHIFT: u32 = 13;
/// Levels of a class.
const LEVELS: i32 = 8;

pub(super) fn ioprio_set(call: &Call<'_>) -> Outcome {
    let priority = call.int(2);
    let (class, data) = (priority >> SHIFT, priority & ((1 << SHIFT) - 1));
    match class {
        REAL_TIME => {
            let who = lock(&call.thread.credentials).clone();
            if !who.can(Caps::SYS_ADMIN) {
                who.require(Caps::SYS_NICE)?;
            }
        }
        BEST_EFFORT if data < LEVELS => {}
        IDLE => {}
        0 if data == 0 => {}
        _ => return Err(Errno::INVAL.into()),
    }
    if class == REAL_TIME && data >= LEVELS {
        return Err(Errno::INVAL.into());
    }
    for process in of(call, call.int(0) - 1, call.int(1))? {
        may_change(call, &process)?;
        process.io_priority.store(priority, Ordering::SeqCst);
    }
    Ok(0)
}

pub(super) fn ioprio_get(call: &Call<'_>) -> Outcome {
    let all = of(call, call.int(0) - 1, call.int(1))?;
    // The best of them: the lowest number; what was not set is best effort, in the middle.
    let rank = |set: &i32| if *set == 0 { (BEST_EFFORT << SHIFT) | (LEVELS / 2) } else { *set };
    let set = all.iter().map(|process| process.io_priority.load(Ordering::SeqCst));
    Ok(set.min_by_key(rank).unwrap_or(0).into())
}
