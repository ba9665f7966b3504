//! Copies between files that the guest's memory does not see.

use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::task::waiter::lock;
use crate::vfs::{Attributes, Kind, OpenFile, Ready, status};

use super::{Call, Failure, Outcome};

const CHUNK: usize = 64 << 10;

/// Copies up to `length` bytes; positions move if no offset is given.
fn copy(
    call: &Call<'_>,
    from: &OpenFile,
    to: &OpenFile,
    mut offsets: (Option<u64>, Option<u64>),
    length: u64,
) -> Result<u64, Failure> {
    let mut buffer = vec![0; CHUNK];
    let mut done = 0;
    while done < length {
        let size = usize::try_from(length - done).unwrap_or(CHUNK).min(CHUNK);
        let part = buffer.get_mut(..size).unwrap_or_default();
        let count = match from.read(call, part, offsets.0) {
            Ok(0) => break,
            Ok(count) => count,
            Err(failure) if done == 0 => return Err(failure),
            Err(_) => break,
        };
        let mut written = 0;
        while written < count {
            let rest = buffer.get(written..count).unwrap_or_default();
            match to.write(call, rest, offsets.1) {
                Ok(more) => {
                    written += more;
                    offsets.1 = offsets.1.map(|o| o + more as u64);
                }
                Err(failure) => {
                    // What was read and not written is read again.
                    let back = (count - written) as u64;
                    if offsets.0.is_none() && from.seekable {
                        let mut position = lock(&from.position);
                        *position = position.saturating_sub(back);
                    }
                    done += written as u64;
                    return if done == 0 { Err(failure) } else { Ok(done) };
                }
            }
        }
        done += count as u64;
        offsets.0 = offsets.0.map(|o| o + count as u64);
        if !from.seekable {
            break;
        }
    }
    Ok(done)
}

/// An offset in memory, if there is one.
fn offset(call: &Call<'_>, index: usize) -> Result<Option<u64>, Errno> {
    match call.arg(index) {
        0 => Ok(None),
        address => {
            let offset = call.memory().read_u64(address)?;
            if offset.cast_signed() < 0 { Err(Errno::INVAL) } else { Ok(Some(offset)) }
        }
    }
}

fn store(call: &Call<'_>, index: usize, offset: Option<u64>, by: u64) -> Result<(), Failure> {
    if let Some(offset) = offset {
        call.memory().write(call.arg(index), &(offset + by).to_le_bytes())?;
    }
    Ok(())
}

pub(super) fn sendfile(call: &Call<'_>) -> Outcome {
    let (to, from) = (call.file(0)?, call.file(1)?);
    if !from.seekable {
        return Err(Errno::INVAL.into());
    }
    let start = offset(call, 2)?;
    let done = copy(call, &from, &to, (start, None), call.arg(3))?;
    store(call, 2, start, done)?;
    Ok(done.cast_signed())
}

pub(super) fn copy_file_range(call: &Call<'_>) -> Outcome {
    let (from, to) = (call.file(0)?, call.file(2)?);
    if call.uint(5) != 0 {
        return Err(Errno::INVAL.into());
    }
    let attributes = (from.file.attributes()?, to.file.attributes()?);
    for file in [&attributes.0, &attributes.1] {
        match file.kind() {
            Kind::Regular => {}
            Kind::Directory => return Err(Errno::ISDIR.into()),
            _ => return Err(Errno::INVAL.into()),
        }
    }
    if !from.readable() || !to.writable() || to.flags.load(Ordering::SeqCst) & status::APPEND != 0 {
        return Err(Errno::BADF.into());
    }
    let starts = (offset(call, 1)?, offset(call, 3)?);
    let same = |a: &Attributes, b: &Attributes| (a.device, a.inode) == (b.device, b.inode);
    if same(&attributes.0, &attributes.1) {
        let place = |start: Option<u64>, file: &OpenFile| start.unwrap_or(*lock(&file.position));
        let (first, second) = (place(starts.0, &from), place(starts.1, &to));
        if first.abs_diff(second) < call.arg(4) {
            return Err(Errno::INVAL.into());
        }
    }
    let done = copy(call, &from, &to, starts, call.arg(4))?;
    store(call, 1, starts.0, done)?;
    store(call, 3, starts.1, done)?;
    Ok(done.cast_signed())
}

