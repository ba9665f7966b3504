//! Descriptors: open, close, read, write, duplicate, pipe.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

use crate::signal::{self, Info, SI_USER, SIGPIPE, Target};
use crate::task::waiter::lock;
use crate::vfs::{FileTable, Kind, LIMIT, OpenFile, open, pipe, status};

use super::paths::start_of;
use super::{Call, Failure, Outcome, sockets};

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

/// Reads into the guest's memory.
fn read_to(
    call: &Call<'_>,
    file: &OpenFile,
    mut address: u64,
    length: u64,
    mut offset: Option<u64>,
) -> Result<u64, Failure> {
    let memory = call.memory();
    let mut left = length.min(MOST);
    let mut done = 0;
    loop {
        let size = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let step = with_buffer(size, |buffer| {
            let count = file.read(call, buffer, offset)?;
            memory.write(address, buffer.get(..count).unwrap_or_default())?;
            Ok::<_, Failure>(count)
        });
        let count = match step {
            Ok(count) => count as u64,
            Err(failure) if done == 0 => return Err(failure),
            Err(_) => return Ok(done),
        };
        done += count;
        left -= count.min(left);
        address = address.wrapping_add(count);
        offset = offset.map(|o| o + count);
        // A stream gives what it has; a file ends where it gives less.
        if left == 0 || count < size as u64 || !file.seekable {
            return Ok(done);
        }
    }
}

