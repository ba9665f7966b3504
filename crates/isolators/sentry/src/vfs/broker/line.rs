//! The sentry's ends of the lines to a broker.

use std::cell::Cell;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::platform::affinity;
use crate::task::waiter::lock;

use super::{NOT_MINE, Operation, Request, receive, send};

thread_local! {
    static ASKED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// How long the calling thread has waited for brokers' answers so far.
#[must_use]
pub fn asked_brokers() -> Duration {
    ASKED.get()
}

/// Where a broker is asked, by one at a time.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) socket: Mutex<OwnedFd>,
    /// Where its other thread is asked, which waits for disks; once it was.
    syncs: Mutex<Option<OwnedFd>>,
}

impl Line {
    pub(super) fn over(socket: OwnedFd) -> Arc<Self> {
        Arc::new(Line { socket: Mutex::new(socket), syncs: Mutex::default() })
    }

    /// Asks, and waits for the answer where the broker will be, too.
    pub(super) fn talk(
        &self,
        request: &Request,
        with: &[BorrowedFd<'_>],
        room: usize,
    ) -> Result<Option<Answer>, Errno> {
        let begin = Instant::now();
        let answer = affinity::staying(|processor| {
            let processor = u16::try_from(processor).unwrap_or(0);
            talk(&lock(&self.socket), &request.encode(processor), with, room)
        });
        ASKED.set(ASKED.get().saturating_add(begin.elapsed()));
        answer
    }

    pub(super) fn sync(
        &self,
        request: &Request,
        file: BorrowedFd<'_>,
    ) -> Result<Option<Answer>, Errno> {
        let mut syncs = lock(&self.syncs);
        let socket = match &mut *syncs {
            Some(socket) => socket,
            none => {
                let which = Request { operation: Operation::SyncLine as u8, ..Request::default() };
                let answer = self.talk(&which, &[], 0)?;
                let line = answer.and_then(|(_, mut with)| with.pop()).ok_or(Errno::IO)?;
                none.insert(line)
            }
        };
        talk(socket, &request.encode(0), &[file], 0)
    }
}

/// What is said of a broker that has ended.
pub(super) fn ended(errno: Errno) -> Errno {
    match errno {
        Errno::PIPE | Errno::CONNRESET => Errno::IO,
        errno => errno,
    }
}

/// Bytes and descriptors.
pub(super) type Answer = (Vec<u8>, Vec<OwnedFd>);

/// A request and its answer: up to `room` bytes, and descriptors; `None` if it is about
/// something of another broker's.
fn talk(
    socket: &OwnedFd,
    request: &[u8],
    with: &[BorrowedFd<'_>],
    room: usize,
) -> Result<Option<Answer>, Errno> {
    let mut answer = vec![0; 4 + room];
    send(socket, request, with)?;
    let (length, descriptors) = receive(socket, &mut answer)?;
    answer.truncate(length);
    // It is gone.
    let (errno, bytes) = answer.split_first_chunk().ok_or(Errno::CONNRESET)?;
    match i32::from_le_bytes(*errno) {
        0 => Ok(Some((bytes.to_vec(), descriptors))),
        NOT_MINE => Ok(None),
        errno => Err(Errno::from_raw_os_error(errno)),
    }
}