/// Flags of splice(2) and its kin.
mod flag {
    pub(super) const NO_WAIT: u32 = 2;
    pub(super) const ALL: u32 = 15;
}

fn is_pipe(file: &OpenFile) -> Result<bool, Errno> {
    Ok(!file.seekable && file.file.attributes()?.kind() == Kind::Fifo)
}

/// What of `length` is moved at once: no more than a pipe takes, or takes without waiting.
fn piece(to: &OpenFile, length: u64, flags: u32) -> Result<usize, Failure> {
    const AT_ONCE: u64 = 4096;
    let mut most = length.min(CHUNK as u64);
    let waits =
        flags & flag::NO_WAIT == 0 && to.flags.load(Ordering::SeqCst) & status::NONBLOCK == 0;
    if !waits && is_pipe(to)? {
        if !to.file.ready().intersects(Ready::OUT | Ready::ERR) {
            return Err(Errno::AGAIN.into());
        }
        most = most.min(AT_ONCE);
    }
    Ok(usize::try_from(most).unwrap_or(CHUNK))
}

pub(super) fn splice(call: &Call<'_>) -> Outcome {
    let (from, to, flags) = (call.file(0)?, call.file(2)?, call.uint(5));
    if flags & !flag::ALL != 0 {
        return Err(Errno::INVAL.into());
    }
    let pipes = (is_pipe(&from)?, is_pipe(&to)?);
    if pipes == (false, false) {
        return Err(Errno::INVAL.into());
    }
    if (pipes.0 && call.arg(1) != 0) || (pipes.1 && call.arg(3) != 0) {
        return Err(Errno::SPIPE.into());
    }
    if to.flags.load(Ordering::SeqCst) & status::APPEND != 0 {
        return Err(Errno::INVAL.into());
    }
    if call.arg(4) == 0 {
        return Ok(0);
    }
    let starts = (offset(call, 1)?, offset(call, 3)?);
    let size = piece(&to, call.arg(4), flags)?;
    if flags & flag::NO_WAIT != 0
        && pipes.0
        && !from.file.ready().intersects(Ready::IN | Ready::HUP)
    {
        return Err(Errno::AGAIN.into());
    }
    let done = copy(call, &from, &to, starts, size as u64)?;
    store(call, 1, starts.0, done)?;
    store(call, 3, starts.1, done)?;
    Ok(done.cast_signed())
}

/// Copies from a pipe to another; the first keeps what it has.
pub(super) fn tee(call: &Call<'_>) -> Outcome {
    let (from, to, flags) = (call.file(0)?, call.file(1)?, call.uint(3));
    if flags & !flag::ALL != 0 || !is_pipe(&from)? || !is_pipe(&to)? {
        return Err(Errno::INVAL.into());
    }
    if !from.readable() || !to.writable() {
        return Err(Errno::BADF.into());
    }
    let size = piece(&to, call.arg(2), flags)?;
    let mut buffer = vec![0; size];
    let count = from.peek(call, &mut buffer, flags & flag::NO_WAIT == 0)?;
    let part = buffer.get(..count).unwrap_or_default();
    if part.is_empty() {
        return Ok(0);
    }
    let done = to.write(call, part, None)?;
    Ok(i64::try_from(done).unwrap_or(0))
}

/// Memory is copied into the pipe, or out of it: pages are not shared.
pub(super) fn vmsplice(call: &Call<'_>) -> Outcome {
    let file = call.file(0)?;
    if call.uint(3) & !flag::ALL != 0 {
        return Err(Errno::INVAL.into());
    }
    if !is_pipe(&file)? {
        return Err(Errno::BADF.into());
    }
    if file.writable() { super::transfer::writev(call) } else { super::transfer::readv(call) }
}
