//! The listener of a filter: ioctls of its descriptor, and calls that it is asked about.

use std::sync::Arc;

use rustix::io::Errno;

use crate::task::Restart;
use crate::task::filter::{CallData, Guard};
use crate::task::notice::{Answer, Notifier};
use crate::task::waiter::{Woken, lock};
use crate::vfs::status;

use super::{Call, Failure, Outcome};

const RECEIVE: u32 = 0xc050_2100;
const SEND: u32 = 0xc018_2101;
const ID_VALID: u32 = 0x4008_2102;
/// The same, as the first headers had it.
const ID_VALID_BEFORE: u32 = 0x8008_2102;
const ADD_FD: u32 = 0x4018_2103;

/// Bytes of `struct seccomp_notif`, `seccomp_notif_resp` and `seccomp_data`.
const NOTICE: usize = 80;
const REPLY: usize = 24;
const DATA: usize = 64;

/// The sizes of what is exchanged: `SECCOMP_GET_NOTIF_SIZES`.
pub(super) fn sizes(call: &Call<'_>, address: u64) -> Outcome {
    let sizes = [NOTICE, REPLY, DATA].map(|size| u16::try_from(size).unwrap_or(0));
    let bytes: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
    call.memory().write(address, &bytes)?;
    Ok(0)
}

/// Asks whoever listens about the thread's call: what it returns, or nothing if it is to be
/// made.
pub(super) fn ask(call: &Call<'_>, number: u64, pointer: u64) -> Result<Option<i64>, Failure> {
    let number = u32::try_from(number & 0xffff_ffff).unwrap_or(0);
    let data = CallData { number, pointer, args: call.args };
    let guard = lock(&call.thread.guard).clone();
    let notifier = match &guard {
        Guard::Filters(filter) => filter.notifier(&data),
        _ => None,
    };
    // As without anybody who listens.
    let Some(notifier) = notifier else { return Ok(Some(-i64::from(38))) };
    match notifier.ask(call.thread, data) {
        Ok(Answer::Value(value)) => Ok(Some(value)),
        Ok(Answer::Continue) => Ok(None),
        Err(_) => Err(Failure::Interrupted(Restart::IfAsked)),
    }
}

/// ioctl(2) of the listener.
pub(super) fn control(call: &Call<'_>, notifier: &Notifier, request: u32, at: u64) -> Outcome {
    match request {
        RECEIVE => receive(call, notifier, at),
        SEND => send(call, notifier, at),
        ID_VALID | ID_VALID_BEFORE => {
            notifier.waits(call.memory().read_u64(at)?).map_err(|_| Errno::NOENT)?;
            Ok(0)
        }
        ADD_FD => add_descriptor(call, notifier, at),
        _ => Err(Errno::INVAL.into()),
    }
}

fn receive(call: &Call<'_>, notifier: &Notifier, at: u64) -> Outcome {
    if call.memory().read_array::<NOTICE>(at)? != [0; NOTICE] {
        return Err(Errno::INVAL.into());
    }
    let told = loop {
        notifier.watch(call.waiter());
        if let Some(told) = notifier.take()? {
            break told;
        }
        if call.waiter().wait(None) != Woken::Called {
            return Err(Failure::Interrupted(Restart::IfAsked));
        }
    };
    // Another container's programs have numbers that mean others here, or nobody.
    let theirs = told.thread.process.kernel();
    let known = theirs.is_some_and(|kernel| Arc::ptr_eq(&kernel.tree, &call.kernel.tree));
    let number = if known { call.number_of(told.thread.tid) } else { 0 };
    let mut bytes = Vec::with_capacity(NOTICE);
    bytes.extend(told.id.to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(told.data.bytes());
    if call.memory().write(at, &bytes).is_err() {
        notifier.put_back(told.id);
        return Err(Errno::FAULT.into());
    }
    Ok(0)
}

fn send(call: &Call<'_>, notifier: &Notifier, at: u64) -> Outcome {
    const CONTINUE: u32 = 1;
    let memory = call.memory();
    let (id, value) = memory.read_pair(at)?;
    let error = memory.read_u32(at.wrapping_add(16))?.cast_signed();
    let flags = memory.read_u32(at.wrapping_add(20))?;
    if flags & !CONTINUE != 0 || (flags != 0 && (error != 0 || value != 0)) {
        return Err(Errno::INVAL.into());
    }
    let answer = match (flags, error) {
        (0, 0) => Answer::Value(value.cast_signed()),
        (0, error) => Answer::Value(error.into()),
        _ => Answer::Continue,
    };
    notifier.answer(id, answer)?;
    Ok(0)
}

/// Gives the thread that waits a copy of a descriptor.
fn add_descriptor(call: &Call<'_>, notifier: &Notifier, at: u64) -> Outcome {
    const AT: u32 = 1;
    const AND_SEND: u32 = 2;
    let memory = call.memory();
    let id = memory.read_u64(at)?;
    let mut words = [0; 4];
    for (word, offset) in words.iter_mut().zip([8, 12, 16, 20]) {
        *word = memory.read_u32(at.wrapping_add(offset))?;
    }
    let [flags, source, number, file_flags] = words;
    if file_flags & !status::CLOSE_ON_EXEC != 0
        || flags & !(AT | AND_SEND) != 0
        || (number != 0 && flags & AT == 0)
    {
        return Err(Errno::INVAL.into());
    }
    let file = call.files().get(source)?;
    let close_on_exec = file_flags != 0;
    // All of it goes when the notifier is free again: it may be its listener's.
    let (mut table, mut replaced, kept) = (None, None, Arc::clone(&file));
    let given = notifier.act(id, flags & AND_SEND != 0, |thread| {
        let files = table.insert(Arc::clone(&lock(&thread.process.files)));
        if flags & AT == 0 {
            return files.add(file, 0, close_on_exec).map(i64::from);
        }
        replaced = files.exchange(number, file, close_on_exec)?;
        Ok(i64::from(number))
    });
    drop(kept);
    if let Some((files, replaced)) = table.zip(replaced) {
        files.closed(&replaced);
    }
    Ok(given?)
}
