//! Locks of files: flock(2), and the part of fcntl(2).

use std::sync::Arc;

use rustix::io::Errno;

use crate::vfs::locks::{LOCKS, Lock, Owner, Space, Taker};
use crate::vfs::{FileTable, OpenFile};

use super::{Call, Failure, Outcome};

const READ: u16 = 0;
const WRITE: u16 = 1;
const UNLOCK: u16 = 2;

pub(super) fn flock(call: &Call<'_>) -> Outcome {
    const SHARED: u32 = 1;
    const EXCLUSIVE: u32 = 2;
    const NO_WAIT: u32 = 4;
    const FREE: u32 = 8;
    let file = call.open_file(0)?;
    let operation = call.uint(1);
    let lock = Lock {
        owner: Owner::of_file(&file),
        taker: Taker::of(call.kernel, call.thread.process.pid),
        space: Space::Whole,
        start: 0,
        last: u64::MAX,
        exclusive: operation & EXCLUSIVE != 0,
    };
    if !file.readable() && !file.writable() {
        return Err(Errno::BADF.into());
    }
    match operation & !NO_WAIT {
        FREE => {
            if let Some(id) = file.locked.get() {
                LOCKS.free(*id, &lock);
            }
        }
        SHARED | EXCLUSIVE => {
            // A change is not one step: the old one is given up first, as on Linux.
            if let Some(id) = file.locked.get() {
                if LOCKS.holds(*id, &lock) {
                    return Ok(0);
                }
                LOCKS.free(*id, &lock);
            }
            LOCKS.take(call, &file, lock, operation & NO_WAIT == 0)?;
        }
        _ => return Err(Errno::INVAL.into()),
    }
    Ok(0)
}

/// `struct flock`: type, origin, start, length, process.
struct Wanted {
    kind: u16,
    lock: Lock,
}

fn wanted(call: &Call<'_>, file: &OpenFile, owner: Owner) -> Result<Wanted, Errno> {
    let mut bytes = [0; 32];
    call.memory().read(call.arg(2), &mut bytes)?;
    let word = |at: usize| {
        let part = bytes.get(at..at + 8).and_then(|part| part.try_into().ok());
        part.map_or(0, u64::from_le_bytes).cast_signed()
    };
    let kind = u16::try_from(word(0) & 0xffff).unwrap_or(u16::MAX);
    let base = match (word(0) >> 16) & 0xffff {
        0 => 0,
        1 => file.position.lock().cast_signed(),
        2 => file.file.attributes()?.size.cast_signed(),
        _ => return Err(Errno::INVAL),
    };
    if !matches!(kind, READ | WRITE | UNLOCK) {
        return Err(Errno::INVAL);
    }
    let (start, length) = (base.checked_add(word(8)).ok_or(Errno::OVERFLOW)?, word(16));
    let (start, last) = match length {
        0 => (start, i64::MAX),
        1.. => (start, start.checked_add(length - 1).ok_or(Errno::OVERFLOW)?),
        _ => (start.checked_add(length).ok_or(Errno::INVAL)?, start - 1),
    };
    if start < 0 {
        return Err(Errno::INVAL);
    }
    if matches!(owner, Owner::File(_)) && word(24) & 0xffff_ffff != 0 {
        return Err(Errno::INVAL);
    }
    let lock = Lock {
        owner,
        taker: match owner {
            Owner::File(_) => Taker::NONE,
            Owner::Process(_) => Taker::of(call.kernel, call.thread.process.pid),
        },
        space: Space::Ranges,
        start: start.cast_unsigned(),
        last: last.cast_unsigned(),
        exclusive: kind == WRITE,
    };
    Ok(Wanted { kind, lock })
}

/// `F_GETLK`, `F_OFD_GETLK`
pub(super) fn get(call: &Call<'_>, file: &Arc<OpenFile>, of_file: bool) -> Outcome {
    let want = wanted(call, file, owner(&call.files(), file, of_file))?;
    if want.kind == UNLOCK {
        return Err(Errno::INVAL.into());
    }
    let address = call.arg(2);
    let memory = call.memory();
    match LOCKS.conflict(file.identity()?, &want.lock) {
        None => memory.write(address, &UNLOCK.to_le_bytes())?,
        Some(other) => {
            let kind = if other.exclusive { WRITE } else { READ };
            let length = if other.last >= i64::MAX.cast_unsigned() {
                0
            } else {
                other.last - other.start + 1
            };
            let number = other.taker.number(call.kernel, &call.thread.process.pids());
            let mut bytes = [kind.to_le_bytes(), [0; 2]].concat();
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&other.start.to_le_bytes());
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&number.to_le_bytes());
            memory.write(address, &bytes)?;
        }
    }
    Ok(0)
}

fn owner(table: &FileTable, file: &OpenFile, of_file: bool) -> Owner {
    if of_file { Owner::of_file(file) } else { Owner::of_table(table) }
}

/// `F_SETLK`, `F_SETLKW`, `F_OFD_SETLK`, `F_OFD_SETLKW`
pub(super) fn set(
    call: &Call<'_>,
    file: &Arc<OpenFile>,
    of_file: bool,
    waits: bool,
) -> Result<i64, Failure> {
    // Held while a lock is waited for, which goes with the table, should that be replaced meanwhile.
    let table = call.files();
    let want = wanted(call, file, owner(&table, file, of_file))?;
    match want.kind {
        UNLOCK => {
            if let Some(id) = file.locked.get() {
                LOCKS.free(*id, &want.lock);
            } else {
                LOCKS.free(file.identity()?, &want.lock);
            }
        }
        READ if !file.readable() => return Err(Errno::BADF.into()),
        WRITE if !file.writable() => return Err(Errno::BADF.into()),
        _ => LOCKS.take(call, file, want.lock, waits)?,
    }
    Ok(0)
}