/// Writes from the guest's memory.
fn write_from(
    call: &Call<'_>,
    file: &OpenFile,
    mut address: u64,
    length: u64,
    mut offset: Option<u64>,
) -> Result<u64, Failure> {
    let memory = call.memory();
    let mut left = length.min(MOST);
    let mut done = 0;
    loop {
        let size = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let step = with_buffer(size, |buffer| {
            memory.read(address, buffer)?;
            file.write(call, buffer, offset)
        });
        let count = match step {
            Ok(count) => count as u64,
            Err(Failure::Errno(Errno::PIPE)) => {
                let pid = call.thread.process.pid;
                let info = Info::from_user(SIGPIPE, SI_USER, pid, 0);
                signal::send(call.kernel, &Target::Thread(Arc::clone(call.thread)), info);
                return if done == 0 { Err(Errno::PIPE.into()) } else { Ok(done) };
            }
            Err(failure) if done == 0 => return Err(failure),
            Err(_) => return Ok(done),
        };
        done += count;
        left -= count.min(left);
        address = address.wrapping_add(count);
        offset = offset.map(|o| o + count);
        if left == 0 || count == 0 {
            return Ok(done);
        }
    }
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

fn offset(call: &Call<'_>, index: usize) -> Result<u64, Errno> {
    let offset = call.arg(index);
    if offset.cast_signed() < 0 { Err(Errno::INVAL) } else { Ok(offset) }
}

pub(super) fn pread64(call: &Call<'_>) -> Outcome {
    let file = call.file(0)?;
    read_to(call, &file, call.arg(1), call.arg(2), Some(offset(call, 3)?)).map(signed)
}

pub(super) fn pwrite64(call: &Call<'_>) -> Outcome {
    let file = call.file(0)?;
    write_from(call, &file, call.arg(1), call.arg(2), Some(offset(call, 3)?)).map(signed)
}

/// `struct iovec`s: address and length.
fn vectors(call: &Call<'_>) -> Result<Vec<(u64, u64)>, Errno> {
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

type Transfer = fn(&Call<'_>, &OpenFile, u64, u64, Option<u64>) -> Result<u64, Failure>;

fn vectored(call: &Call<'_>, reads: bool, at: Option<u64>) -> Outcome {
    let transfer: Transfer = if reads { read_to } else { write_from };
    let file = call.file(0)?;
    if let (Some(socket), None) = (file.file.socket(), at) {
        let transfer = if reads { sockets::readv } else { sockets::writev };
        return transfer(call, &file, socket);
    }
    let mut done = 0;
    for (base, length) in vectors(call)? {
        if length == 0 {
            continue;
        }
        match transfer(call, &file, base, length, at.map(|a| a + done)) {
            Ok(count) => {
                done += count;
                if count < length {
                    break;
                }
            }
            Err(failure) if done == 0 => return Err(failure),
            Err(_) => break,
        }
        // What would block stays for the next call.
        if reads && !file.seekable {
            break;
        }
    }
    Ok(signed(done))
}

pub(super) fn readv(call: &Call<'_>) -> Outcome {
    vectored(call, true, None)
}

pub(super) fn writev(call: &Call<'_>) -> Outcome {
    vectored(call, false, None)
}

pub(super) fn preadv(call: &Call<'_>) -> Outcome {
    vectored(call, true, Some(offset(call, 3)?))
}

pub(super) fn pwritev(call: &Call<'_>) -> Outcome {
    vectored(call, false, Some(offset(call, 3)?))
}

pub(super) fn open_at(call: &Call<'_>) -> Outcome {
    let path = call.path(1)?;
    do_open(call, Some(0), &path, call.uint(2), call.uint(3))
}

pub(super) fn open_plain(call: &Call<'_>) -> Outcome {
    let path = call.path(0)?;
    do_open(call, None, &path, call.uint(1), call.uint(2))
}

pub(super) fn creat(call: &Call<'_>) -> Outcome {
    let path = call.path(0)?;
    let flags = status::CREATE | status::WRITE_ONLY | status::TRUNCATE;
    do_open(call, None, &path, flags, call.uint(1))
}

fn do_open(
    call: &Call<'_>,
    directory: Option<usize>,
    path: &[u8],
    flags: u32,
    mode: u32,
) -> Outcome {
    let close_on_exec = flags & status::CLOSE_ON_EXEC != 0;
    let umask = call.thread.process.umask.load(Ordering::SeqCst);
    let mode = mode & 0o7777 & !umask;
    if flags & status::TEMPORARY == status::TEMPORARY {
        let walker = call.walker();
        let folder = walker.walk(&start_of(call, directory, path)?, path, true)?.existing()?;
        let file = open::open_unnamed(&walker, &folder, flags, mode)?;
        return Ok(call.files().add(file, 0, close_on_exec)?.into());
    }
    let walker = call.walker();
    let start = start_of(call, directory, path)?;
    let exclusive =
        flags & (status::CREATE | status::EXCLUSIVE) == status::CREATE | status::EXCLUSIVE;
    let follow = flags & status::NO_FOLLOW == 0 && !exclusive;
    let found = walker.walk(&start, path, follow)?;
    let file = open::open(&walker, call, found, flags, mode)?;
    Ok(call.files().add(file, 0, close_on_exec)?.into())
}

pub(super) fn close(call: &Call<'_>) -> Outcome {
    drop(call.files().remove(call.uint(0))?);
    Ok(0)
}

pub(super) fn close_range(call: &Call<'_>) -> Outcome {
    const UNSHARE: u32 = 2;
    const CLOSE_ON_EXEC: u32 = 4;
    let (first, last, flags) = (call.uint(0), call.uint(1), call.uint(2));
    if first > last || flags & !(UNSHARE | CLOSE_ON_EXEC) != 0 {
        return Err(Errno::INVAL.into());
    }
    if flags & UNSHARE != 0 {
        let own = Arc::new(call.files().copy());
        *lock(&call.thread.process.files) = own;
    }
    call.files().close_range(first..=last, flags & CLOSE_ON_EXEC != 0);
    Ok(0)
}

pub(super) fn lseek(call: &Call<'_>) -> Outcome {
    const DATA: u32 = 3;
    const HOLE: u32 = 4;
    let file = call.file(0)?;
    if !file.seekable {
        return Err(Errno::SPIPE.into());
    }
    let by = call.arg(1).cast_signed();
    let mut position = lock(&file.position);
    let size = || file.file.attributes().map(|a| a.size.cast_signed());
    let base = match call.uint(2) {
        0 => 0,
        1 => position.cast_signed(),
        2 => size()?,
        // The whole file is data, as on a file system without holes.
        DATA | HOLE => {
            let size = size()?;
            if by < 0 || by >= size {
                return Err(Errno::NXIO.into());
            }
            if call.uint(2) == HOLE { size - by } else { 0 }
        }
        _ => return Err(Errno::INVAL.into()),
    };
    let target = base.checked_add(by).filter(|t| *t >= 0).ok_or(Errno::INVAL)?;
    *position = target.cast_unsigned();
    Ok(target)
}

pub(super) fn dup(call: &Call<'_>) -> Outcome {
    let file = call.file(0)?;
    Ok(call.files().add(file, 0, false)?.into())
}

pub(super) fn dup2(call: &Call<'_>) -> Outcome {
    let (old, new) = (call.uint(0), call.uint(1));
    let file = call.file(0)?;
    if old != new {
        call.files().put(new, file, false)?;
    }
    Ok(new.into())
}

pub(super) fn dup3(call: &Call<'_>) -> Outcome {
    let (old, new, flags) = (call.uint(0), call.uint(1), call.uint(2));
    if old == new || flags & !status::CLOSE_ON_EXEC != 0 {
        return Err(Errno::INVAL.into());
    }
    let file = call.file(0)?;
    call.files().put(new, file, flags != 0)?;
    Ok(new.into())
}

pub(super) fn pipe2(call: &Call<'_>) -> Outcome {
    make_pipe(call, call.uint(1))
}

pub(super) fn pipe1(call: &Call<'_>) -> Outcome {
    make_pipe(call, 0)
}

fn make_pipe(call: &Call<'_>, flags: u32) -> Outcome {
    static INODE: AtomicU64 = AtomicU64::new(1000);
    if flags & !(status::CLOSE_ON_EXEC | status::NONBLOCK) != 0 {
        return Err(Errno::INVAL.into());
    }
    let (reader, writer) = pipe(INODE.fetch_add(1, Ordering::Relaxed));
    let keep = flags & status::NONBLOCK;
    let reader = OpenFile::stream(reader, keep);
    let writer = OpenFile::stream(writer, keep | status::WRITE_ONLY);
    let files = call.files();
    let close_on_exec = flags & status::CLOSE_ON_EXEC != 0;
    let first = files.add(reader, 0, close_on_exec)?;
    let second = files.add(writer, 0, close_on_exec).inspect_err(|_| drop(files.remove(first)))?;
    let mut bytes = [0; 8];
    let (low, high) = bytes.split_at_mut(4);
    low.copy_from_slice(&first.to_le_bytes());
    high.copy_from_slice(&second.to_le_bytes());
    if call.memory().write(call.arg(0), &bytes).is_err() {
        let both = [files.remove(first), files.remove(second)];
        drop(both);
        return Err(Errno::FAULT.into());
    }
    Ok(0)
}

pub(super) fn fcntl(call: &Call<'_>) -> Outcome {
    const DUPFD: u32 = 0;
    const GETFD: u32 = 1;
    const SETFD: u32 = 2;
    const GETFL: u32 = 3;
    const SETFL: u32 = 4;
    const DUPFD_CLOEXEC: u32 = 1030;
    const SETTABLE: u32 = status::APPEND | status::NONBLOCK;
    let file = call.file(0)?;
    let files: Arc<FileTable> = call.files();
    let (number, argument) = (call.uint(0), call.arg(2));
    match call.uint(1) {
        command @ (DUPFD | DUPFD_CLOEXEC) => {
            let lowest = u32::try_from(argument).ok().filter(|l| *l < LIMIT).ok_or(Errno::INVAL)?;
            Ok(files.add(file, lowest, command == DUPFD_CLOEXEC)?.into())
        }
        GETFD => Ok(files.close_on_exec(number)?.into()),
        SETFD => files.set_close_on_exec(number, argument & 1 != 0).map(|()| 0).map_err(Into::into),
        GETFL => Ok(i64::from(file.flags.load(Ordering::SeqCst) | 0o10_0000)),
        SETFL => {
            let wanted = call.uint(2) & SETTABLE;
            let old = file.flags.load(Ordering::SeqCst);
            file.flags.store(old & !SETTABLE | wanted, Ordering::SeqCst);
            Ok(0)
        }
        _ => Err(Errno::INVAL.into()),
    }
}

pub(super) fn ioctl(call: &Call<'_>) -> Outcome {
    const FIOCLEX: u32 = 0x5451;
    const FIONCLEX: u32 = 0x5450;
    const FIONBIO: u32 = 0x5421;
    let file = call.file(0)?;
    match call.uint(1) {
        FIOCLEX => call.files().set_close_on_exec(call.uint(0), true)?,
        FIONCLEX => call.files().set_close_on_exec(call.uint(0), false)?,
        FIONBIO => {
            let on = call.memory().read_u32(call.arg(2))? != 0;
            let old = file.flags.load(Ordering::SeqCst) & !status::NONBLOCK;
            let new = if on { old | status::NONBLOCK } else { old };
            file.flags.store(new, Ordering::SeqCst);
        }
        request => return Ok(file.file.control(call, request, call.arg(2))?),
    }
    Ok(0)
}

pub(super) fn getdents64(call: &Call<'_>) -> Outcome {
    let file = call.file(0)?;
    let directory = file.directory.as_ref().ok_or(Errno::NOTDIR)?;
    let room = usize::try_from(call.arg(2)).unwrap_or(usize::MAX).min(CHUNK);
    let mut position = lock(&file.position);
    let names = directory.list(*position)?;
    let mut bytes = Vec::new();
    let mut next = *position;
    for name in &names {
        let length = (19 + name.name.len() + 1).next_multiple_of(8);
        if bytes.len() + length > room {
            break;
        }
        let start = bytes.len();
        bytes.extend_from_slice(&name.inode.to_le_bytes());
        bytes.extend_from_slice(&name.next.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(length).unwrap_or(0).to_le_bytes());
        bytes.push(name.kind);
        bytes.extend_from_slice(&name.name);
        bytes.resize(start + length, 0);
        next = name.next;
    }
    if bytes.is_empty() && !names.is_empty() {
        return Err(Errno::INVAL.into());
    }
    call.memory().write(call.arg(1), &bytes)?;
    *position = next;
    Ok(i64::try_from(bytes.len()).unwrap_or(0))
}

pub(super) fn ftruncate(call: &Call<'_>) -> Outcome {
    let file = call.file(0)?;
    let size = offset(call, 1)?;
    let fd = file.file.descriptor().filter(|_| file.writable()).ok_or(Errno::INVAL)?;
    rustix::fs::ftruncate(fd, size).map_err(Failure::from)?;
    Ok(0)
}

pub(super) fn fsync(call: &Call<'_>) -> Outcome {
    let file = call.file(0)?;
    match file.file.descriptor() {
        Some(fd) => rustix::fs::fsync(fd).map_err(Failure::from)?,
        None if file.entry.is_some() => {}
        None => return Err(Errno::INVAL.into()),
    }
    Ok(0)
}

pub(super) fn fallocate(call: &Call<'_>) -> Outcome {
    let file = call.file(0)?;
    let fd = file.file.descriptor().filter(|_| file.writable()).ok_or(Errno::BADF)?;
    let mode = rustix::fs::FallocateFlags::from_bits(call.uint(1)).ok_or(Errno::OPNOTSUPP)?;
    rustix::fs::fallocate(fd, mode, offset(call, 2)?, offset(call, 3)?).map_err(Failure::from)?;
    Ok(0)
}

pub(super) fn fadvise64(call: &Call<'_>) -> Outcome {
    let file = call.file(0)?;
    // Advice: nothing needs to come of it.
    let kind = file.file.attributes()?.kind();
    if kind == Kind::Fifo { Err(Errno::SPIPE.into()) } else { Ok(0) }
}
