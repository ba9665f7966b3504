//! System V message queues: msgget(2), msgsnd(2), msgrcv(2), msgctl(2).

use std::sync::Arc;

use rustix::io::Errno;

use crate::ipc::messages::{LARGEST, MOST_QUEUES, Message, Queue, ROOM, Wanted};
use crate::ipc::objects::{Object, access, flag};
use crate::task::Restart;
use crate::task::waiter::{Woken, lock};
use crate::vfs::Time;

use super::identity::who;
use super::shared_memory::command;
use super::{Call, Failure, Outcome};

/// Commands of msgctl(2) that shmctl(2) has not.
mod own {
    pub(super) const STATUS_AT: u32 = 11;
    pub(super) const USE: u32 = 12;
    pub(super) const ANY_STATUS_AT: u32 = 13;
}
/// Flags of msgrcv(2).
mod receive {
    pub(super) const CUT: u32 = 0o10_000;
    pub(super) const EXCEPT: u32 = 0o20_000;
    pub(super) const COPY: u32 = 0o40_000;
}

pub(super) fn msgget(call: &Call<'_>) -> Outcome {
    let ipc = call.ipc();
    let all = &ipc.messages;
    let wanted = (call.int(0), call.uint(1));
    let make = || Ok(all.empty());
    Ok(lock(&all.queues).get(wanted, &who(call), MOST_QUEUES, |_| Ok(()), make)?.into())
}

/// Tries until `attempt` has a result; between tries it waits for the queue to change,
/// unless it is not to: then the call fails with `blocked`.
fn until<T>(
    call: &Call<'_>,
    wanted: u32,
    waits: bool,
    blocked: Errno,
    mut attempt: impl FnMut(&mut Queue) -> Result<Option<T>, Errno>,
) -> Result<T, Failure> {
    let ipc = call.ipc();
    let who = who(call);
    let mut waited = false;
    loop {
        let changed = {
            let mut queues = lock(&ipc.messages.queues);
            // Who waited for one that is gone is told so.
            let gone = |errno| if waited { Errno::IDRM } else { errno };
            let Object { permissions, content, .. } = queues.find(call.int(0)).map_err(gone)?;
            permissions.permit(&who, wanted)?;
            let changed = Arc::clone(&content.changed);
            // Under the lock, so that no change is missed.
            changed.join(call.waiter());
            if let Some(done) = attempt(content)? {
                drop(queues);
                changed.wake();
                return Ok(done);
            }
            changed
        };
        if !waits {
            return Err(blocked.into());
        }
        waited = true;
        if call.waiter().wait(None) == Woken::Interrupted {
            return Err(Failure::Interrupted(Restart::Never));
        }
        drop(changed);
    }
}

pub(super) fn msgsnd(call: &Call<'_>) -> Outcome {
    let (address, length, flags) = (call.arg(1), call.arg(2), call.uint(3));
    let kind = call.memory().read_u64(address)?.cast_signed();
    let length = usize::try_from(length).ok().filter(|length| *length <= LARGEST);
    let (Some(length), 1.., 0..) = (length, kind, call.int(0)) else {
        return Err(Errno::INVAL.into());
    };
    let mut text = vec![0; length];
    call.memory().read(address.wrapping_add(8), &mut text)?;
    let mut message = Some(Message { kind, text });
    let waits = flags & flag::NO_WAIT == 0;
    until(call, access::WRITE, waits, Errno::AGAIN, |queue| {
        if !queue.fits(length) {
            return Ok(None);
        }
        message.take().map(|message| queue.push(message, call.thread.process.pid)).transpose()
    })?;
    Ok(0)
}

