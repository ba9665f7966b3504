//! Pipes, which live in the sentry alone.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::syscalls::Call;
use crate::task::WaitQueue;
use crate::task::waiter::{Waiter, lock};

use super::{Attributes, File, Kind, Ready, Time};

const CAPACITY: usize = 65_536;
/// A write of up to this much is not torn.
const ATOMIC: usize = 4096;

#[derive(Debug, Default)]
struct State {
    bytes: VecDeque<u8>,
    readers: usize,
    writers: usize,
}

#[derive(Debug)]
struct Pipe {
    state: Mutex<State>,
    changed: WaitQueue,
    inode: u64,
    made: Time,
}

struct Reader(Arc<Pipe>);
struct Writer(Arc<Pipe>);

/// Both ends of a new pipe: for reading, for writing.
#[must_use]
pub fn pipe(inode: u64) -> (Box<dyn File>, Box<dyn File>) {
    let state = State { readers: 1, writers: 1, ..State::default() };
    let pipe = Arc::new(Pipe {
        state: Mutex::new(state),
        changed: WaitQueue::default(),
        inode,
        made: Time::now(),
    });
    (Box::new(Reader(Arc::clone(&pipe))), Box::new(Writer(pipe)))
}

impl Pipe {
    fn attributes(&self) -> Attributes {
        let mode = Kind::Fifo as u32 | 0o600;
        let (accessed, modified, changed) = (self.made, self.made, self.made);
        let base = Attributes { accessed, modified, changed, ..Attributes::default() };
        Attributes { device: 12, inode: self.inode, mode, links: 1, block_size: 4096, ..base }
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

impl File for Reader {
    fn read(&self, into: &mut [u8], _: u64) -> Result<usize, Errno> {
        if into.is_empty() {
            return Ok(0);
        }
        let mut state = lock(&self.0.state);
        if state.bytes.is_empty() {
            return if state.writers == 0 { Ok(0) } else { Err(Errno::AGAIN) };
        }
        let count = into.len().min(state.bytes.len());
        for (to, from) in into.iter_mut().zip(state.bytes.drain(..count)) {
            *to = from;
        }
        drop(state);
        self.0.changed.wake();
        Ok(count)
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::BADF)
    }

    fn ready(&self) -> Ready {
        let state = lock(&self.0.state);
        let mut ready = Ready::empty();
        ready.set(Ready::IN, !state.bytes.is_empty());
        ready.set(Ready::HUP, state.writers == 0);
        ready
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        self.0.changed.join(waiter);
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.0.attributes())
    }

    fn control(&self, call: &Call<'_>, request: u32, argument: u64) -> Result<i64, Errno> {
        self.0.control(call, request, argument)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        lock(&self.0.state).readers = 0;
        self.0.changed.wake();
    }
}

impl File for Writer {
    fn read(&self, _: &mut [u8], _: u64) -> Result<usize, Errno> {
        Err(Errno::BADF)
    }

    fn write(&self, from: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        let mut state = lock(&self.0.state);
        if state.readers == 0 {
            return Err(Errno::PIPE);
        }
        let room = CAPACITY.saturating_sub(state.bytes.len());
        if room == 0 || (from.len() <= ATOMIC && room < from.len()) {
            return if from.is_empty() { Ok(0) } else { Err(Errno::AGAIN) };
        }
        let count = from.len().min(room);
        state.bytes.extend(from.iter().take(count));
        drop(state);
        self.0.changed.wake();
        Ok(count)
    }

    fn ready(&self) -> Ready {
        let state = lock(&self.0.state);
        let mut ready = Ready::empty();
        ready.set(Ready::OUT, CAPACITY - state.bytes.len().min(CAPACITY) >= ATOMIC);
        ready.set(Ready::ERR, state.readers == 0);
        ready
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        self.0.changed.join(waiter);
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.0.attributes())
    }

    fn control(&self, call: &Call<'_>, request: u32, argument: u64) -> Result<i64, Errno> {
        self.0.control(call, request, argument)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        lock(&self.0.state).writers = 0;
        self.0.changed.wake();
    }
}
