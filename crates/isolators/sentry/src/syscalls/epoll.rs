//! epoll(7) and eventfd(2).

use std::sync::Arc;
use std::time::Instant;

use rustix::io::Errno;

use crate::task::Restart;
use crate::task::waiter::{self, Woken};
use crate::vfs::{Device, Epoll, EpollFile, EventFd, OpenFile, Told, epoll_flag as flag, status};

use super::polling::with_mask;
use super::{Call, Failure, Outcome, time};

fn create(call: &Call<'_>, flags: u32) -> Outcome {
    if flags & !status::CLOSE_ON_EXEC != 0 {
        return Err(Errno::INVAL.into());
    }
    let epoll = Arc::new(Epoll::default());
    let file = OpenFile::of_epoll(Box::new(EpollFile(Arc::clone(&epoll))), epoll);
    Ok(call.files().add(file, 0, flags != 0)?.into())
}

pub(super) fn epoll_create1(call: &Call<'_>) -> Outcome {
    create(call, call.uint(0))
}

pub(super) fn epoll_create(call: &Call<'_>) -> Outcome {
    if call.int(0) <= 0 { Err(Errno::INVAL.into()) } else { create(call, 0) }
}

fn set(call: &Call<'_>) -> Result<Arc<Epoll>, Errno> {
    call.file(0)?.epoll.clone().ok_or(Errno::INVAL)
}

pub(super) fn epoll_ctl(call: &Call<'_>) -> Outcome {
    const ADD: i32 = 1;
    const DELETE: i32 = 2;
    const MODIFY: i32 = 3;
    /// `EPOLLIN`, `EPOLLOUT`, `EPOLLERR`, `EPOLLHUP`, `EPOLLWAKEUP`
    const WITH_EXCLUSIVE: u32 = 0x1d | 1 << 29 | flag::EDGE | flag::EXCLUSIVE;
    let number = call.uint(2);
    let (set, file) = (set(call)?, call.file(2)?);
    let operation = call.int(1);
    let (mut events, mut data) = (0, 0);
    if operation != DELETE {
        let [a, b, c, d, rest @ ..] = call.memory().read_array::<12>(call.arg(3))?;
        (events, data) = (u32::from_le_bytes([a, b, c, d]), u64::from_le_bytes(rest));
    }
    let file = file.opened()?;
    // What is always ready; the host's random devices can be waited for, too.
    if file.seekable || file.memory_device().is_some_and(|device| device != Device::Random) {
        return Err(Errno::PERM.into());
    }
    if events & flag::EXCLUSIVE != 0 && (operation == MODIFY || events & !WITH_EXCLUSIVE != 0) {
        return Err(Errno::INVAL.into());
    }
    if let Some(other) = &file.epoll {
        if Arc::ptr_eq(&set, other) || events & flag::EXCLUSIVE != 0 {
            return Err(Errno::INVAL.into());
        }
        match operation {
            ADD => return Ok(set.add_set(number, (&file, other), events, data).map(|()| 0)?),
            DELETE => return Ok(set.remove_set(number, (&file, other)).map(|()| 0)?),
            _ => {}
        }
    }
    match operation {
        ADD => set.add(number, &file, events, data)?,
        DELETE => set.remove(number, &file)?,
        MODIFY => set.modify(number, &file, events, data)?,
        _ => return Err(Errno::INVAL.into()),
    }
    Ok(0)
}

/// Tells of as many as there is memory for; of the others somebody else is told.
fn tell(call: &Call<'_>, set: &Epoll, found: &[Told]) -> Outcome {
    const EVENT: usize = 12;
    let bytes = |told: &Told| {
        let (events, data) = (told.events.to_le_bytes(), told.data.to_le_bytes());
        events.into_iter().chain(data)
    };
    let bytes: Vec<u8> = found.iter().flat_map(bytes).collect();
    let count = call.memory().write_some(call.arg(1), &bytes) / EVENT;
    set.put_back(found.get(count..).unwrap_or_default());
    if count == 0 { Err(Errno::FAULT.into()) } else { Ok(i64::try_from(count).unwrap_or(0)) }
}

fn wait(call: &Call<'_>, deadline: Option<Instant>) -> Outcome {
    const MOST: usize = 4096;
    let deadline = call.continued.or(deadline);
    let set = set(call)?;
    let most = usize::try_from(call.int(2)).ok().filter(|m| *m > 0).ok_or(Errno::INVAL)?;
    let mut last = false;
    loop {
        if !last {
            set.join(call.waiter());
        }
        let found = set.collect(most.min(MOST), true, Some(call.thread));
        if !found.is_empty() {
            set.leave(call.waiter());
            return tell(call, &set, &found);
        }
        match call.waiter().wait(deadline) {
            _ if last => return Ok(0),
            Woken::Called => {}
            // Who was called in the last moment, where others were not for that, looks.
            Woken::TimedOut => {
                set.leave(call.waiter());
                last = true;
            }
            Woken::Interrupted => {
                // Nor does a posted call stay in it, which its thread need not make again.
                if call.waiter().is_interrupted() || waiter::never_waits() {
                    set.leave(call.waiter());
                }
                return Err(Failure::Interrupted(Restart::UnlessStopped(deadline)));
            }
        }
    }
}

pub(super) fn epoll_wait(call: &Call<'_>) -> Outcome {
    wait(call, time::deadline_of_millis(call.int(3)))
}

pub(super) fn epoll_pwait(call: &Call<'_>) -> Outcome {
    let deadline = time::deadline_of_millis(call.int(3));
    with_mask(call, call.arg(4), call.arg(5), || wait(call, deadline))
}

pub(super) fn epoll_pwait2(call: &Call<'_>) -> Outcome {
    let deadline = time::deadline_at(call, call.arg(3))?;
    with_mask(call, call.arg(4), call.arg(5), || wait(call, deadline))
}

fn make_event(call: &Call<'_>, flags: u32) -> Outcome {
    const SEMAPHORE: u32 = 1;
    if flags & !(SEMAPHORE | status::CLOSE_ON_EXEC | status::NONBLOCK) != 0 {
        return Err(Errno::INVAL.into());
    }
    let event = EventFd::new(call.uint(0).into(), flags & SEMAPHORE != 0);
    let keep = flags & status::NONBLOCK | status::READ_WRITE;
    let file = OpenFile::stream(Box::new(event), keep);
    Ok(call.files().add(file, 0, flags & status::CLOSE_ON_EXEC != 0)?.into())
}

pub(super) fn eventfd(call: &Call<'_>) -> Outcome {
    make_event(call, 0)
}

pub(super) fn eventfd2(call: &Call<'_>) -> Outcome {
    make_event(call, call.uint(1))
}
