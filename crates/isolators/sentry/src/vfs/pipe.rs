//! Pipes, which live in the sentry alone.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::syscalls::{Call, Failure};
use crate::task::WaitQueue;
use crate::task::waiter::{Waiter, lock};

use super::packets::{self, Packets};
use super::{Asks, Attributes, File, Kept, Kind, Ready};

const CAPACITY: usize = 65_536;
const PAGE: usize = 4096;
/// What `/proc/sys/fs/pipe-max-size` says.
const LARGEST: usize = 1 << 20;
/// A write of up to this much is not torn.
const ATOMIC: usize = 4096;

#[derive(Debug)]
struct State {
    bytes: VecDeque<u8>,
    packets: Packets,
    capacity: usize,
    readers: usize,
    writers: usize,
    /// How often each end was opened.
    opened: (u64, u64),
    /// Somebody takes what is first, and others wait for what he leaves.
    drained: bool,
    /// Bytes that came back meanwhile: they are before what he takes.
    back: usize,
    /// They do: somebody was told meanwhile that there is nothing.
    missed: bool,
}

impl State {
    /// Whether somebody takes what is first; who asks is called behind him.
    fn is_drained(&mut self) -> bool {
        self.missed |= self.drained;
        self.drained
    }

    fn taken(&self) -> usize {
        self.bytes.len() + self.packets.unfilled()
    }

    fn room(&self) -> usize {
        self.capacity.saturating_sub(self.taken())
    }

    /// Whether a write that is not torn need not wait.
    fn has_room(&self) -> bool {
        self.room() >= ATOMIC
    }
}

/// What is between the ends.
#[derive(Debug)]
pub struct Pipe {
    state: Mutex<State>,
    /// Who waits for something to read, or for the other end.
    pub(super) filled: WaitQueue,
    /// Who waits for room.
    emptied: WaitQueue,
    kept: Kept,
}

/// An end to read from.
pub(super) struct Reader(Arc<Pipe>);
/// An end to write to.
pub(super) struct Writer(Arc<Pipe>);

impl Reader {
    /// Another one of a pipe.
    pub(super) fn of(pipe: &Arc<Pipe>) -> Self {
        let mut state = lock(&pipe.state);
        state.readers += 1;
        state.opened.0 += 1;
        drop(state);
        pipe.wake();
        Reader(Arc::clone(pipe))
    }
}

impl Writer {
    /// Another one of a pipe.
    pub(super) fn of(pipe: &Arc<Pipe>) -> Self {
        let mut state = lock(&pipe.state);
        state.writers += 1;
        state.opened.1 += 1;
        drop(state);
        pipe.wake();
        Writer(Arc::clone(pipe))
    }
}

/// Both ends of a new pipe of this user and group: for reading, for writing.
#[must_use]
pub fn pipe(inode: u64, owner: (u32, u32)) -> (Box<dyn File>, Box<dyn File>) {
    let pipe = Pipe::without_ends(inode, owner);
    (Box::new(Reader::of(&pipe)), Box::new(Writer::of(&pipe)))
}

impl Pipe {
    pub(super) fn without_ends(inode: u64, owner: (u32, u32)) -> Arc<Self> {
        let bytes = VecDeque::new();
        let (capacity, opened, drained) = (CAPACITY, (0, 0), false);
        let (packets, back, missed) = (Packets::default(), 0, false);
        let (readers, writers) = (0, 0);
        let state =
            State { bytes, packets, capacity, readers, writers, opened, drained, back, missed };
        let (filled, emptied) = (WaitQueue::default(), WaitQueue::default());
        let kept = Kept::new(12, inode, Kind::Fifo as u32 | 0o600, owner);
        Arc::new(Pipe { state: Mutex::new(state), filled, emptied, kept })
    }

    /// Calls everybody.
    fn wake(&self) {
        self.call(true, true);
    }

    /// Calls who waits for something to read, and who waits for room, if so.
    fn call(&self, filled: bool, emptied: bool) {
        if filled {
            self.filled.wake();
        }
        if emptied {
            self.emptied.wake();
        }
    }

    pub(super) fn has_readers(&self) -> bool {
        lock(&self.state).readers > 0
    }

    pub(super) fn has_writers(&self) -> bool {
        lock(&self.state).writers > 0
    }

    /// How often the ends were opened: to read, to write.
    pub(super) fn opened(&self) -> (u64, u64) {
        lock(&self.state).opened
    }

