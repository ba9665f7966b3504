//! When calls that a thread posts ([`crate::platform::post`]) may be served.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, TryLockError};
use std::time::{Duration, Instant};

use crate::mm::views::Lent;
use crate::platform::HostCall;
use crate::workers::let_others_serve;

use super::waiter::lock;

/// A call that follows another one within this is quick.
const QUICK: Duration = Duration::from_micros(30);
/// One that waited for so long meanwhile may be quick still.
const WAITED: Duration = Duration::from_micros(500);
/// Of those in a row no more are remembered.
const MOST: u32 = 64;
/// Quick calls in a row that make a thread quick.
const ROW: u32 = 8;

/// Of one thread.
///
/// Anybody in its address space can have its desk say that it has posted a call. One is
/// served only while the thread runs its own code, which it does from an answer to its next
/// report; and that waits until the call is served. So a thread makes one call at a time.
#[derive(Debug)]
pub struct Posting {
    /// Held while a posted call is served.
    turn: Mutex<()>,
    /// How often it has reported.
    reports: AtomicU64,
    /// The report after which it was let go on.
    let_go: AtomicU64,
    /// It was told where its desk is.
    pub has_desk: AtomicBool,
    /// It was told its ids.
    pub told: AtomicBool,
    /// Its desk is looked at.
    pub seated: AtomicBool,
    /// Quick calls in a row.
    quick: AtomicU32,
    /// When it made the last one, in nanoseconds.
    last: AtomicU64,
    /// The last call that it was let make, until it is known to be made.
    approved: Mutex<Option<HostCall>>,
    /// What it was told to copy last, until it is known to have done so; whether there is
    /// anything.
    lent: Mutex<Option<Lent>>,
    lends: AtomicBool,
}

impl Default for Posting {
    fn default() -> Self {
        Posting {
            turn: Mutex::default(),
            reports: AtomicU64::new(0),
            let_go: AtomicU64::new(u64::MAX),
            has_desk: AtomicBool::new(false),
            told: AtomicBool::new(false),
            seated: AtomicBool::new(false),
            quick: AtomicU32::new(0),
            last: AtomicU64::new(0),
            approved: Mutex::default(),
            lent: Mutex::default(),
            lends: AtomicBool::new(false),
        }
    }
}

impl Posting {
    /// The thread has reported: returns once no posted call of its is being served.
    pub fn reported(&self) {
        self.reports.fetch_add(1, Ordering::SeqCst);
        if matches!(self.turn.try_lock(), Err(TryLockError::WouldBlock)) {
            let_others_serve();
            drop(lock(&self.turn));
        }
    }

    /// It is about to be let go on with code of its own; nothing else follows.
    pub fn goes_on(&self) {
        self.let_go.store(self.reports.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Serves a posted call with `f`; `None` if the thread has reported, and waits.
    pub fn serve<T>(&self, f: impl FnOnce() -> T) -> Option<T> {
        let _turn = lock(&self.turn);
        let free = self.let_go.load(Ordering::SeqCst) == self.reports.load(Ordering::SeqCst);
        free.then(f)
    }

    /// It is let make a posted call.
    pub fn approve(&self, call: HostCall) {
        *lock(&self.approved) = Some(call);
    }

    /// The call that it was let make last, if it may not be made yet. There is none afterwards.
    pub fn take_approved(&self) -> Option<HostCall> {
        lock(&self.approved).take()
    }

    /// A call for which a broker was asked is about to be answered: how long that took is not the
    /// thread's own time.
    pub fn was_asked_for(&self) {
        self.last.store(since_start(), Ordering::Relaxed);
    }

    /// It is told to copy something.
    pub fn lend(&self, lent: Lent) {
        *lock(&self.lent) = Some(lent);
        self.lends.store(true, Ordering::SeqCst);
    }

    /// What it was told to copy last, if it may not have done so yet. There is nothing
    /// afterwards.
    pub fn take_lent(&self) -> Option<Lent> {
        let lends = self.lends.swap(false, Ordering::SeqCst);
        lends.then(|| lock(&self.lent).take()).flatten()
    }

    /// It makes a call that could be posted: whether it makes many in little time.
    pub fn is_quick(&self) -> bool {
        let now = since_start();
        let before = self.last.swap(now, Ordering::Relaxed);
        let (gap, row) = (now.saturating_sub(before), self.quick.load(Ordering::Relaxed));
        let row = if gap < nanoseconds(QUICK) {
            (row + 1).min(MOST)
        } else if gap < nanoseconds(WAITED) {
            row - row / 4
        } else {
            0
        };
        self.quick.store(row, Ordering::Relaxed);
        row >= ROW
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// In nanoseconds, since this was first asked.
fn since_start() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    nanoseconds(START.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_the_broker_asked_is_quick() {
        let posting = Posting::default();
        let calls = |asked: bool| {
            let quick = |_: u32| {
                let begin = Instant::now();
                while begin.elapsed() < 2 * QUICK {}
                if asked {
                    posting.was_asked_for();
                }
                posting.is_quick()
            };
            (0..4 * ROW).any(quick)
        };
        assert!(!calls(false));
        assert!(calls(true));
    }

    #[test]
    fn nothing_is_served_for_who_has_reported() {
        let posting = Posting::default();
        assert_eq!(posting.serve(|| 1), None, "it has not been let go on yet");
        posting.goes_on();
        assert_eq!(posting.serve(|| 1), Some(1));
        posting.reported();
        assert_eq!(posting.serve(|| 1), None);
        // Who has answered an earlier report.
        posting.reported();
        assert_eq!(posting.serve(|| 1), None);
        posting.goes_on();
        assert_eq!(posting.serve(|| 1), Some(1));
    }

    #[test]
    fn a_report_waits_for_what_is_served() {
        let posting = Posting::default();
        posting.reported();
        posting.goes_on();
        let (tell, hear) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            posting.serve(|| {
                scope.spawn(|| {
                    posting.reported();
                    tell.send(()).unwrap();
                });
                assert!(hear.recv_timeout(Duration::from_millis(20)).is_err());
            });
            hear.recv_timeout(Duration::from_secs(30)).unwrap();
        });
    }
}
