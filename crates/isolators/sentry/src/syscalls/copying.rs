//! Copies between files that the guest's memory does not see.

use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::vfs::{Attributes, Kind, OpenFile, Pipe, Ready, pipe_of, status};

use super::{Call, Failure, Outcome};

const CHUNK: usize = 64 << 10;
/// Most that one call moves (`MAX_RW_COUNT`).
const MOST: u64 = 0x7fff_f000;

/// Whether a copy that has moved something ends there: for a signal, or the thread's end.
fn is_over(call: &Call<'_>) -> bool {
    call.thread.doomed.load(Ordering::SeqCst) || call.waiter().is_interrupted()
}

/// Tries until the answer is another one than `EAGAIN`, whenever something of the files has
/// changed.
fn until<T>(
    call: &Call<'_>,
    files: &[&OpenFile],
    mut attempt: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let watch = |waiter: &_| files.iter().for_each(|file| file.file.watch(waiter));
    call.until(watch, || match attempt() {
        Err(failure) if failure == Errno::AGAIN.into() => Ok(None),
        other => other.map(Some),
    })
}

fn size_of(left: u64) -> usize {
    usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)
}

/// Copies up to `length` bytes; positions move if no offset is given.
fn copy(
    call: &Call<'_>,
    from: &OpenFile,
    to: &OpenFile,
    mut offsets: (Option<u64>, Option<u64>),
    length: u64,
) -> Result<u64, Failure> {
    let length = length.min(MOST);
    let mut buffer = vec![0; size_of(length)];
    let mut done = 0;
    while done < length && (done == 0 || !is_over(call)) {
        // What is read and not taken can't be put back.
        let full = || !to.file.ready().intersects(Ready::OUT | Ready::ERR | Ready::HUP);
        if !from.seekable && to.flag(status::NONBLOCK) && full() {
            return if done == 0 { Err(Errno::AGAIN.into()) } else { Ok(done) };
        }
        let part = buffer.get_mut(..size_of(length - done)).unwrap_or_default();
        let count = match from.read(call, part, offsets.0) {
            Ok(0) => break,
            Ok(count) => count,
            Err(failure) if done == 0 => return Err(failure),
            Err(_) => break,
        };
        let mut written = 0;
        while written < count {
            let rest = buffer.get(written..count).unwrap_or_default();
            let taken = match to.write(call, rest, offsets.1) {
                // What can't be read again waits until it can be written.
                Err(failure) if failure == Errno::AGAIN.into() && !from.seekable => {
                    until(call, &[to], || to.write_now(call, rest, offsets.1))
                }
                taken => taken,
            };
            match taken {
                Ok(more) => {
                    written += more;
                    offsets.1 = offsets.1.map(|o| o + more as u64);
                }
                Err(failure) => {
                    // What was read and not written is read again.
                    let back = (count - written) as u64;
                    if offsets.0.is_none() && from.seekable {
                        let mut position = from.position.lock();
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

/// Moves up to `length` bytes out of a pipe, which keeps what is not taken.
fn from_pipe(
    call: &Call<'_>,
    (from, pipe): (&OpenFile, &Pipe),
    (to, mut offset): (&OpenFile, Option<u64>),
    length: u64,
    waits: bool,
) -> Result<u64, Failure> {
    let length = length.min(MOST);
    let fills = is_pipe(to)?;
    let mut buffer = vec![0; size_of(length)];
    let mut done = 0;
    while done < length && (done == 0 || !is_over(call)) {
        let part = buffer.get_mut(..size_of(length - done)).unwrap_or_default();
        let moved = until(call, &[from, to], || {
            let mut full = false;
            let moved = pipe.drain(part, |part| {
                let taken = to.write_now(call, part, offset);
                full = taken == Err(Errno::AGAIN.into());
                taken
            });
            if moved != Err(Errno::AGAIN.into()) {
                return moved.map(Some);
            }
            // A pipe takes what fits, and gives what it has; others take all.
            let goes_on =
                if full && !fills { !to.flag(status::NONBLOCK) } else { waits && done == 0 };
            if goes_on { moved.map(Some) } else { Ok(None) }
        });
        match moved {
            Ok(Some(0)) => break,
            Ok(Some(count)) => {
                done += count as u64;
                offset = offset.map(|o| o + count as u64);
            }
            Ok(None) if done == 0 => return Err(Errno::AGAIN.into()),
            Err(failure) if done == 0 => return Err(failure),
            Ok(None) | Err(_) => break,
        }
    }
    Ok(done)
}

/// Moves up to `length` bytes into a pipe: no more than fits.
fn into_pipe(
    call: &Call<'_>,
    (from, offset): (&OpenFile, Option<u64>),
    (to, pipe): (&OpenFile, &Pipe),
    length: u64,
    waits: bool,
) -> Result<u64, Failure> {
    let mut buffer = vec![0; room(call, to, length, waits)?];
    let count = from.read(call, &mut buffer, offset)?;
    let part = buffer.get(..count).unwrap_or_default();
    if !part.is_empty() {
        pipe.push(part)?;
        to.changed();
    }
    Ok(count as u64)
}

/// Who writes where nobody reads is told by a signal too.
fn told(call: &Call<'_>, done: Result<u64, Failure>) -> Result<u64, Failure> {
    if done == Err(Errno::PIPE.into()) {
        super::transfer::broken_pipe(call);
    }
    done
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
    let (to, from) = (call.open_file(0)?, call.open_file(1)?);
    let start = offset(call, 2)?;
    if !from.readable() || !to.writable() {
        return Err(Errno::BADF.into());
    }
    if !from.seekable || !moves(&from)? || !moves(&to)? || to.flag(status::APPEND) {
        return Err(Errno::INVAL.into());
    }
    let done = told(call, copy(call, &from, &to, (start, None), call.arg(3)))?;
    store(call, 2, start, done)?;
    Ok(done.cast_signed())
}

pub(super) fn copy_file_range(call: &Call<'_>) -> Outcome {
    let (from, to) = (call.open_file(0)?, call.open_file(2)?);
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
    if !from.readable() || !to.writable() || to.flag(status::APPEND) {
        return Err(Errno::BADF.into());
    }
    let starts = (offset(call, 1)?, offset(call, 3)?);
    let same = |a: &Attributes, b: &Attributes| (a.device, a.inode) == (b.device, b.inode);
    if same(&attributes.0, &attributes.1) {
        let place = |start: Option<u64>, file: &OpenFile| start.unwrap_or(*file.position.lock());
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

/// Whether content of its can be moved: not that of a directory, or of what tells of events.
fn moves(file: &OpenFile) -> Result<bool, Errno> {
    let stored = file.seekable && file.directory.is_none();
    Ok(stored || !file.seekable && file.file.attributes()?.has_kind())
}

fn is_pipe(file: &OpenFile) -> Result<bool, Errno> {
    Ok(!file.seekable && file.file.attributes()?.kind() == Kind::Fifo)
}

/// What of `length` a pipe takes at once; waits until that is something, if it may.
fn room(call: &Call<'_>, to: &OpenFile, length: u64, waits: bool) -> Result<usize, Failure> {
    /// A pipe that can be written takes so much.
    const AT_ONCE: usize = 4096;
    let room = || {
        let room = match pipe_of(&*to.file) {
            Some(pipe) => pipe.room()?,
            None if to.file.ready().intersects(Ready::OUT | Ready::ERR) => AT_ONCE,
            None => 0,
        };
        if room < AT_ONCE { Err(Errno::AGAIN.into()) } else { Ok(size_of(length).min(room)) }
    };
    if waits { until(call, &[to], room) } else { room() }
}

pub(super) fn splice(call: &Call<'_>) -> Outcome {
    let (from, to, flags) = (call.open_file(0)?, call.open_file(2)?, call.uint(5));
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
    if to.flag(status::APPEND) {
        return Err(Errno::INVAL.into());
    }
    if call.arg(4) == 0 {
        return Ok(0);
    }
    if !from.readable() || !to.writable() {
        return Err(Errno::BADF.into());
    }
    let (source, target) = (pipe_of(&*from.file), pipe_of(&*to.file));
    // A pipe's content moves.
    if is_same(source, target) || !pipes.0 && !moves(&from)? || !pipes.1 && !moves(&to)? {
        return Err(Errno::INVAL.into());
    }
    let starts = (offset(call, 1)?, offset(call, 3)?);
    let waits = flags & flag::NO_WAIT == 0
        && !(pipes.0 && from.flag(status::NONBLOCK))
        && !(pipes.1 && to.flag(status::NONBLOCK));
    let length = call.arg(4);
    let done = match (source, target) {
        (Some(pipe), _) => from_pipe(call, (&from, pipe), (&to, starts.1), length, waits),
        (None, Some(pipe)) => into_pipe(call, (&from, starts.0), (&to, pipe), length, waits),
        // A pipe of the host's.
        (None, None) => {
            let ready = Ready::IN | Ready::HUP;
            if pipes.0 && !waits && !from.file.ready().intersects(ready) {
                return Err(Errno::AGAIN.into());
            }
            let size = if pipes.1 { room(call, &to, length, waits)? } else { size_of(length) };
            copy(call, &from, &to, starts, size as u64)
        }
    };
    let done = told(call, done)?;
    store(call, 1, starts.0, done)?;
    store(call, 3, starts.1, done)?;
    Ok(done.cast_signed())
}

fn is_same(one: Option<&Pipe>, other: Option<&Pipe>) -> bool {
    one.zip(other).is_some_and(|(one, other)| std::ptr::eq(one, other))
}

/// Copies from a pipe to another; the first keeps what it has.
pub(super) fn tee(call: &Call<'_>) -> Outcome {
    let (from, to, flags) = (call.open_file(0)?, call.open_file(1)?, call.uint(3));
    if flags & !flag::ALL != 0 || !is_pipe(&from)? || !is_pipe(&to)? {
        return Err(Errno::INVAL.into());
    }
    if !from.readable() || !to.writable() {
        return Err(Errno::BADF.into());
    }
    if is_same(pipe_of(&*from.file), pipe_of(&*to.file)) {
        return Err(Errno::INVAL.into());
    }
    if call.arg(2) == 0 {
        return Ok(0);
    }
    let waits =
        flags & flag::NO_WAIT == 0 && !from.flag(status::NONBLOCK) && !to.flag(status::NONBLOCK);
    let mut buffer = vec![0; room(call, &to, call.arg(2), waits)?];
    let count = from.peek(call, &mut buffer, waits)?;
    let part = buffer.get(..count).unwrap_or_default();
    if part.is_empty() {
        return Ok(0);
    }
    let done = to.write(call, part, None)?;
    Ok(i64::try_from(done).unwrap_or(0))
}

/// Memory is copied into the pipe, or out of it: pages are not shared.
pub(super) fn vmsplice(call: &Call<'_>) -> Outcome {
    let file = call.open_file(0)?;
    if call.uint(3) & !flag::ALL != 0 {
        return Err(Errno::INVAL.into());
    }
    if !is_pipe(&file)? {
        return Err(Errno::BADF.into());
    }
    if !file.writable() {
        return super::transfer::readv(call);
    }
    let vectors = super::transfer::vectors(call)?;
    let waits = call.uint(3) & flag::NO_WAIT == 0;
    let done = told(call, put_memory(call, &file, &vectors, waits))?;
    Ok(done.cast_signed())
}

/// Puts what vectors have into a pipe: as much as fits, once something does.
fn put_memory(
    call: &Call<'_>,
    to: &OpenFile,
    vectors: &[(u64, u64)],
    waits: bool,
) -> Result<u64, Failure> {
    let memory = call.memory();
    let length: u64 = vectors.iter().map(|(_, length)| *length).sum();
    let mut done = 0;
    while done < length && !(done > 0 && is_over(call)) {
        let step = room(call, to, length - done, waits && done == 0).and_then(|size| {
            let mut buffer = vec![0; size];
            let size = super::transfer::gather(&memory, vectors, done, &mut buffer)?;
            to.write_now(call, buffer.get(..size).unwrap_or_default(), None)
        });
        match step {
            Ok(count) if count > 0 => done += count as u64,
            // Another writer has taken the room that was there.
            Err(Failure::Errno(Errno::AGAIN)) if waits && done == 0 && !is_over(call) => {}
            Err(failure) if done == 0 => return Err(failure),
            Ok(_) | Err(_) => break,
        }
    }
    Ok(done)
}
