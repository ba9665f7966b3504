//! System V semaphores: semget(2), semop(2), semtimedop(2), semctl(2).

use std::time::Instant;

use rustix::io::Errno;

use crate::ipc::objects::{Object, access, flag};
use crate::ipc::semaphores::{
    Blocked, LARGEST_VALUE, MOST_IN_ALL, MOST_IN_SET, MOST_OPERATIONS, MOST_SETS, Operation,
    Semaphore, Set,
};
use crate::task::waiter::{Woken, lock};
use crate::task::{Credentials, Restart};
use crate::vfs::Time;

use super::identity::who;
use super::shared_memory::command;
use super::{Call, Failure, Outcome, time};

const UNDO: u16 = 0x1000;
/// Commands of semctl(2) that shmctl(2) has not.
mod own {
    pub(super) const GET_PROCESS: u32 = 11;
    pub(super) const GET_VALUE: u32 = 12;
    pub(super) const GET_ALL: u32 = 13;
    pub(super) const COUNT_MORE: u32 = 14;
    pub(super) const COUNT_ZERO: u32 = 15;
    pub(super) const SET_VALUE: u32 = 16;
    pub(super) const SET_ALL: u32 = 17;
    pub(super) const STATUS_AT: u32 = 18;
    pub(super) const USE: u32 = 19;
    pub(super) const ANY_STATUS_AT: u32 = 20;
}

pub(super) fn semget(call: &Call<'_>) -> Outcome {
    let ipc = call.ipc();
    let count = call.int(1);
    let count = usize::try_from(count).ok().filter(|count| *count <= MOST_IN_SET);
    let count = count.ok_or(Errno::INVAL)?;
    let fits = |set: &Set| if count <= set.semaphores.len() { Ok(()) } else { Err(Errno::INVAL) };
    let mut sets = lock(&ipc.semaphores.sets);
    let wanted = (call.int(0), call.uint(2));
    let all =
        if count == 0 { 0 } else { sets.iter().map(|(_, set)| set.content.semaphores.len()).sum() };
    let make = || if all + count > MOST_IN_ALL { Err(Errno::NOSPC) } else { Set::new(count) };
    let id = sets.get(wanted, &who(call), MOST_SETS, fits, make)?;
    Ok(id.into())
}

pub(super) fn semop(call: &Call<'_>) -> Outcome {
    operate(call, None)
}

pub(super) fn semtimedop(call: &Call<'_>) -> Outcome {
    operate(call, time::deadline_at(call, call.arg(3))?)
}

fn operations(call: &Call<'_>) -> Result<Vec<Operation>, Failure> {
    let count = match usize::try_from(call.arg(2)) {
        Ok(0) => return Err(Errno::INVAL.into()),
        Ok(count) if count <= MOST_OPERATIONS => count,
        _ => return Err(Errno::TOOBIG.into()),
    };
    let mut bytes = vec![0; count * 6];
    call.memory().read(call.arg(1), &mut bytes)?;
    let operation = |bytes: &[u8]| {
        let word = |at: usize| {
            let word = bytes.get(at..at + 2).and_then(|word| word.try_into().ok());
            word.map_or(0, u16::from_le_bytes)
        };
        let flags = word(4);
        let no_wait = u32::from(flags) & flag::NO_WAIT != 0;
        Operation { number: word(0), add: word(2).cast_signed(), no_wait, undo: flags & UNDO != 0 }
    };
    Ok(bytes.chunks_exact(6).map(operation).collect())
}

fn operate(call: &Call<'_>, deadline: Option<Instant>) -> Outcome {
    let deadline = call.continued.or(deadline);
    let ipc = call.ipc();
    let all = &ipc.semaphores;
    let operations = operations(call)?;
    let (id, pid, who) = (call.int(0), call.thread.process.pid, who(call));
    let changes = operations.iter().any(|operation| operation.add != 0);
    let mut waited = false;
    loop {
        all.queue.join(call.waiter());
        let blocked = {
            let mut sets = lock(&all.sets);
            // Who waited for one that is gone is told so.
            let gone = |errno| if waited { Errno::IDRM } else { errno };
            let Object { permissions, content, .. } = sets.find(id).map_err(gone)?;
            permissions.permit(&who, if changes { access::WRITE } else { access::READ })?;
            match content.operate(&operations, pid)? {
                Ok(()) => {
                    if operations.iter().any(|operation| operation.undo) {
                        all.remember(&call.thread.undo_list(), id, &operations);
                    }
                    None
                }
                Err(blocked) => Some(blocked),
            }
        };
        let Some(Blocked { number, for_zero, no_wait }) = blocked else {
            if changes {
                all.queue.wake();
            }
            return Ok(0);
        };
        if no_wait {
            return Err(Errno::AGAIN.into());
        }
        waited = true;
        let entry = (id, number, for_zero);
        lock(&all.waiting).push(entry);
        let woken = call.waiter().wait(deadline);
        let mut waiting = lock(&all.waiting);
        if let Some(at) = waiting.iter().position(|other| *other == entry) {
            waiting.swap_remove(at);
        }
        drop(waiting);
        match woken {
            Woken::Called => {}
            Woken::TimedOut => return Err(Errno::AGAIN.into()),
            Woken::Interrupted => {
                return Err(Failure::Interrupted(Restart::UnlessStopped(deadline)));
            }
        }
    }
}

