//! Stub processes as the host knows them.

use std::os::fd::{FromRawFd as _, OwnedFd};
use std::sync::{OnceLock, PoisonError, RwLock};

use rustix::io::Errno;

/// A stub process in the sentry's PID namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostPid(pub(super) i32);

impl HostPid {
    /// As a number.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }
}

/// A stub's thread in the sentry's PID namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostTid(pub(super) i32);

impl HostTid {
    /// Whether it is the first thread of `process`.
    #[must_use]
    pub fn leads(self, process: HostPid) -> bool {
        self.0 == process.0
    }

    /// The number of its clock of processor time, for a thread of the same process.
    #[must_use]
    pub fn processor_clock(self, own_code: bool) -> u64 {
        let kind = if own_code { 5 } else { 6 };
        u64::from((!self.0 << 3 | kind).cast_unsigned())
    }

    /// The process that it is the first thread of, if it is one.
    #[must_use]
    pub fn process(self) -> HostPid {
        HostPid(self.0)
    }
}

/// What the host counted of a process until its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// The most memory that was there, in kilobytes.
    pub most_memory: u64,
    /// Faults without and with input, blocks read and written, switches by itself and not:
    /// in the order of `struct rusage`.
    pub events: [u64; 6],
}

impl Counted {
    /// With another one's.
    #[must_use]
    pub fn plus(self, other: Counted) -> Self {
        let mut events = self.events;
        events.iter_mut().zip(other.events).for_each(|(own, more)| *own += more);
        Counted { most_memory: self.most_memory.max(other.most_memory), events }
    }
}

/// A child of the sentry that holds an address space. It is a zombie until this
/// was told so, so its number can't mean another process before.
#[derive(Debug)]
pub struct StubProcess {
    pid: HostPid,
    there: RwLock<bool>,
    counted: OnceLock<Counted>,
}

impl StubProcess {
    /// Takes over a child of this process.
    #[must_use]
    pub fn new(pid: HostPid) -> Self {
        StubProcess { pid, there: RwLock::new(true), counted: OnceLock::new() }
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> HostPid {
        self.pid
    }

    /// Runs `f` while the number is the process's own; `None` once it was
    /// reaped, or if the call failed.
    pub(super) fn while_there(&self, f: impl FnOnce(i32) -> isize) -> Option<isize> {
        let there = self.there.read().unwrap_or_else(PoisonError::into_inner);
        if !*there {
            return None;
        }
        Some(f(self.pid.0)).filter(|n| *n >= 0)
    }

    /// The processor time of all its threads so far, or the part in its own
    /// code; `None` once it was reaped.
    #[must_use]
    pub fn processor_time(&self, own_code: bool) -> Option<std::time::Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // clock_getcpuclockid(3): of a process, 1 for its own code, 2 for all.
        let kind = if own_code { 1 } else { 2 };
        self.while_there(|pid| {
            // SAFETY: the kernel writes one `timespec`.
            unsafe { libc::clock_gettime(!pid << 3 | kind, &raw mut time) as isize }
        })?;
        let seconds = u64::try_from(time.tv_sec).ok()?;
        Some(std::time::Duration::new(seconds, u32::try_from(time.tv_nsec).ok()?))
    }

    /// Whether it is there, or was not reaped yet.
    #[must_use]
    pub fn is_there(&self) -> bool {
        *self.there.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a thread report as soon as it runs guest code again.
    pub fn kick(&self, thread: HostTid) {
        self.while_there(|pid| {
            // SAFETY: sends a signal; takes no pointers.
            let sent = unsafe { libc::syscall(libc::SYS_tgkill, pid, thread.0, super::KICK) };
            isize::try_from(sent).unwrap_or(-1)
        });
    }

    /// Ends it, whatever it does.
    pub fn kill(&self) {
        self.while_there(|pid| {
            // SAFETY: sends a signal; takes no pointers.
            unsafe { libc::kill(pid, libc::SIGKILL) as isize }
        });
    }

    /// Reaps it, once [`wait_for_any`] named it.
    pub fn reap(&self) {
        let mut there = self.there.write().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *there, false) {
            let _ = self.counted.set(reap(self.pid));
        }
    }

    /// What was counted, once it was reaped.
    #[must_use]
    pub fn counted(&self) -> Option<Counted> {
        self.counted.get().copied()
    }
}

fn reap(pid: HostPid) -> Counted {
    // SAFETY: integers only; zero is a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let none = std::ptr::null_mut::<libc::siginfo_t>();
    let how = libc::WEXITED | libc::__WALL;
    // SAFETY: a null status is allowed; the kernel writes one `rusage`.
    unsafe {
        libc::syscall(libc::SYS_waitid, libc::P_PID, pid.0, none, how, &raw mut usage);
    }
    let number = |count: libc::c_long| u64::try_from(count).unwrap_or(0);
    let events = [
        usage.ru_minflt,
        usage.ru_majflt,
        usage.ru_inblock,
        usage.ru_oublock,
        usage.ru_nvcsw,
        usage.ru_nivcsw,
    ];
    Counted { most_memory: number(usage.ru_maxrss), events: events.map(number) }
}

/// A zombie that nobody keeps an account of.
pub fn reap_stray(pid: HostPid) {
    reap(pid);
}

/// Waits until a child has ended; leaves it a zombie. The second value is the
/// signal that killed it, 0 if none did.
///
/// # Errors
/// `ECHILD` if there is no child.
pub fn wait_for_any() -> Result<(HostPid, i32), Errno> {
    loop {
        // SAFETY: integers only; zero is a valid value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes one `siginfo_t`.
        let result = unsafe {
            let how = libc::WEXITED | libc::WNOWAIT | libc::__WALL;
            libc::waitid(libc::P_ALL, 0, &raw mut info, how)
        };
        if result == 0 {
            // SAFETY: for a child's end these members are set.
            let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
            let signal = if info.si_code == libc::CLD_EXITED { 0 } else { status };
            return Ok((HostPid(pid), signal));
        }
        let errno = last_errno();
        if errno != Errno::INTR {
            return Err(errno);
        }
    }
}

/// Sends a signal to the first thread of a process of the host's; one that is gone is no
/// error.
///
/// # Errors
/// As tgkill(2).
pub fn signal_first_thread(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: sends a signal; takes no pointers.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, pid, pid, signal) };
    match (sent, last_errno()) {
        (0, _) | (_, Errno::SRCH) => Ok(()),
        (_, errno) => Err(errno),
    }
}

/// A copy, numbered `lowest` or higher, of a descriptor that this process inherited.
///
/// # Errors
/// `EBADF` if there is none of that number; `EMFILE`.
pub fn copy_of(number: u32, lowest: u32) -> Result<OwnedFd, Errno> {
    let signed = |n: u32| i32::try_from(n).map_err(|_| Errno::BADF);
    // SAFETY: takes numbers only; of a number that is not open it fails.
    let fd = unsafe { libc::fcntl(signed(number)?, libc::F_DUPFD_CLOEXEC, signed(lowest)?) };
    if fd < 0 {
        return Err(last_errno());
    }
    // SAFETY: F_DUPFD_CLOEXEC returned it, nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `errno` of the call before.
pub(super) fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
