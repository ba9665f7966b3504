//! Processor time of a thread, as the host tells it of a stub's: to the last tick of its clock.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::share::Share;
use crate::task::waiter::lock;
use crate::task::{Process, Thread};
use crate::vfs::ProcessFile;

/// Clocks of threads that there may be: each has a descriptor of the sentry's.
const MOST: usize = 1024;
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The clock of a thread's processor time. With its thread it stands still for good.
#[derive(Debug)]
pub struct ThreadClock {
    thread: Weak<Thread>,
    file: OnceLock<OwnedFd>,
    _share: Share,
}

impl ThreadClock {
    /// That of a thread.
    ///
    /// # Errors
    /// `EAGAIN` if there are too many; `EINVAL` if the thread has ended.
    pub fn of(kernel: &Kernel, thread: &Arc<Thread>) -> Result<Self, Errno> {
        let share = Share::of(&COUNT, MOST).ok_or(Errno::AGAIN)?;
        let (thread, file) = (Arc::downgrade(thread), OnceLock::new());
        let clock = ThreadClock { thread, file, _share: share };
        clock.now(kernel).map(|_| clock).ok_or(Errno::INVAL)
    }

    /// What it shows; `None` if its thread has ended.
    #[must_use]
    pub fn now(&self, kernel: &Kernel) -> Option<Duration> {
        let Some(file) = self.file.get() else { return self.open(kernel) };
        let mut text = [0; 80];
        let count = rustix::io::pread(file, &mut text, 0).ok()?;
        let text = std::str::from_utf8(text.get(..count)?).ok()?;
        text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    }

    /// Whose it is, unless it has ended.
    #[must_use]
    pub fn process(&self) -> Option<Arc<Process>> {
        self.thread.upgrade().map(|thread| Arc::clone(&thread.process))
    }

    /// The first look. Who has been made a moment ago is no thread of the host's yet.
    fn open(&self, kernel: &Kernel) -> Option<Duration> {
        let thread = self.thread.upgrade()?;
        let place = lock(&thread.place).clone();
        let Some(host) = place.host else {
            return (!thread.doomed.load(Ordering::SeqCst)).then_some(Duration::ZERO);
        };
        let pid = place.space.stub.pid();
        let file = kernel.files.broker.process_file(pid, Some(host), ProcessFile::Schedule);
        let _ = self.file.set(file.ok()?);
        self.now(kernel)
    }
}
