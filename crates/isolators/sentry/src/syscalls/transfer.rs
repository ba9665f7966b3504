//! Reading and writing: between the guest's memory and files.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::platform::GuestMemory;
use crate::signal::{self, Info, SI_USER, SIGPIPE, Target};
use crate::vfs::{OpenFile, Ready, status};

use super::files::offset;
use super::{Call, Failure, Outcome, sockets, views};

const CHUNK: usize = 64 << 10;
/// Most that one read or write moves (`MAX_RW_COUNT`).
const MOST: u64 = 0x7fff_f000;

thread_local! {
    /// Between the guest's memory and files.
    static BUFFER: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn with_buffer<T>(size: usize, f: impl FnOnce(&mut [u8]) -> T) -> T {
    BUFFER.with(|buffer| {
        let mut own = Vec::new();
        // A call that waits inside another one is not known, but must not panic.
        let mut borrowed = buffer.try_borrow_mut();
        let buffer = borrowed.as_deref_mut().unwrap_or(&mut own);
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        f(buffer.get_mut(..size).unwrap_or_default())
    })
}

/// How a transfer goes on.
enum Step {
    /// So much was moved; there may be more.
    More(u64),
    /// So much was moved, and that is all.
    Last(u64),
}

/// Moves up to `length` bytes between the guest's memory and a file, piece by piece: `step` gets
/// what is done, the offset and the room for one. An error counts only if nothing was moved.
fn transfer(
    call: &Call<'_>,
    length: u64,
    mut offset: Option<u64>,
    mut step: impl FnMut(u64, Option<u64>, usize) -> Result<Step, Failure>,
) -> Result<u64, Failure> {
    let mut left = length.min(MOST);
    let mut done = 0;
    loop {
        let size = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let (count, last) = match step(done, offset, size) {
            Ok(Step::More(count)) => (count, false),
            Ok(Step::Last(count)) => (count, true),
            Err(failure) if done == 0 => return Err(failure),
            Err(_) => return Ok(done),
        };
        done += count;
        left -= count.min(left);
        offset = offset.map(|o| o + count);
        if left == 0 || last || call.thread.doomed.load(Ordering::SeqCst) {
            return Ok(done);
        }
    }
}

/// What vectors have behind the first `skip` bytes: address and length.
fn behind(vectors: &[(u64, u64)], mut skip: u64) -> impl Iterator<Item = (u64, usize)> {
    vectors.iter().filter_map(move |(base, length)| {
        let passed = skip.min(*length);
        skip -= passed;
        let left = usize::try_from(length - passed).unwrap_or(usize::MAX);
        (left > 0).then_some((base.wrapping_add(passed), left))
    })
}

/// Reads what vectors have behind the first `skip` bytes: how much, up to where it can be read.
pub(super) fn gather(
    memory: &GuestMemory,
    vectors: &[(u64, u64)],
    skip: u64,
    buffer: &mut [u8],
) -> Result<usize, Failure> {
    let mut done = 0;
    for (address, length) in behind(vectors, skip) {
        let room = buffer.get_mut(done..).unwrap_or_default();
        let size = length.min(room.len());
        match memory.read(address, room.get_mut(..size).unwrap_or_default()) {
            Err(fault) if done == 0 => return Err(fault.into()),
            Err(_) => break,
            Ok(()) => done += size,
        }
        if done == buffer.len() {
            break;
        }
    }
    Ok(done)
}

/// Writes to what vectors have behind the first `skip` bytes: how much, up to where it can be
/// written.
fn scatter(memory: &GuestMemory, vectors: &[(u64, u64)], skip: u64, bytes: &[u8]) -> usize {
    let mut done = 0;
    for (address, length) in behind(vectors, skip) {
        let rest = bytes.get(done..).unwrap_or_default();
        let part = rest.get(..length).unwrap_or(rest);
        let copied = memory.write_some(address, part);
        done += copied;
        if copied < part.len() || done == bytes.len() {
            break;
        }
    }
    done
}

/// Flags of preadv2(2) and pwritev2(2).
mod how {
    pub(super) const HIGH_PRIORITY: u32 = 1;
    pub(super) const DATA_SYNC: u32 = 2;
    pub(super) const SYNC: u32 = 4;
    pub(super) const NO_WAIT: u32 = 8;
    pub(super) const APPEND: u32 = 16;
    pub(super) const ALL: u32 = HIGH_PRIORITY | DATA_SYNC | SYNC | NO_WAIT | APPEND;
}

/// A file, and how it is read or written.
struct Way<'a> {
    file: &'a OpenFile,
    flags: u32,
}

