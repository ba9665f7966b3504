//! Streams that the sandbox was given: its standard input, output and error.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::io::Errno;

use crate::syscalls::Call;
use crate::task::WaitQueue;
use crate::task::waiter::{Waiter, lock};

use super::{Attributes, File, Ready};

/// Waits for the host's streams, in a thread of its own.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    queues: Mutex<HashMap<u64, Arc<WaitQueue>>>,
}

impl Poller {
    /// Without streams.
    ///
    /// # Errors
    /// What the host says.
    pub fn new() -> Result<Arc<Self>, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Arc::new(Poller { epoll, queues: Mutex::default() }))
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn start(self: &Arc<Self>) -> std::io::Result<()> {
        let this = Arc::clone(self);
        let thread = std::thread::Builder::new().stack_size(64 << 10);
        thread.spawn(move || this.run()).map(drop)
    }

    /// The queue that is woken whenever something happens to a stream (`EPOLLET`), until
    /// it is forgotten; `None` if the host refuses. Of several calls for one stream all
    /// get the same.
    pub fn follow(&self, stream: BorrowedFd<'_>) -> Option<Arc<WaitQueue>> {
        let key = u64::from(stream.as_raw_fd().cast_unsigned());
        let mut queues = lock(&self.queues);
        if let Some(known) = queues.get(&key) {
            return Some(Arc::clone(known));
        }
        let queue = Arc::new(WaitQueue::default());
        queues.insert(key, Arc::clone(&queue));
        let flags = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::PRI
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::ET;
        if epoll::add(&self.epoll, stream, epoll::EventData::new_u64(key), flags).is_err() {
            queues.remove(&key);
            return None;
        }
        Some(queue)
    }

    /// Undoes [`Self::follow`], before the stream is closed.
    pub fn forget(&self, stream: BorrowedFd<'_>) {
        let key = u64::from(stream.as_raw_fd().cast_unsigned());
        let _ = epoll::delete(&self.epoll, stream);
        lock(&self.queues).remove(&key);
    }

    fn run(&self) {
        let mut events = Vec::with_capacity(16);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            for event in &events {
                let event: &epoll::Event = event;
                let queue = lock(&self.queues).get(&event.data.u64()).cloned();
                if let Some(queue) = queue {
                    queue.wake();
                }
            }
        }
    }
}

/// A stream of the host's.
pub struct HostStream {
    fd: OwnedFd,
    poller: Arc<Poller>,
    /// Its key with the poller; `None` if it is always ready, as a file is.
    key: Option<u64>,
    queue: Arc<WaitQueue>,
    /// Who looks whether there is something to read, and reads it.
    reading: Mutex<()>,
    /// What was read and came back.
    back: Mutex<Vec<u8>>,
    /// What the poller was last asked to tell.
    asked: Mutex<Ready>,
}

impl HostStream {
    /// Over a descriptor that was handed in.
    #[must_use]
    pub fn new(fd: OwnedFd, poller: &Arc<Poller>) -> Self {
        let key = u64::from(fd.as_raw_fd().cast_unsigned());
        let queue = Arc::new(WaitQueue::default());
        let data = epoll::EventData::new_u64(key);
        let none = epoll::EventFlags::ONESHOT;
        let added = epoll::add(&poller.epoll, &fd, data, none).is_ok();
        if added {
            lock(&poller.queues).insert(key, Arc::clone(&queue));
        }
        let key = added.then_some(key);
        let (reading, back) = (Mutex::default(), Mutex::default());
        let (poller, asked) = (Arc::clone(poller), Mutex::new(Ready::empty()));
        HostStream { fd, poller, key, queue, reading, back, asked }
    }
}

impl HostStream {
    /// Tells who reads its other end that nothing more comes.
    ///
    /// # Errors
    /// `ENOTSOCK`
    pub fn end_writing(&self) -> Result<(), Errno> {
        rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Write)
    }

    /// Has whoever waits called when something more than this can be done.
    fn follow(&self, ready: Ready) {
        let Some(key) = self.key else { return };
        let data = epoll::EventData::new_u64(key);
        let more = (Ready::IN | Ready::OUT).difference(ready);
        let mut flags = epoll::EventFlags::ONESHOT;
        flags.set(epoll::EventFlags::IN, more.contains(Ready::IN));
        flags.set(epoll::EventFlags::OUT, more.contains(Ready::OUT));
        let mut asked = lock(&self.asked);
        // Somebody waits for that, whom the poller may not have called yet, and does not now.
        let due = asked.intersects(ready);
        *asked = more;
        let _ = epoll::modify(&self.poller.epoll, &self.fd, data, flags);
        drop(asked);
        if due {
            self.queue.wake();
        }
    }

    /// A call did less than it could: who knows that waits for the next edge, and looks no more.
    fn ends(&self, short: bool) {
        if short {
            self.ready();
        }
    }

    /// The size of its window, if it is a terminal.
    #[must_use]
    pub fn window_size(&self) -> Option<[u16; 4]> {
        let size = rustix::termios::tcgetwinsize(&self.fd).ok()?;
        Some([size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel])
    }
}