/// `struct semid64_ds`
fn describe(who: &Credentials, id: i32, set: &Object<Set>) -> Vec<u8> {
    let mut bytes = set.permissions.bytes(id, 0, who).to_vec();
    let [operated, changed] = set.content.times;
    let count = set.content.semaphores.len() as u64;
    for word in [operated.cast_unsigned(), 0, changed.cast_unsigned(), 0, count, 0, 0] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// `struct seminfo`; with what is in use for `SEM_INFO`.
fn limits(call: &Call<'_>, in_use: bool) -> Vec<u8> {
    let ipc = call.ipc();
    let sets = lock(&ipc.semaphores.sets);
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let (used, last) = if in_use {
        let all = sets.iter().map(|(_, set)| set.content.semaphores.len()).sum();
        (number(sets.iter().count()), number(all))
    } else {
        (20, LARGEST_VALUE)
    };
    let (most, total) = (number(MOST_SETS), number(MOST_SETS).saturating_mul(number(MOST_IN_SET)));
    let (in_set, at_once) = (number(MOST_IN_SET), number(MOST_OPERATIONS));
    let words = [total, most, total, total, in_set, at_once, at_once, used, LARGEST_VALUE, last];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn set_values(call: &Call<'_>, set: &mut Set, number: usize, all: bool) -> Result<(), Failure> {
    let pid = call.thread.process.pid;
    let values: Vec<i32> = if all {
        let mut bytes = vec![0; set.semaphores.len() * 2];
        call.memory().read(call.arg(3), &mut bytes)?;
        let value = |pair: &[u8]| pair.try_into().map_or(0, u16::from_le_bytes).into();
        bytes.chunks_exact(2).map(value).collect()
    } else {
        vec![call.int(3)]
    };
    if values.iter().any(|value| !(0..=LARGEST_VALUE).contains(value)) {
        return Err(Errno::RANGE.into());
    }
    let from = if all { 0 } else { number };
    for (semaphore, value) in set.semaphores.iter_mut().skip(from).zip(values) {
        *semaphore = Semaphore { value: u16::try_from(value).unwrap_or(0), process: pid };
    }
    set.times[1] = Time::now().seconds;
    Ok(())
}

pub(super) fn semctl(call: &Call<'_>) -> Outcome {
    let ipc = call.ipc();
    // IPC_64 is how C libraries of old ask for what is the only form here.
    let (asked, what) = (call.int(0), call.uint(2) & !0x100);
    let all = &ipc.semaphores;
    let who = who(call);
    if matches!(what, command::LIMITS | own::USE) {
        call.memory().write(call.arg(3), &limits(call, what == own::USE))?;
        return Ok(lock(&all.sets).highest());
    }
    let mut sets = lock(&all.sets);
    let by_place = matches!(what, own::STATUS_AT | own::ANY_STATUS_AT);
    let id = if by_place { sets.at(asked)? } else { asked };
    let set = sets.find(id)?;
    let number = call.int(1);
    let index = usize::try_from(number).ok().filter(|at| *at < set.content.semaphores.len());
    let wanted = match what {
        own::SET_VALUE | own::SET_ALL => access::WRITE,
        own::ANY_STATUS_AT | command::SET | command::REMOVE => 0,
        _ => access::READ,
    };
    set.permissions.permit(&who, wanted)?;
    let semaphore = || {
        let semaphore = index.and_then(|index| set.content.semaphores.get(index));
        semaphore.copied().ok_or(Errno::INVAL)
    };
    let waiting = |for_zero: bool| {
        let number = u16::try_from(number).map_err(|_| Errno::INVAL)?;
        let entries = lock(&all.waiting);
        Ok::<_, Errno>(entries.iter().filter(|e| **e == (id, number, for_zero)).count())
    };
    match what {
        command::REMOVE => {
            set.permissions.control(&who)?;
            sets.remove(id);
            drop(sets);
            all.forget(id, None);
            all.queue.wake();
        }
        command::SET => {
            set.permissions.control(&who)?;
            set.permissions.set(&call.memory().read_array(call.arg(3))?, &who)?;
            set.content.times[1] = Time::now().seconds;
        }
        command::STATUS | own::STATUS_AT | own::ANY_STATUS_AT => {
            call.memory().write(call.arg(3), &describe(&who, id, set))?;
            return Ok(if by_place { id.into() } else { 0 });
        }
        own::GET_PROCESS => return Ok(call.number_of(semaphore()?.process).into()),
        own::GET_VALUE => return Ok(semaphore()?.value.into()),
        own::GET_ALL => {
            let values = set.content.semaphores.iter().flat_map(|s| s.value.to_le_bytes());
            call.memory().write(call.arg(3), &values.collect::<Vec<_>>())?;
        }
        own::COUNT_MORE | own::COUNT_ZERO => {
            semaphore()?;
            let count = waiting(what == own::COUNT_ZERO)?;
            return Ok(i64::try_from(count).unwrap_or(i64::MAX));
        }
        own::SET_VALUE | own::SET_ALL => {
            let every = what == own::SET_ALL;
            let index = if every { Some(0) } else { index };
            set_values(call, &mut set.content, index.ok_or(Errno::INVAL)?, every)?;
            drop(sets);
            all.forget(id, if every { None } else { u16::try_from(number).ok() });
            all.queue.wake();
        }
        _ => return Err(Errno::INVAL.into()),
    }
    Ok(0)
}
