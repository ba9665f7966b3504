//! Processor time of a thread, as the host tells it of a stub's: to the last tick of its clock.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::platform::HostTid;
use crate::task::Thread;
use crate::task::waiter::lock;
use crate::vfs::ProcessFile;
use crate::workers::let_others_serve;

/// Clocks of threads that there may be: each has a descriptor of the sentry's.
const MOST: usize = 1024;
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Counts one as long as it is there.
#[derive(Debug)]
struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A thread as the host has it. One that was just made is waited for until it reports: who
/// makes it knows it before.
pub fn arrived(thread: &Thread) -> Option<HostTid> {
    const PAUSE: Duration = Duration::from_micros(50);
    const MOST: Duration = Duration::from_secs(1);
    let end = Instant::now() + MOST;
    loop {
        let host = lock(&thread.place).host;
        if host.is_some() || thread.doomed.load(Ordering::SeqCst) || Instant::now() >= end {
            return host;
        }
        let_others_serve();
        std::thread::sleep(PAUSE);
    }
}

/// The clock of a thread's processor time. With its thread it stands still for good.
#[derive(Debug)]
pub struct ThreadClock {
    file: OwnedFd,
    _counted: Counted,
}

impl ThreadClock {
    /// That of a thread.
    ///
    /// # Errors
    /// `EAGAIN` if there are too many; `EINVAL` if the thread has ended.
    pub fn of(kernel: &Kernel, thread: &Thread) -> Result<Self, Errno> {
        let before = COUNT.fetch_add(1, Ordering::SeqCst);
        let counted = Counted;
        if before >= MOST {
            return Err(Errno::AGAIN);
        }
        let host = arrived(thread).ok_or(Errno::INVAL)?;
        let pid = thread.space().stub.pid();
        let file = kernel.files.broker.process_file(pid, Some(host), ProcessFile::Schedule);
        Ok(ThreadClock { file: file.map_err(|_| Errno::INVAL)?, _counted: counted })
    }

    /// What it shows; `None` if its thread has ended.
    #[must_use]
    pub fn now(&self) -> Option<Duration> {
        let mut text = [0; 80];
        let count = rustix::io::pread(&self.file, &mut text, 0).ok()?;
        let text = std::str::from_utf8(text.get(..count)?).ok()?;
        text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    }
}