impl Way<'_> {
    /// Runs `f` with the offset that it begins at. If that is the position, nobody else moves
    /// it before all is done.
    fn placed(
        &self,
        offset: Option<u64>,
        f: impl FnOnce(Option<u64>) -> Result<u64, Failure>,
    ) -> Result<u64, Failure> {
        if offset.is_some() || !self.file.seekable {
            return f(offset);
        }
        let mut position = self.file.position.lock();
        let done = f(Some(*position))?;
        *position = position.saturating_add(done);
        Ok(done)
    }

    /// Whether what is read or written with `O_DIRECT` is not aligned as its file has it.
    fn is_askew(&self, vectors: &[(u64, u64)], offset: u64) -> bool {
        if !self.file.flag(status::DIRECT) {
            return false;
        }
        let alignment = self.file.file.direct().unwrap_or(1);
        // Alignments are powers of two.
        let askew = |(address, length): &(u64, u64)| {
            *length > 0 && !(offset | address | length).is_multiple_of(alignment)
        };
        vectors.iter().any(askew)
    }

    /// Reads into the guest's memory, to several places as if they were one.
    fn read(
        &self,
        call: &Call<'_>,
        vectors: &[(u64, u64)],
        offset: Option<u64>,
    ) -> Result<u64, Failure> {
        let memory = call.memory();
        let length = vectors.iter().map(|(_, length)| *length).sum();
        let goes_on = self.file.seekable || self.file.file.is_endless();
        let moves = offset.is_none();
        self.placed(offset, |offset| {
            if let ([piece], Some(at)) = (vectors, offset)
                && let Some(lent) = views::lend(call, self.file, &memory, (*piece, at, moves))?
            {
                return Ok(lent);
            }
            if let Some(at) =
                offset.filter(|at| self.file.readable() && self.is_askew(vectors, *at))
            {
                let ended = at >= self.file.file.attributes()?.size;
                return if ended { Ok(0) } else { Err(Errno::INVAL.into()) };
            }
            transfer(call, length, offset, |done, offset, size| {
                with_buffer(size, |buffer| {
                    let any = Ready::IN | Ready::HUP | Ready::ERR;
                    let waits = || offset.is_none() && !self.file.file.ready().intersects(any);
                    if self.flags & how::NO_WAIT != 0 && waits() {
                        return Err(Errno::AGAIN.into());
                    }
                    let count = self.file.read(call, buffer, offset)?;
                    let part = buffer.get(..count).unwrap_or_default();
                    let copied = scatter(&memory, vectors, done, part);
                    if copied < count {
                        let back = || self.file.file.take_back(part, copied);
                        return match if goes_on { copied } else { back() } {
                            0 => Err(Errno::FAULT.into()),
                            kept => Ok(Step::Last(kept as u64)),
                        };
                    }
                    // A stream gives what it has; a file ends where it gives less.
                    let last = count < size || !goes_on;
                    let count = count as u64;
                    Ok(if last { Step::Last(count) } else { Step::More(count) })
                })
            })
        })
    }

    /// Writes from the guest's memory, of several places as if they were one.
    fn write(
        &self,
        call: &Call<'_>,
        vectors: &[(u64, u64)],
        offset: Option<u64>,
    ) -> Result<u64, Failure> {
        let memory = call.memory();
        let append = self.flags & how::APPEND != 0;
        let appends = append || self.file.flag(status::APPEND);
        let length = vectors.iter().map(|(_, length)| *length).sum();
        let moves = offset.is_none();
        let done = self.placed(offset, |offset| {
            let direct = self.file.flag(status::DIRECT) && self.file.writable();
            if let Some(at) = offset.filter(|_| direct) {
                let at = if appends { self.file.file.attributes()?.size } else { at };
                if self.is_askew(vectors, at) {
                    return Err(Errno::INVAL.into());
                }
            }
            transfer(call, length, offset, |done, offset, size| {
                with_buffer(size, |buffer| {
                    let size = gather(&memory, vectors, done, buffer)?;
                    let part = buffer.get(..size).unwrap_or_default();
                    let no_wait = self.flags & how::NO_WAIT != 0;
                    let count = self.file.write_how(call, part, offset, (append, !no_wait))?;
                    let count = count as u64;
                    // A file that takes less is full, or may not grow.
                    let last = count == 0
                        || size < buffer.len()
                        || (self.file.seekable && count < size as u64);
                    Ok(if last { Step::Last(count) } else { Step::More(count) })
                })
            })
        });
        if appends && moves && self.file.seekable && done.is_ok_and(|done| done > 0) {
            *self.file.position.lock() = self.file.file.attributes()?.size;
        }
        if done == Err(Errno::PIPE.into()) {
            broken_pipe(call);
        }
        if self.flags & (how::DATA_SYNC | how::SYNC) != 0 && done.is_ok_and(|done| done > 0) {
            self.file.sync()?;
        }
        done
    }
}

/// Tells a thread that it writes where nobody reads.
pub(super) fn broken_pipe(call: &Call<'_>) {
    let info = Info::from_user(SIGPIPE, SI_USER, call.thread.process.pid, 0);
    signal::send(call.kernel, &Target::Thread(Arc::clone(call.thread)), info);
}

