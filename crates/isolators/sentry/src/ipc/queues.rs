//! POSIX message queues (mq_overview(7)): files of a file system of their own, which is
//! the same wherever it is mounted.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::net::Socket;
use crate::settings::{MESSAGE_SIZE, QUEUE_LENGTH, Settings};
use crate::task::Process;
use crate::task::waiter::{WaitQueue, lock};
use crate::vfs::Kind;
use crate::vfs::kinds::anonymous_device;
use crate::vfs::tmpfs::{New, TmpFs, TmpNode};

/// `fs.mqueue.msg_default`, and what `msg_max` is before it is set: messages in a queue.
const MOST_MESSAGES: usize = 10;
/// `fs.mqueue.msgsize_default`, and the same of `msgsize_max`: bytes of a message.
const LARGEST: usize = 8192;
/// `fs.mqueue.queues_max`
pub const MOST_QUEUES: u64 = 256;
/// `MQ_PRIO_MAX`
pub const PRIORITIES: u32 = 32_768;
/// `RLIMIT_MSGQUEUE`, where nobody's limits are at hand.
const USUAL_LIMIT: u64 = 819_200;

/// Bytes of queues, by user; and what one may be.
#[derive(Debug, Default)]
pub struct Accounts {
    users: Mutex<HashMap<u32, u64>>,
    settings: Arc<Settings>,
    /// Their namespace has ended, though the file system is still mounted.
    ended: AtomicBool,
}

/// What a queue was booked for.
#[derive(Debug)]
struct Booking {
    accounts: Arc<Accounts>,
    user: u32,
    bytes: u64,
}

impl Drop for Booking {
    fn drop(&mut self) {
        let mut users = lock(&self.accounts.users);
        if let Some(bytes) = users.get_mut(&self.user) {
            *bytes -= self.bytes;
            if *bytes == 0 {
                users.remove(&self.user);
            }
        }
    }
}

/// How a process is told that an empty queue has a message.
#[derive(Clone, Debug)]
pub enum How {
    /// Not at all.
    Nothing,
    /// By a signal with a value.
    Signal(i32, u64),
    /// By bytes on a netlink socket, as the C library's threads are woken.
    Socket(Arc<Socket>, [u8; 32]),
}

/// Who is to be told, once.
#[derive(Clone)]
pub struct Registration {
    /// The table of descriptors by which it was asked for.
    pub table: usize,
    /// The process.
    pub process: Weak<Process>,
    /// Its number.
    pub pid: i32,
    /// How.
    pub how: How,
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration").field("pid", &self.pid).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    messages: BTreeMap<u32, VecDeque<Vec<u8>>>,
    count: usize,
    bytes: usize,
    receivers: usize,
    told: Option<Registration>,
}

/// A queue.
#[derive(Debug)]
pub struct Queue {
    /// Messages that it holds at most.
    pub most: usize,
    /// Bytes of a message at most.
    pub largest: usize,
    /// Who waits for a message, or for room.
    pub changed: WaitQueue,
    state: Mutex<State>,
    _booking: Booking,
}

impl Accounts {
    /// An empty queue for so many messages of so many bytes, which counts for `user`
    /// up to `limit`.
    ///
    /// # Errors
    /// `EINVAL` beyond the limits of a queue, `EMFILE` beyond those of the user.
    pub fn queue(
        self: &Arc<Self>,
        (most, largest): (usize, usize),
        user: u32,
        limit: u64,
    ) -> Result<Arc<Queue>, Errno> {
        /// What Linux counts for a message beside its bytes.
        const OVERHEAD: u64 = 96;
        let (length, size) = self.allowed();
        if !(1..=length).contains(&most) || !(1..=size).contains(&largest) {
            return Err(Errno::INVAL);
        }
        let bytes = most as u64 * (largest as u64 + OVERHEAD);
        {
            let mut users = lock(&self.users);
            let used = users.get(&user).copied().unwrap_or(0);
            if used + bytes > limit {
                return Err(Errno::MFILE);
            }
            users.insert(user, used + bytes);
        }
        let (changed, state) = Default::default();
        let booking = Booking { accounts: Arc::clone(self), user, bytes };
        Ok(Arc::new(Queue { most, largest, changed, state, _booking: booking }))
    }

    /// A queue as it is made by creating its file.
    ///
    /// # Errors
    /// As [`Self::queue`]; `EACCES` once the namespace has ended.
    pub fn usual(self: &Arc<Self>, user: u32) -> Result<Arc<Queue>, Errno> {
        if self.ended.load(Ordering::SeqCst) {
            return Err(Errno::ACCESS);
        }
        self.queue(self.limits(), user, USUAL_LIMIT)
    }

    /// How many messages of how many bytes a queue may be for.
    fn allowed(&self) -> (usize, usize) {
        let setting = |name| self.settings.get(name).and_then(|n| usize::try_from(n).ok());
        (setting(QUEUE_LENGTH).unwrap_or(MOST_MESSAGES), setting(MESSAGE_SIZE).unwrap_or(LARGEST))
    }

    /// What a queue is for if nobody says.
    #[must_use]
    pub fn limits(&self) -> (usize, usize) {
        let (length, size) = self.allowed();
        (length.min(MOST_MESSAGES), size.min(LARGEST))
    }
}

