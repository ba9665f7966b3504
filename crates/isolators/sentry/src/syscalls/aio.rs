//! Asynchronous input and output: io_setup(2) and its relatives. As on Linux with files that
//! are not read around its cache, all is done when a request is submitted, but for waits
//! (`IOCB_CMD_POLL`).

use std::sync::Arc;

use rustix::io::Errno;

use crate::kernel::Frame;
use crate::mm::{Area, Backing, Marks, PAGE, Protection};
use crate::platform::HostCall;
use crate::task::Restart;
use crate::task::aio::{Context, Request};
use crate::task::waiter::{Woken, lock};
use crate::vfs::{EventFd, OpenFile, Ready};

use super::memory::{self, host, map};
use super::{Call, Failure, Framed, Outcome, time, transfer};

/// Bytes of `struct iocb` and `struct io_event`.
const REQUEST: usize = 64;
const EVENT: u64 = 32;

/// What maps needs the caller's registers.
pub(super) fn with_frame(_: &Call<'_>) -> Outcome {
    Err(Failure::NeedsFrame)
}

/// A context is named by the address of a page of the caller's, in which libraries look for
/// what a kernel may leave there; ours is empty.
pub(super) fn io_setup(call: &Call<'_>, frame: &Frame) -> Framed {
    let memory = call.memory();
    if memory.read_u64(call.arg(1))? != 0 {
        return Err(Errno::INVAL.into());
    }
    let context = Context::new(call.uint(0))?;
    let (space, start) = memory::in_turn(call, |space| {
        let areas = lock(&space.areas);
        let start = areas.find(0, PAGE, None).ok_or(Errno::NOMEM)?;
        memory.write(call.arg(1), &start.to_le_bytes())?;
        Ok(start)
    })?;
    let process = Arc::clone(&call.thread.process);
    let area = Area {
        end: start + PAGE,
        protection: Protection(3),
        backing: Backing::Anonymous,
        name: "/[aio] (deleted)",
        label: None,
        marks: Marks::empty(),
    };
    let flags = map::PRIVATE | map::ANONYMOUS | map::FIXED;
    let call_of_host = HostCall { number: host::MMAP, args: [start, PAGE, 3, flags, u64::MAX, 0] };
    let note: memory::Note = Box::new(move |areas| {
        areas.insert(start, area);
        process.aio.add(start, context);
    });
    memory::change(call, space, frame, call_of_host, 0, note);
    Ok(None)
}

pub(super) fn io_destroy(call: &Call<'_>, frame: &Frame) -> Framed {
    let start = call.arg(0);
    let context = call.thread.process.aio.remove(start)?;
    context.destroy();
    let at = start..start + PAGE;
    let (space, mapped) = memory::in_turn(call, |space| {
        space.settle(call.thread.tid, &at)?;
        let areas = lock(&space.areas);
        let own = areas.at(start).is_some_and(|(from, area)| {
            from == start && area.end == at.end && area.name.starts_with("/[aio]")
        });
        Ok(own)
    })?;
    if !mapped {
        // The program has put something else there.
        space.pass_turn();
        return Ok(Some(0));
    }
    let call_of_host = HostCall { number: host::MUNMAP, args: [start, PAGE, 0, 0, 0, 0] };
    memory::change(call, space, frame, call_of_host, 0, Box::new(move |areas| areas.remove(&at)));
    Ok(None)
}

/// `struct iocb`
struct Block {
    bytes: [u8; REQUEST],
}

impl Block {
    fn word(&self, at: usize) -> u64 {
        let word = self.bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
        word.map_or(0, u64::from_le_bytes)
    }

    fn half(&self, at: usize) -> u32 {
        let half = self.bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
        half.map_or(0, u32::from_le_bytes)
    }
}

/// Puts a request to a context.
fn submit(call: &Call<'_>, context: &Arc<Context>, address: u64) -> Result<(), Failure> {
    const READ: u32 = 0;
    const WRITE: u32 = 1;
    const SYNC: u32 = 2;
    const DATA_SYNC: u32 = 3;
    const POLL: u32 = 5;
    const READ_VECTOR: u32 = 7;
    const WRITE_VECTOR: u32 = 8;
    /// `IOCB_FLAG_RESFD`
    const NOTIFIES: u32 = 1;
    let block = Block { bytes: call.memory().read_array(address)? };
    let (data, way, code) = (block.word(0), block.half(12), block.half(16) & 0xffff);
    let (number, buffer, length) = (block.half(20), block.word(24), block.word(32));
    let (offset, reserved) = (block.word(40), block.word(48));
    let (flags, notified) = (block.half(56), block.half(60));
    if reserved != 0 || length.cast_signed() < 0 {
        return Err(Errno::INVAL.into());
    }
    context.admit()?;
    let file = call.files().get(number)?;
    let notified = if flags & NOTIFIES != 0 {
        let events = call.files().get(notified)?;
        if !events.file.own().is_some_and(<dyn std::any::Any>::is::<EventFd>) {
            return Err(Errno::INVAL.into());
        }
        Some(events)
    } else {
        None
    };
    // `aio_key`, which is the same for all.
    call.memory().write(address.wrapping_add(8), &0_u32.to_le_bytes())?;
    let request = Request { data, address, notified };
    match code {
        READ | READ_VECTOR if !file.readable() => return Err(Errno::BADF.into()),
        WRITE | WRITE_VECTOR if !file.writable() => return Err(Errno::BADF.into()),
        READ | WRITE | READ_VECTOR | WRITE_VECTOR => {
            let moves = Moves { number, buffer, length, offset, way };
            let reads = matches!(code, READ | READ_VECTOR);
            let vector = matches!(code, READ_VECTOR | WRITE_VECTOR);
            let outcome = moves.make(call, &file, reads, vector);
            context.complete(&request, result_of(outcome));
        }
        SYNC | DATA_SYNC => {
            if buffer != 0 || offset != 0 || length != 0 || way != 0 || !file.seekable {
                return Err(Errno::INVAL.into());
            }
            let outcome = file.sync().map(|()| 0).map_err(Failure::from);
            context.complete(&request, result_of(outcome));
        }
        POLL => {
            let wanted = u16::try_from(buffer).map_err(|_| Errno::INVAL)?;
            if offset != 0 || length != 0 || way != 0 {
                return Err(Errno::INVAL.into());
            }
            context.poll(call.kernel, request, file, Ready::from_bits_truncate(wanted));
        }
        _ => return Err(Errno::INVAL.into()),
    }
    Ok(())
}