impl Drop for HostStream {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let _ = epoll::delete(&self.poller.epoll, &self.fd);
            lock(&self.poller.queues).remove(&key);
        }
    }
}

impl File for HostStream {
    fn waits_cleanly(&self) -> bool {
        false
    }

    fn read(&self, into: &mut [u8], _: u64) -> Result<usize, Errno> {
        // Two that see the same bytes must not both read: one would wait in the host.
        let _reading = lock(&self.reading);
        let mut back = lock(&self.back);
        if !back.is_empty() {
            let count = super::texts::read_text(&back, into, 0);
            back.drain(..count);
            return Ok(count);
        }
        drop(back);
        let ready = self.ready();
        if !ready.intersects(Ready::IN | Ready::HUP | Ready::ERR) {
            // Another may have taken what was there when the waiter joined.
            self.follow(ready);
            return Err(Errno::AGAIN);
        }
        let room = into.len();
        let count = rustix::io::read(&self.fd, into)?;
        self.ends(count < room);
        Ok(count)
    }

    fn take_back(&self, read: &[u8], copied: usize) -> usize {
        let rest = read.get(copied..).unwrap_or_default();
        lock(&self.back).splice(..0, rest.iter().copied());
        self.queue.wake();
        copied
    }

    fn write(&self, from: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        let ready = self.ready();
        if !ready.intersects(Ready::OUT | Ready::HUP | Ready::ERR) {
            // Another may have taken what was there when the waiter joined.
            self.follow(ready);
            return Err(Errno::AGAIN);
        }
        // No more than a pipe that can be written at all takes at once.
        let part = if self.key.is_some() { from.get(..4096).unwrap_or(from) } else { from };
        let count = rustix::io::write(&self.fd, part)?;
        self.ends(count < part.len());
        Ok(count)
    }

    fn ready(&self) -> Ready {
        if self.key.is_none() {
            return Ready::IN | Ready::OUT;
        }
        let mut one = [PollFd::new(&self.fd, PollFlags::IN | PollFlags::OUT)];
        let mut ready =
            match poll(&mut one, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })) {
                Ok(_) => one
                    .first()
                    .map_or(Ready::empty(), |p| Ready::from_bits_truncate(p.revents().bits())),
                Err(_) => Ready::empty(),
            };
        if !lock(&self.back).is_empty() {
            ready |= Ready::IN;
        }
        // Another may have taken it since a waiter joined, who does not hear of more then.
        let more = (Ready::IN | Ready::OUT).difference(ready);
        if !lock(&self.asked).contains(more) {
            self.follow(ready);
        }
        ready
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        if self.key.is_some() {
            self.queue.join(waiter);
            self.follow(self.ready());
        }
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(Attributes::from_host(&rustix::fs::fstat(&self.fd)?))
    }

    fn control(&self, call: &Call<'_>, request: u32, argument: u64) -> Result<i64, Errno> {
        const TCGETS: u32 = 0x5401;
        const TIOCGWINSZ: u32 = 0x5413;
        let memory = call.thread.memory();
        match request {
            TIOCGWINSZ => {
                let size = rustix::termios::tcgetwinsize(&self.fd)?;
                let mut bytes = Vec::new();
                for part in [size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel] {
                    bytes.extend_from_slice(&part.to_le_bytes());
                }
                memory.write(argument, &bytes)?;
                Ok(0)
            }
            TCGETS => {
                let state = rustix::termios::tcgetattr(&self.fd)?;
                let mut bytes = Vec::new();
                let modes = [
                    state.input_modes.bits(),
                    state.output_modes.bits(),
                    state.control_modes.bits(),
                    state.local_modes.bits(),
                ];
                modes.iter().for_each(|m| bytes.extend_from_slice(&m.to_le_bytes()));
                // Line discipline and control characters: all zero.
                bytes.resize(36, 0);
                memory.write(argument, &bytes)?;
                Ok(0)
            }
            _ => Err(Errno::NOTTY),
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.key.is_none().then(|| self.fd.as_fd())
    }

    fn sync(&self) -> Result<(), Errno> {
        rustix::fs::fsync(&self.fd)
    }
}