    /// How much is in it at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        lock(&self.state).capacity
    }

    /// Has it hold `wanted` bytes: a power of two, a page at least.
    ///
    /// # Errors
    /// `EPERM` if that is more than anybody may have, `EBUSY` if more is in it.
    pub fn resize(&self, wanted: u64) -> Result<usize, Errno> {
        let wanted = usize::try_from(wanted).ok().filter(|w| *w <= 1 << 31).ok_or(Errno::INVAL)?;
        let capacity = wanted.max(PAGE).next_power_of_two();
        if capacity > LARGEST {
            return Err(Errno::PERM);
        }
        let mut state = lock(&self.state);
        if state.taken() > capacity {
            return Err(Errno::BUSY);
        }
        state.capacity = capacity;
        drop(state);
        self.wake();
        Ok(capacity)
    }

    /// How much more fits in.
    ///
    /// # Errors
    /// `EPIPE` if nobody reads.
    pub fn room(&self) -> Result<usize, Errno> {
        let state = lock(&self.state);
        if state.readers == 0 {
            return Err(Errno::PIPE);
        }
        Ok(state.room())
    }

    /// Writes what there is room for; as packets, or to the stream.
    ///
    /// # Errors
    /// `EPIPE` if nobody reads, `EAGAIN` if there is no room.
    pub(super) fn write(&self, from: &[u8], as_packets: bool) -> Result<usize, Errno> {
        if from.is_empty() {
            return Ok(0);
        }
        let mut state = lock(&self.state);
        if state.readers == 0 {
            return Err(Errno::PIPE);
        }
        let room = state.room();
        let least = match from.len() {
            _ if as_packets => packets::LARGEST,
            length if length <= ATOMIC => length,
            _ => 1,
        };
        if room < least {
            return Err(Errno::AGAIN);
        }
        // A packet is whole.
        let room = if as_packets { room - room % packets::LARGEST } else { room };
        let from = from.get(..room).unwrap_or(from);
        if as_packets {
            let mut held = state.bytes.len();
            for packet in from.chunks(packets::LARGEST) {
                state.packets.add(held, packet.len());
                held += packet.len();
            }
        }
        state.bytes.extend(from);
        let is_full = !state.has_room();
        drop(state);
        self.call(true, is_full);
        Ok(from.len())
    }

    /// Puts in what was read for it when there was room, though others have written since.
    ///
    /// # Errors
    /// `EPIPE` if nobody reads.
    pub fn push(&self, bytes: &[u8]) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        if state.readers == 0 {
            return Err(Errno::PIPE);
        }
        state.bytes.extend(bytes);
        drop(state);
        self.filled.wake();
        Ok(())
    }

    /// Shows `f` what is first, and takes out as much as it says; nobody else gets it
    /// meanwhile.
    ///
    /// # Errors
    /// `EAGAIN` if there is nothing, or somebody else takes it; what `f` says.
    pub fn drain(
        &self,
        buffer: &mut [u8],
        f: impl FnOnce(&[u8]) -> Result<usize, Failure>,
    ) -> Result<usize, Failure> {
        let mut state = lock(&self.state);
        if state.is_drained() {
            return Err(Errno::AGAIN.into());
        }
        if state.bytes.is_empty() {
            return if state.writers == 0 { Ok(0) } else { Err(Errno::AGAIN.into()) };
        }
        let count = copy(&state.bytes, buffer);
        state.drained = true;
        drop(state);
        let taken = f(buffer.get(..count).unwrap_or_default());
        let mut state = lock(&self.state);
        state.drained = false;
        let gone = taken.unwrap_or(0).min(count);
        let back = std::mem::take(&mut state.back);
        state.bytes.drain(back..back + gone);
        state.packets.remove(back + gone);
        state.packets.put_before(back);
        // Nobody is called for nothing: who waits for room elsewhere waits here, too.
        let missed = std::mem::take(&mut state.missed);
        let is_empty = gone > 0 && state.bytes.is_empty();
        drop(state);
        self.call(missed || is_empty, missed || gone > 0);
        taken
    }

    /// Its attributes, if it has no name.
    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    fn control(&self, call: &Call<'_>, request: u32, argument: u64) -> Result<i64, Errno> {
        const FIONREAD: u32 = 0x541b;
        if request != FIONREAD {
            return Err(Errno::NOTTY);
        }
        let waiting = i32::try_from(lock(&self.state).bytes.len()).unwrap_or(i32::MAX);
        call.thread.memory().write(argument, &waiting.to_le_bytes())?;
        Ok(0)
    }
}

/// The same, to be opened again, unless it has a name.
pub(super) fn shared_pipe(file: &dyn File) -> Option<Arc<Pipe>> {
    let own = file.own()?;
    let reader = own.downcast_ref::<Reader>().map(|end| Arc::clone(&end.0));
    let writer = || own.downcast_ref::<Writer>().map(|end| Arc::clone(&end.0));
    reader.or_else(writer).or_else(|| super::fifo::shared_pipe(own))
}

/// The pipe that a file is an end of.
#[must_use]
pub fn pipe_of(file: &dyn File) -> Option<&Pipe> {
    let own = file.own()?;
    let reader = own.downcast_ref::<Reader>().map(|end| &*end.0);
    let writer = || own.downcast_ref::<Writer>().map(|end| &*end.0);
    reader.or_else(writer).or_else(|| super::fifo::pipe_of(own))
}

