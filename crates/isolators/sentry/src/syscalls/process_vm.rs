//! process_vm_readv(2), process_vm_writev(2): between the caller and who it may trace.

use rustix::io::Errno;

use crate::platform::GuestMemory;
use crate::task::may_trace;
use crate::task::waiter::lock;

use super::{Call, Outcome};

/// Ranges of one side at most (`UIO_MAXIOV`).
const MOST: u64 = 1024;
/// What is copied at once.
const CHUNK: usize = 64 << 10;

/// Ranges that a list tells of.
pub(super) fn ranges(
    memory: &GuestMemory,
    list: u64,
    count: u64,
) -> Result<Vec<(u64, u64)>, Errno> {
    if count > MOST {
        return Err(Errno::INVAL);
    }
    let mut bytes = vec![0; usize::try_from(count * 16).unwrap_or(0)];
    memory.read(list, &mut bytes)?;
    let words: Vec<u64> =
        bytes.chunks_exact(8).map(|w| w.try_into().map_or(0, u64::from_le_bytes)).collect();
    let pairs: Vec<(u64, u64)> =
        words.chunks_exact(2).filter_map(|p| Some((*p.first()?, *p.get(1)?))).collect();
    if pairs.iter().any(|(_, length)| i64::try_from(*length).is_err()) {
        return Err(Errno::INVAL);
    }
    Ok(pairs)
}

/// The next piece of a list from where the copy is, and moves on.
fn next(list: &mut Vec<(u64, u64)>) -> Option<(u64, u64)> {
    while list.first().is_some_and(|(_, length)| *length == 0) {
        list.remove(0);
    }
    list.first().copied()
}

fn advance(list: &mut [(u64, u64)], by: u64) {
    if let Some((start, length)) = list.first_mut() {
        *start = start.wrapping_add(by);
        *length -= by;
    }
}

fn copy(call: &Call<'_>, write: bool) -> Outcome {
    if call.arg(5) != 0 {
        return Err(Errno::INVAL.into());
    }
    let own = call.memory();
    let mut local = ranges(&own, call.arg(1), call.arg(2))?;
    let mut remote = ranges(&own, call.arg(3), call.arg(4))?;
    let other =
        lock(&call.kernel.tree).thread(call.id_of(call.int(0))).cloned().ok_or(Errno::SRCH)?;
    let who = super::identity::who(call);
    let same = other.process.pid == call.thread.process.pid;
    if !same && !may_trace(&who, &other.process, false) {
        return Err(Errno::PERM.into());
    }
    let theirs = other.own_space().memory.clone();
    let (mut done, mut piece) = (0_u64, vec![0; CHUNK]);
    while let (Some(here), Some(there)) = (next(&mut local), next(&mut remote)) {
        let wanted = here.1.min(there.1).min(CHUNK as u64);
        let part = piece.get_mut(..usize::try_from(wanted).unwrap_or(0)).unwrap_or_default();
        let (from, to) = if write {
            ((&own, here.0), (&theirs, there.0))
        } else {
            ((&theirs, there.0), (&own, here.0))
        };
        let read = from.0.read_some(from.1, part);
        let written = to.0.write_some(to.1, part.get(..read).unwrap_or_default());
        done += written as u64;
        if (written as u64) < wanted {
            if done == 0 {
                return Err(Errno::FAULT.into());
            }
            break;
        }
        advance(&mut local, wanted);
        advance(&mut remote, wanted);
    }
    Ok(i64::try_from(done).unwrap_or(0))
}

pub(super) fn process_vm_readv(call: &Call<'_>) -> Outcome {
    copy(call, false)
}

pub(super) fn process_vm_writev(call: &Call<'_>) -> Outcome {
    copy(call, true)
}