fn read_to(
    call: &Call<'_>,
    file: &OpenFile,
    address: u64,
    length: u64,
    offset: Option<u64>,
) -> Result<u64, Failure> {
    Way { file, flags: 0 }.read(call, &[(address, length)], offset)
}

fn write_from(
    call: &Call<'_>,
    file: &OpenFile,
    address: u64,
    length: u64,
    offset: Option<u64>,
) -> Result<u64, Failure> {
    Way { file, flags: 0 }.write(call, &[(address, length)], offset)
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn read(call: &Call<'_>) -> Outcome {
    let file = call.file(0)?;
    if let Some(socket) = file.file.socket() {
        return sockets::read(call, &file, socket, (call.arg(1), call.arg(2)));
    }
    read_to(call, &file, call.arg(1), call.arg(2), None).map(signed)
}

pub(super) fn write(call: &Call<'_>) -> Outcome {
    let file = call.file(0)?;
    if let Some(socket) = file.file.socket() {
        return sockets::write(call, &file, socket, (call.arg(1), call.arg(2)));
    }
    write_from(call, &file, call.arg(1), call.arg(2), None).map(signed)
}

/// The file of the first argument, if it has places.
fn placed(call: &Call<'_>) -> Result<Arc<OpenFile>, Errno> {
    let file = call.open_file(0)?;
    if file.seekable || file.is_everywhere() { Ok(file) } else { Err(Errno::SPIPE) }
}

pub(super) fn pread64(call: &Call<'_>) -> Outcome {
    let offset = offset(call, 3)?;
    read_to(call, &*placed(call)?, call.arg(1), call.arg(2), Some(offset)).map(signed)
}

pub(super) fn pwrite64(call: &Call<'_>) -> Outcome {
    let offset = offset(call, 3)?;
    write_from(call, &*placed(call)?, call.arg(1), call.arg(2), Some(offset)).map(signed)
}

/// `struct iovec`s: address and length.
pub(super) fn vectors(call: &Call<'_>) -> Result<Vec<(u64, u64)>, Errno> {
    const MOST_VECTORS: u64 = 1024;
    let count = call.arg(2);
    if count > MOST_VECTORS {
        return Err(Errno::INVAL);
    }
    let mut bytes = vec![0; usize::try_from(count).unwrap_or(0) * 16];
    call.memory().read(call.arg(1), &mut bytes)?;
    let word = |part: &[u8]| part.try_into().map_or(0, u64::from_le_bytes);
    let vectors: Vec<(u64, u64)> = bytes
        .chunks_exact(16)
        .map(|v| v.split_at(8))
        .map(|(base, length)| (word(base), word(length)))
        .collect();
    let total = vectors.iter().try_fold(0_u64, |sum, (_, length)| sum.checked_add(*length));
    if total.is_none_or(|sum| sum.cast_signed() < 0) {
        return Err(Errno::INVAL);
    }
    Ok(vectors)
}

fn vectored(call: &Call<'_>, reads: bool, at: Option<u64>, flags: u32) -> Outcome {
    let file = if at.is_some() { placed(call)? } else { call.file(0)? };
    let way = Way { file: &file, flags };
    let vectors = vectors(call)?;
    if vectors.iter().all(|(_, length)| *length == 0) {
        return Ok(0);
    }
    if flags & !how::ALL != 0 {
        return Err(Errno::OPNOTSUPP.into());
    }
    if let (Some(socket), None) = (file.file.socket(), at) {
        let transfer = if reads { sockets::readv } else { sockets::writev };
        return transfer(call, &file, socket, (vectors, flags & how::NO_WAIT != 0));
    }
    let done = if reads { way.read(call, &vectors, at) } else { way.write(call, &vectors, at) };
    done.map(signed)
}

pub(super) fn readv(call: &Call<'_>) -> Outcome {
    vectored(call, true, None, 0)
}

pub(super) fn writev(call: &Call<'_>) -> Outcome {
    vectored(call, false, None, 0)
}

pub(super) fn preadv(call: &Call<'_>) -> Outcome {
    vectored(call, true, Some(offset(call, 3)?), 0)
}

pub(super) fn pwritev(call: &Call<'_>) -> Outcome {
    vectored(call, false, Some(offset(call, 3)?), 0)
}

/// The offset of preadv2(2) and pwritev2(2); `None` for the position.
fn offset_or_position(call: &Call<'_>) -> Result<Option<u64>, Errno> {
    if call.arg(3) == u64::MAX { Ok(None) } else { offset(call, 3).map(Some) }
}

pub(super) fn preadv2(call: &Call<'_>) -> Outcome {
    vectored(call, true, offset_or_position(call)?, call.uint(5))
}

pub(super) fn pwritev2(call: &Call<'_>) -> Outcome {
    vectored(call, false, offset_or_position(call)?, call.uint(5))
}