/// A read or a write.
struct Moves {
    number: u32,
    buffer: u64,
    length: u64,
    offset: u64,
    way: u32,
}

impl Moves {
    /// Does it as the call does that is meant.
    fn make(&self, call: &Call<'_>, file: &OpenFile, reads: bool, vector: bool) -> Outcome {
        let Moves { number, buffer, length, offset, way } = *self;
        let at = if file.seekable { offset } else { u64::MAX };
        let args = [number.into(), buffer, length, at, 0, way.into()];
        let Call { kernel, thread, id, .. } = *call;
        let call = Call { kernel, thread, args, id, continued: None, held: None };
        match (vector, reads, file.seekable) {
            (true, true, _) => transfer::preadv2(&call),
            (true, false, _) => transfer::pwritev2(&call),
            _ if way != 0 => Err(Errno::OPNOTSUPP.into()),
            (_, true, true) => transfer::pread64(&call),
            (_, false, true) => transfer::pwrite64(&call),
            (_, true, false) => transfer::read(&call),
            (_, false, false) => transfer::write(&call),
        }
    }
}

fn result_of(outcome: Outcome) -> i64 {
    match outcome {
        Ok(value) => value,
        Err(Failure::Errno(errno)) => -i64::from(errno.raw_os_error()),
        Err(_) => -i64::from(Errno::INTR.raw_os_error()),
    }
}

pub(super) fn io_submit(call: &Call<'_>) -> Outcome {
    let context = call.thread.process.aio.find(call.arg(0))?;
    let count = call.arg(1).cast_signed();
    if count < 0 {
        return Err(Errno::INVAL.into());
    }
    let mut done = 0;
    while done < count {
        let at = call.arg(2).wrapping_add(8 * done.cast_unsigned());
        let put = call.memory().read_u64(at).map_err(Failure::from);
        match put.and_then(|address| submit(call, &context, address)) {
            Ok(()) => done += 1,
            Err(failure) if done == 0 => return Err(failure),
            Err(_) => break,
        }
    }
    Ok(done)
}

pub(super) fn io_cancel(call: &Call<'_>) -> Outcome {
    let request = call.arg(1);
    if call.memory().read_u32(request.wrapping_add(8))? != 0 {
        return Err(Errno::INVAL.into());
    }
    call.thread.process.aio.find(call.arg(0))?.cancel(request)?;
    // Its event comes as others do.
    Err(Errno::INPROGRESS.into())
}

pub(super) fn io_getevents(call: &Call<'_>) -> Outcome {
    let (least, most) = (call.arg(1).cast_signed(), call.arg(2).cast_signed());
    let deadline = match call.continued {
        Some(end) => Some(end),
        None => time::deadline_at(call, call.arg(4))?,
    };
    let context = call.thread.process.aio.find(call.arg(0))?;
    let (Ok(least), Ok(most)) = (usize::try_from(least), usize::try_from(most)) else {
        return Err(Errno::INVAL.into());
    };
    if least > most {
        return Err(Errno::INVAL.into());
    }
    let mut taken = 0;
    loop {
        context.changed.join(call.waiter());
        for event in context.take(most - taken)? {
            let at = call.arg(3).wrapping_add(EVENT * taken as u64);
            call.memory().write(at, &event.bytes())?;
            taken += 1;
        }
        if taken >= least {
            break;
        }
        match call.waiter().wait(deadline) {
            Woken::Called => {}
            Woken::TimedOut => break,
            Woken::Interrupted if taken > 0 => break,
            Woken::Interrupted => {
                return Err(Failure::Interrupted(deadline.map_or(Restart::Never, Restart::Until)));
            }
        }
    }
    Ok(i64::try_from(taken).unwrap_or(0))
}

/// The same, with a signal mask.
pub(super) fn io_pgetevents(call: &Call<'_>) -> Outcome {
    let at = call.arg(5);
    let (mask, size) = if at == 0 { (0, 0) } else { call.memory().read_pair(at)? };
    super::polling::with_mask(call, mask, size, || io_getevents(call))
}
