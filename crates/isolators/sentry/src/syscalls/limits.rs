//! Resource limits: getrlimit(2), setrlimit(2), prlimit(2).

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::mm::Areas;
use crate::signal::{self, Info, SI_KERNEL, Target};
use crate::task::limits::{INFINITY, MOST_FILES, resource};
use crate::task::waiter::lock;
use crate::task::{Caps, Process, Status, exit_process};
use crate::time::{Source, Timer};

use super::{Call, Failure, Outcome};

const SIGXCPU: i32 = 24;
const SIGXFSZ: i32 = 25;

fn give(call: &Call<'_>, address: u64, (soft, hard): (u64, u64)) -> Outcome {
    call.memory().write(address, &[soft.to_le_bytes(), hard.to_le_bytes()].concat())?;
    Ok(0)
}

fn take(call: &Call<'_>, address: u64) -> Result<(u64, u64), Errno> {
    Ok(call.memory().read_pair(address)?)
}

/// Hard limits are raised by who may, but for files no further than the kernel has room.
fn set(call: &Call<'_>, process: &Arc<Process>, which: u32, new: (u64, u64)) -> Result<(), Errno> {
    let (soft, hard) = new;
    if soft > hard {
        return Err(Errno::INVAL);
    }
    {
        let mut limits = lock(&process.limits);
        let (_, old) = limits.get(which).ok_or(Errno::INVAL)?;
        if hard > old {
            lock(&call.thread.credentials).require(Caps::SYS_RESOURCE)?;
        }
        if which == resource::NOFILE && hard > MOST_FILES {
            return Err(Errno::PERM);
        }
        limits.set(which, new);
    }
    match which {
        resource::NOFILE => {
            let files = Arc::clone(&lock(&process.files));
            files.set_limit(u32::try_from(soft).unwrap_or(u32::MAX));
        }
        resource::CPU => watch(call.kernel, process, soft),
        _ => {}
    }
    Ok(())
}

/// Has a process told, once a second, that it has used too much processor time; the hard
/// limit ends it.
pub fn watch(kernel: &Arc<Kernel>, process: &Arc<Process>, soft: u64) {
    let weak = Arc::downgrade(process);
    let source = Source::Processor(weak.clone(), false);
    let timer = Timer::new(
        source,
        Box::new(move |kernel: &Arc<Kernel>, _| {
            let Some(process) = weak.upgrade() else { return };
            let hard = lock(&process.limits).get(resource::CPU).map_or(INFINITY, |(_, hard)| hard);
            if process.usage(kernel).total().as_secs() >= hard {
                exit_process(kernel, &process, Status::Killed(9, false));
                return;
            }
            signal::send(kernel, &Target::Process(process), Info::new(SIGXCPU, SI_KERNEL));
        }),
    );
    let first = (soft != INFINITY).then(|| Duration::from_secs(soft.clamp(1, 1 << 32)));
    timer.set(kernel, first, Duration::from_secs(1));
    lock(&process.timers).limit(timer);
}

pub(super) fn getrlimit(call: &Call<'_>) -> Outcome {
    let limit = lock(&call.thread.process.limits).get(call.uint(0)).ok_or(Errno::INVAL)?;
    give(call, call.arg(1), limit)
}

pub(super) fn setrlimit(call: &Call<'_>) -> Outcome {
    let new = take(call, call.arg(1))?;
    set(call, &call.thread.process, call.uint(0), new)?;
    Ok(0)
}

pub(super) fn prlimit64(call: &Call<'_>) -> Outcome {
    let pid = call.id_of(call.int(0));
    let process = if pid == 0 {
        Arc::clone(&call.thread.process)
    } else {
        let tree = lock(&call.kernel.tree);
        tree.process(pid).ok_or(Errno::SRCH)?
    };
    if process.pid != call.thread.process.pid {
        let who = lock(&call.thread.credentials).clone();
        let theirs = process.who();
        let same = |own: [u32; 4], theirs: [u32; 4]| theirs.iter().take(3).all(|id| *id == own[0]);
        if !same(who.users, theirs.users) || !same(who.groups, theirs.groups) {
            who.require_in(&theirs.space, Caps::SYS_RESOURCE)?;
        }
    }
    let which = call.uint(1);
    let old = lock(&process.limits).get(which).ok_or(Errno::INVAL)?;
    if call.arg(2) != 0 {
        let new = take(call, call.arg(2))?;
        set(call, &process, which, new)?;
    }
    if call.arg(3) != 0 { give(call, call.arg(3), old) } else { Ok(0) }
}

/// Whether the process may have so many bytes more mapped; `data` if they are private and
/// can be written.
pub(super) fn allow_memory(
    call: &Call<'_>,
    areas: &Areas,
    more: u64,
    data: bool,
) -> Result<(), Errno> {
    allow_memory_of(&call.thread.process, areas, more, data)
}

/// The same, for who makes no call.
pub(super) fn allow_memory_of(
    process: &Process,
    areas: &Areas,
    more: u64,
    data: bool,
) -> Result<(), Errno> {
    let (all, own) = {
        let limits = lock(&process.limits);
        (limits.soft(resource::AS), limits.soft(resource::DATA))
    };
    let over = |limit: u64, now: &dyn Fn() -> u64| {
        limit != INFINITY && now().checked_add(more).is_none_or(|sum| sum > limit)
    };
    if over(all, &|| areas.total()) || (data && over(own, &|| areas.data())) {
        return Err(Errno::NOMEM);
    }
    Ok(())
}

/// How much of a write of `length` bytes at `offset` into a file `RLIMIT_FSIZE` allows.
///
/// # Errors
/// `EFBIG` if nothing; then the thread has a signal.
pub fn allow_size(call: &Call<'_>, offset: u64, length: usize) -> Result<usize, Failure> {
    let limit = lock(&call.thread.process.limits).soft(resource::FSIZE);
    if limit == INFINITY || length == 0 {
        return Ok(length);
    }
    if offset >= limit {
        let target = Target::Thread(Arc::clone(call.thread));
        let [user, ..] = lock(&call.thread.credentials).users;
        let info = Info::from_user(SIGXFSZ, signal::SI_USER, call.thread.process.pid, user);
        signal::send(call.kernel, &target, info);
        return Err(Errno::FBIG.into());
    }
    Ok(length.min(usize::try_from(limit - offset).unwrap_or(length)))
}

/// Whether a file of `size` may come to have `wanted` bytes (`RLIMIT_FSIZE`).
///
/// # Errors
/// `EFBIG`; then the thread has a signal.
pub(super) fn allow_growth(call: &Call<'_>, size: u64, wanted: u64) -> Result<(), Failure> {
    if wanted > size { allow_size(call, wanted - 1, 1).map(drop) } else { Ok(()) }
}