impl Queue {
    /// Adds a message; who is to be told of it comes back.
    ///
    /// # Errors
    /// `EAGAIN` if there is no room.
    pub fn send(&self, priority: u32, message: &[u8]) -> Result<Option<Registration>, Errno> {
        let mut state = lock(&self.state);
        if state.count >= self.most {
            return Err(Errno::AGAIN);
        }
        let first = state.count == 0 && state.receivers == 0;
        state.messages.entry(priority).or_default().push_back(message.to_vec());
        state.count += 1;
        state.bytes += message.len();
        let told = if first { state.told.take() } else { None };
        drop(state);
        self.changed.wake();
        Ok(told)
    }

    /// Takes the oldest message of the highest priority.
    ///
    /// # Errors
    /// `EAGAIN` if there is none.
    pub fn receive(&self) -> Result<(u32, Vec<u8>), Errno> {
        let mut state = lock(&self.state);
        let mut highest = state.messages.last_entry().ok_or(Errno::AGAIN)?;
        let priority = *highest.key();
        let message = highest.get_mut().pop_front().ok_or(Errno::AGAIN)?;
        if highest.get().is_empty() {
            highest.remove();
        }
        state.count -= 1;
        state.bytes -= message.len();
        drop(state);
        self.changed.wake();
        Ok((priority, message))
    }

    /// Counts who waits for a message: then nobody is told of it.
    pub fn waits(&self, more: bool) {
        let receivers = &mut lock(&self.state).receivers;
        *receivers = if more { *receivers + 1 } else { receivers.saturating_sub(1) };
    }

    /// How many messages there are.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.state).count
    }

    /// Has somebody told of the next message that comes to the empty queue.
    ///
    /// # Errors
    /// `EBUSY` if somebody is already.
    pub fn register(&self, registration: Registration) -> Result<(), Errno> {
        let told = &mut lock(&self.state).told;
        if told.is_some() {
            return Err(Errno::BUSY);
        }
        *told = Some(registration);
        Ok(())
    }

    /// Takes a table's registration back, if it has one.
    pub fn unregister(&self, table: usize) -> Option<Registration> {
        lock(&self.state).told.take_if(|told| told.table == table)
    }

    /// What reading its file tells.
    #[must_use]
    pub fn text(&self) -> String {
        let state = lock(&self.state);
        let (how, signal, pid) = match &state.told {
            None => (0, 0, 0),
            Some(told) => match told.how {
                How::Nothing => (1, 0, told.pid),
                How::Signal(number, _) => (0, number, told.pid),
                How::Socket(..) => (2, 0, told.pid),
            },
        };
        format!("QSIZE:{:<10} NOTIFY:{how:<5} SIGNO:{signal:<5} NOTIFY_PID:{pid:<6}\n", state.bytes)
    }
}

/// The file system of all queues.
#[derive(Debug)]
pub struct Queues {
    /// Its root.
    pub root: Arc<TmpNode>,
    /// What users have in it.
    pub accounts: Arc<Accounts>,
}

impl Queues {
    /// None, of an IPC namespace with these settings.
    #[must_use]
    pub fn new(settings: &Arc<Settings>) -> Self {
        let (users, settings) = (Mutex::default(), Arc::clone(settings));
        let accounts = Arc::new(Accounts { users, settings, ended: AtomicBool::new(false) });
        let kind = Kind::Directory;
        let new = New { kind, permissions: 0o1777, owner: (0, 0), number: 0, text: b"" };
        let root =
            TmpFs::of_queues(anonymous_device(), MOST_QUEUES + 1, Arc::clone(&accounts), new);
        Queues { root, accounts }
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        // What is still mounted stays as it is, and nothing is made there any more.
        self.accounts.ended.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_go_first_and_room_ends() {
        let accounts = Arc::<Accounts>::default();
        let queue = accounts.queue((3, 10), 5, USUAL_LIMIT).unwrap();
        for (priority, text) in [(1, b"a"), (7, b"b"), (1, b"c")] {
            assert!(queue.send(priority, text).unwrap().is_none());
        }
        assert_eq!(queue.send(1, b"d").err(), Some(Errno::AGAIN));
        assert!(queue.text().starts_with("QSIZE:3          NOTIFY:0     SIGNO:0 "));
        let order: Vec<_> = std::iter::from_fn(|| queue.receive().ok()).collect();
        assert_eq!(order, [(7, b"b".to_vec()), (1, b"a".to_vec()), (1, b"c".to_vec())]);
    }

    #[test]
    fn users_have_limits_and_one_is_told_once() {
        let accounts = Arc::<Accounts>::default();
        let all: Vec<_> = std::iter::from_fn(|| accounts.usual(7).ok()).take(99).collect();
        assert_eq!(all.len(), 9);
        assert_eq!(accounts.usual(7).err(), Some(Errno::MFILE));
        assert!(accounts.usual(8).is_ok());
        assert_eq!(accounts.queue((11, 1), 8, USUAL_LIMIT).err(), Some(Errno::INVAL));
        drop(all);
        assert!(lock(&accounts.users).is_empty());
        let queue = accounts.usual(7).unwrap();
        let told = Registration { table: 1, process: Weak::new(), pid: 3, how: How::Nothing };
        queue.register(told.clone()).unwrap();
        assert_eq!(queue.register(told.clone()).err(), Some(Errno::BUSY));
        assert!(queue.unregister(2).is_none());
        assert_eq!(queue.send(0, b"x").unwrap().map(|told| told.pid), Some(3));
        queue.register(told).unwrap();
        assert!(queue.send(0, b"y").unwrap().is_none(), "it was not empty");
    }
}