/// Copies what is first, whole pieces at a time; how much that was.
fn copy(bytes: &VecDeque<u8>, into: &mut [u8]) -> usize {
    let (front, back) = bytes.as_slices();
    let mut done = 0;
    for part in [front, back] {
        let room = into.get_mut(done..).unwrap_or_default();
        let count = room.len().min(part.len());
        if let (Some(to), Some(from)) = (room.get_mut(..count), part.get(..count)) {
            to.copy_from_slice(from);
        }
        done += count;
    }
    done
}

impl File for Reader {
    fn read(&self, into: &mut [u8], _: u64) -> Result<usize, Errno> {
        if into.is_empty() {
            return Ok(0);
        }
        let mut state = lock(&self.0.state);
        if state.is_drained() {
            return Err(Errno::AGAIN);
        }
        if state.bytes.is_empty() {
            return if state.writers == 0 { Ok(0) } else { Err(Errno::AGAIN) };
        }
        let (count, gone) = state.packets.next(into.len().min(state.bytes.len()));
        let count = copy(&state.bytes, into.get_mut(..count).unwrap_or_default());
        // Who has had room all along waits for none; that nothing is left is new to who is told
        // of something.
        let was_full = !state.has_room();
        state.bytes.drain(..gone);
        state.packets.remove(gone);
        let is_empty = state.bytes.is_empty();
        drop(state);
        self.0.call(is_empty, was_full);
        Ok(count)
    }

    /// Whole pages go, as of a pipe that keeps its bytes in pages.
    fn take_back(&self, read: &[u8], copied: usize) -> usize {
        let gone = copied - copied % PAGE;
        let mut state = lock(&self.0.state);
        let lost = read.get(gone..).unwrap_or_default();
        lost.iter().rev().for_each(|byte| state.bytes.push_front(*byte));
        state.packets.put_before(lost.len());
        if state.drained {
            state.back += lost.len();
        }
        drop(state);
        self.0.filled.wake();
        gone
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::BADF)
    }

    fn peek(&self, into: &mut [u8]) -> Result<usize, Errno> {
        let mut state = lock(&self.0.state);
        if state.is_drained() {
            return Err(Errno::AGAIN);
        }
        if state.bytes.is_empty() {
            return if state.writers == 0 { Ok(0) } else { Err(Errno::AGAIN) };
        }
        Ok(copy(&state.bytes, into))
    }

    fn ready(&self) -> Ready {
        let mut state = lock(&self.0.state);
        let mut ready = Ready::empty();
        if state.is_drained() {
            return ready;
        }
        ready.set(Ready::IN, !state.bytes.is_empty());
        ready.set(Ready::HUP, state.writers == 0);
        ready
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        self.0.filled.join(waiter);
    }

    fn own(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }

    fn asks(&self) -> Asks {
        Asks::Owner
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.0.kept.now())
    }

    fn kept(&self) -> Option<&Kept> {
        Some(&self.0.kept)
    }

    fn control(&self, call: &Call<'_>, request: u32, argument: u64) -> Result<i64, Errno> {
        self.0.control(call, request, argument)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        lock(&self.0.state).readers -= 1;
        self.0.wake();
    }
}

impl File for Writer {
    fn read(&self, _: &mut [u8], _: u64) -> Result<usize, Errno> {
        Err(Errno::BADF)
    }

    fn write(&self, from: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        self.0.write(from, false)
    }

    fn ready(&self) -> Ready {
        let state = lock(&self.0.state);
        let mut ready = Ready::empty();
        ready.set(Ready::OUT, state.has_room());
        ready.set(Ready::ERR, state.readers == 0);
        ready
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        self.0.emptied.join(waiter);
    }

    fn own(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }

    fn asks(&self) -> Asks {
        Asks::Owner
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.0.kept.now())
    }

    fn kept(&self) -> Option<&Kept> {
        Some(&self.0.kept)
    }

    fn control(&self, call: &Call<'_>, request: u32, argument: u64) -> Result<i64, Errno> {
        self.0.control(call, request, argument)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        lock(&self.0.state).writers -= 1;
        self.0.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_is_before_what_is_taken_meanwhile() {
        let pipe = Pipe::without_ends(1, (0, 0));
        let (reader, writer) = (Reader::of(&pipe), Writer::of(&pipe));
        writer.write(b"abcdef", 0, false).unwrap();
        let mut first = [0; 2];
        reader.read(&mut first, 0).unwrap();
        let mut buffer = [0; 3];
        let taken = pipe.drain(&mut buffer, |taken| {
            assert_eq!(taken, b"cde");
            assert_eq!(reader.take_back(&first, 1), 0);
            Ok(taken.len())
        });
        assert!(taken.is_ok_and(|count| count == 3));
        let mut rest = [0; 9];
        let count = reader.read(&mut rest, 0).unwrap();
        assert_eq!(&rest[..count], b"abf");
    }
}