pub(super) fn msgrcv(call: &Call<'_>) -> Outcome {
    let (address, room, flags) = (call.arg(1), call.arg(2), call.uint(4));
    let kind = call.arg(3).cast_signed();
    let room = usize::try_from(room).ok().filter(|room| isize::try_from(*room).is_ok());
    let (Some(room), 0..) = (room, call.int(0)) else { return Err(Errno::INVAL.into()) };
    let waits = flags & flag::NO_WAIT == 0;
    let copies = flags & receive::COPY != 0;
    if copies && (waits || flags & receive::EXCEPT != 0) {
        return Err(Errno::INVAL.into());
    }
    let wanted = match kind {
        _ if copies => Wanted::At(u64::try_from(kind).unwrap_or(u64::MAX)),
        0 => Wanted::Any,
        ..0 => Wanted::UpTo(kind.checked_neg().unwrap_or(i64::MAX)),
        _ if flags & receive::EXCEPT != 0 => Wanted::Other(kind),
        _ => Wanted::Kind(kind),
    };
    let cuts = flags & receive::CUT != 0;
    let message = until(call, access::READ, waits, Errno::NOMSG, |queue| {
        if copies {
            let copy = queue.copy(wanted);
            let long = copy.as_ref().is_some_and(|copy| copy.text.len() > room);
            return if long && !cuts { Err(Errno::TOOBIG) } else { Ok(copy) };
        }
        queue.take(wanted, room, cuts, call.thread.process.pid)
    })?;
    let text = message.text.get(..room).unwrap_or(&message.text);
    call.memory().write(address, &[&message.kind.to_le_bytes(), text].concat())?;
    Ok(i64::try_from(text.len()).unwrap_or(0))
}

/// `struct msqid64_ds`
fn describe(call: &Call<'_>, id: i32, queue: &Object<Queue>) -> Vec<u8> {
    let who = &who(call);
    let mut bytes = queue.permissions.bytes(id, 0, who).to_vec();
    let content = &queue.content;
    for time in content.times {
        bytes.extend_from_slice(&time.to_le_bytes());
    }
    for number in [content.bytes, content.count() as u64, content.room] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let (sender, receiver) = content.processes;
    for process in [sender, receiver] {
        bytes.extend_from_slice(&call.number_of(process).to_le_bytes());
    }
    bytes.extend_from_slice(&[0; 16]);
    bytes
}

/// `struct msginfo`; with what is in use for `MSG_INFO`.
fn limits(call: &Call<'_>, in_use: bool) -> Vec<u8> {
    let ipc = call.ipc();
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let room = i32::try_from(ROOM).unwrap_or(i32::MAX);
    let queues = lock(&ipc.messages.queues);
    let [pool, map, headers] = if in_use {
        let all = || queues.iter().map(|(_, queue)| &queue.content);
        let bytes: u64 = all().map(|queue| queue.bytes).sum();
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        [number(all().count()), number(all().map(Queue::count).sum()), bytes]
    } else {
        [number(MOST_QUEUES).saturating_mul(room / 1024), room, room]
    };
    let words = [pool, map, number(LARGEST), room, number(MOST_QUEUES), 16, headers, 0xffff];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

pub(super) fn msgctl(call: &Call<'_>) -> Outcome {
    let ipc = call.ipc();
    // IPC_64 is how C libraries of old ask for what is the only form here.
    let (asked, what) = (call.int(0), call.uint(1) & !0x100);
    let address = call.arg(2);
    let who = who(call);
    let all = &ipc.messages;
    if asked < 0 {
        return Err(Errno::INVAL.into());
    }
    if matches!(what, command::LIMITS | own::USE) {
        call.memory().write(address, &limits(call, what == own::USE))?;
        return Ok(lock(&all.queues).highest());
    }
    let new =
        if what == command::SET { call.memory().read_array::<120>(address)? } else { [0; 120] };
    let mut queues = lock(&all.queues);
    let by_place = matches!(what, own::STATUS_AT | own::ANY_STATUS_AT);
    let id = if by_place { queues.at(asked)? } else { asked };
    let queue = queues.find(id)?;
    match what {
        command::STATUS | own::STATUS_AT => queue.permissions.permit(&who, access::READ)?,
        command::SET | command::REMOVE => queue.permissions.control(&who)?,
        own::ANY_STATUS_AT => {}
        _ => return Err(Errno::INVAL.into()),
    }
    match what {
        command::REMOVE => {
            let changed = Arc::clone(&queue.content.changed);
            queues.remove(id);
            drop(queues);
            changed.wake();
        }
        command::SET => {
            let word = |at: usize| new.get(at..at + 8).and_then(|word| word.try_into().ok());
            let room = word(88).map_or(0, u64::from_le_bytes);
            if room > ROOM {
                queue.permissions.exceed(&who)?;
            }
            if let Some(owner) = new.first_chunk() {
                queue.permissions.set(owner, &who)?;
            }
            queue.content.room = room;
            queue.content.times[2] = Time::now().seconds;
            let changed = Arc::clone(&queue.content.changed);
            drop(queues);
            changed.wake();
        }
        _ => {
            call.memory().write(address, &describe(call, id, queue))?;
            return Ok(if by_place { id.into() } else { 0 });
        }
    }
    Ok(0)
}
