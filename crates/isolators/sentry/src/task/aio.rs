//! Contexts of asynchronous input and output, as io_setup(2) makes them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustix::io::Errno;

use super::waiter::{WaitQueue, Waiter, lock};
use crate::kernel::Kernel;
use crate::vfs::{EventFd, OpenFile, Ready};

/// Requests that all contexts may be asked for (`fs.aio-max-nr`).
pub const MOST: u64 = 65_536;
/// Requests that a context counts for at least: it costs as much.
const LEAST: u64 = 64;
static ASKED: AtomicU64 = AtomicU64::new(0);

/// What became of a request: `struct io_event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// As the request has it.
    pub data: u64,
    /// Where the request is.
    pub request: u64,
    /// What it returned.
    pub result: i64,
}

impl Event {
    /// As the guest's memory has it.
    #[must_use]
    pub fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let words = [self.data, self.request, self.result.cast_unsigned(), 0];
        for (room, word) in bytes.chunks_exact_mut(8).zip(words) {
            room.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// A file that is waited for.
struct Poll {
    file: Arc<OpenFile>,
    wanted: Ready,
    data: u64,
    request: u64,
    notified: Option<Arc<OpenFile>>,
    waiter: Arc<Waiter>,
}

#[derive(Default)]
struct State {
    done: VecDeque<Event>,
    polls: BTreeMap<u64, Poll>,
    last: u64,
    /// Nothing more is asked of it.
    gone: bool,
}

/// A context.
pub struct Context {
    state: Mutex<State>,
    /// For those who wait for events.
    pub changed: WaitQueue,
    /// Requests that there may be until their events are taken.
    room: usize,
    asked: u64,
}

impl Drop for Context {
    fn drop(&mut self) {
        ASKED.fetch_sub(self.asked, Ordering::SeqCst);
    }
}

/// What is asked of a context with a request: where it is, what it says of itself, whom an
/// event is told.
pub struct Request {
    /// As the request has it.
    pub data: u64,
    /// Where the request is.
    pub address: u64,
    /// An eventfd.
    pub notified: Option<Arc<OpenFile>>,
}

fn notify(file: Option<&Arc<OpenFile>>) {
    let own = file.and_then(|file| file.file.own());
    if let Some(counter) = own.and_then(|own| own.downcast_ref::<EventFd>()) {
        counter.count_one();
    }
}

impl Context {
    /// For so many requests.
    ///
    /// # Errors
    /// `EINVAL`, `EAGAIN`: io_setup(2).
    pub fn new(requests: u32) -> Result<Arc<Self>, Errno> {
        const TOO_MANY: u32 = 0x1000_0000 / 32;
        if requests == 0 || requests > TOO_MANY {
            return Err(Errno::INVAL);
        }
        // One has room for more than a few, however few it is asked for.
        let asked = u64::from(requests).max(LEAST);
        let more = |all: u64| all.checked_add(asked).filter(|all| *all <= MOST);
        let taken = ASKED.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        taken.map_err(|_| Errno::AGAIN)?;
        // As many as fit in the pages that Linux keeps.
        let processors = crate::syscalls::system::processors();
        let least = usize::try_from(requests).unwrap_or(0).max(processors * 4) * 2 + 2;
        let pages = (32 + 32 * least).div_ceil(4096);
        let room = (4096 * pages - 32) / 32 - 1;
        let (state, changed) = (Mutex::default(), WaitQueue::default());
        Ok(Arc::new(Context { state, changed, room, asked }))
    }

    /// Whether there is room for another request.
    ///
    /// # Errors
    /// `EAGAIN`; `EINVAL` if it is gone.
    pub fn admit(&self) -> Result<(), Errno> {
        let state = lock(&self.state);
        if state.gone {
            return Err(Errno::INVAL);
        }
        let all = state.done.len() + state.polls.len();
        if all < self.room { Ok(()) } else { Err(Errno::AGAIN) }
    }

    /// A request has come to an end.
    pub fn complete(&self, request: &Request, result: i64) {
        let Request { data, address, notified } = request;
        lock(&self.state).done.push_back(Event { data: *data, request: *address, result });
        self.changed.wake();
        notify(notified.as_ref());
    }

    /// Waits for a file without anybody who waits.
    pub fn poll(
        self: &Arc<Self>,
        kernel: &Arc<Kernel>,
        request: Request,
        file: Arc<OpenFile>,
        wanted: Ready,
    ) {
        let Request { data, address, notified } = request;
        let key = {
            let mut state = lock(&self.state);
            state.last += 1;
            state.last
        };
        let (context, of) = (Arc::downgrade(self), Arc::downgrade(kernel));
        // Who wakes holds what is his: it is looked at by the thread of alarms.
        let waiter = Arc::new(Waiter::forwarding(Box::new(move || {
            let (Some(context), Some(kernel)) = (context.upgrade(), of.upgrade()) else { return };
            let look = move |_: &Arc<Kernel>| context.look(key);
            kernel.alarms.set(&kernel, Instant::now(), Box::new(look));
        })));
        let wanted = wanted | Ready::ERR | Ready::HUP;
        let poll = Poll { file, wanted, data, request: address, notified, waiter };
        lock(&self.state).polls.insert(key, poll);
        self.look(key);
    }

    /// Whether a file is ready that is waited for.
    fn look(&self, key: u64) {
        let found = lock(&self.state)
            .polls
            .get(&key)
            .map(|poll| (Arc::clone(&poll.file), poll.wanted, Arc::clone(&poll.waiter)));
        let Some((file, wanted, waiter)) = found else { return };
        file.file.watch(&waiter);
        let ready = file.file.ready() & wanted;
        if !ready.is_empty() {
            self.end(key, i64::from(ready.bits()));
        }
    }

    fn end(&self, key: u64, result: i64) {
        let Some(poll) = lock(&self.state).polls.remove(&key) else { return };
        let Poll { data, request: address, notified, .. } = poll;
        self.complete(&Request { data, address, notified }, result);
    }

    /// Ends the wait of a request.
    ///
    /// # Errors
    /// `EINVAL` if it does not wait.
    pub fn cancel(&self, request: u64) -> Result<(), Errno> {
        let key = {
            let state = lock(&self.state);
            let found = state.polls.iter().find(|(_, poll)| poll.request == request);
            found.map(|(key, _)| *key).ok_or(Errno::INVAL)?
        };
        self.end(key, 0);
        Ok(())
    }

    /// Takes up to `most` events, the oldest first.
    ///
    /// # Errors
    /// `EINVAL` if it is gone.
    pub fn take(&self, most: usize) -> Result<Vec<Event>, Errno> {
        let mut state = lock(&self.state);
        if state.gone {
            return Err(Errno::INVAL);
        }
        let count = most.min(state.done.len());
        Ok(state.done.drain(..count).collect())
    }

    /// It is gone; nothing waits any more.
    pub fn destroy(&self) {
        let polls = {
            let mut state = lock(&self.state);
            state.gone = true;
            std::mem::take(&mut state.polls)
        };
        drop(polls);
        self.changed.wake();
    }
}

/// A process's contexts, by the address that names them.
#[derive(Default)]
pub struct Contexts(Mutex<BTreeMap<u64, Arc<Context>>>);

impl Contexts {
    /// Adds one.
    pub fn add(&self, address: u64, context: Arc<Context>) {
        lock(&self.0).insert(address, context);
    }

    /// One of them.
    ///
    /// # Errors
    /// `EINVAL`
    pub fn find(&self, address: u64) -> Result<Arc<Context>, Errno> {
        lock(&self.0).get(&address).cloned().ok_or(Errno::INVAL)
    }

    /// Takes one out.
    ///
    /// # Errors
    /// `EINVAL`
    pub fn remove(&self, address: u64) -> Result<Arc<Context>, Errno> {
        lock(&self.0).remove(&address).ok_or(Errno::INVAL)
    }

    /// Ends all of them: their process has ended, or executes another program.
    pub fn clear(&self) {
        let all = std::mem::take(&mut *lock(&self.0));
        all.values().for_each(|context| context.destroy());
    }
}
