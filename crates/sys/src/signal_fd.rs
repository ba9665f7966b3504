//! Signals as events: masks, `signalfd(2)`, sending through a pidfd.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A set of signals.
#[derive(Clone)]
pub struct SignalMask(libc::sigset_t);

/// Signals that the kernel raises for the thread's own fault. Blocked, they
/// would kill the process all the same, without the handlers of the runtime.
const FAULTS: [libc::c_int; 7] = [
    libc::SIGABRT,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGSEGV,
    libc::SIGSYS,
    libc::SIGTRAP,
];

impl SignalMask {
    /// Every signal that can be blocked and is sent by somebody: all but the
    /// faults (and, by the kernel's rule, `SIGKILL` and `SIGSTOP`).
    #[must_use]
    pub fn sendable() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigfillset initialises the whole set and cannot fail for a
        // valid pointer.
        let mut set = unsafe {
            libc::sigfillset(set.as_mut_ptr());
            set.assume_init()
        };
        for signal in FAULTS {
            // SAFETY: the set is initialised and the number is a valid signal.
            unsafe { libc::sigdelset(&raw mut set, signal) };
        }
        Self(set)
    }

    /// Adds the set to what the calling thread blocks, and returns what it
    /// blocked before.
    ///
    /// # Errors
    /// None that Linux documents for valid arguments.
    pub fn block(&self) -> io::Result<Self> {
        self.change(libc::SIG_BLOCK)
    }

    /// Makes the set exactly what the calling thread blocks.
    ///
    /// # Errors
    /// As [`SignalMask::block`].
    pub fn install(&self) -> io::Result<()> {
        self.change(libc::SIG_SETMASK).map(drop)
    }

    fn change(&self, how: libc::c_int) -> io::Result<Self> {
        let mut before = MaybeUninit::uninit();
        // SAFETY: both sets are valid for the call; on success the kernel
        // has written the old one.
        match unsafe { libc::pthread_sigmask(how, &raw const self.0, before.as_mut_ptr()) } {
            // SAFETY: pthread_sigmask succeeded, so the set is initialised.
            0 => Ok(Self(unsafe { before.assume_init() })),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// A descriptor that is readable while a signal of its mask is pending.
/// The signals have to be blocked too, or they act as usual.
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Opens one, non-blocking and close-on-exec.
    ///
    /// # Errors
    /// As `signalfd(2)`.
    pub fn new(mask: &SignalMask) -> io::Result<Self> {
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the mask is a valid, initialised set.
        let fd = unsafe { libc::signalfd(-1, &raw const mask.0, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Takes the next pending signal's number; `None` if there is none.
    ///
    /// # Errors
    /// As `read(2)`.
    pub fn take(&self) -> io::Result<Option<i32>> {
        Ok(self.take_with_code()?.map(|(signal, _)| signal))
    }

    /// Takes the next pending signal's number and `si_code`, which says where it
    /// comes from (sigaction(2)); `None` if there is none.
    ///
    /// # Errors
    /// As `read(2)`.
    pub fn take_with_code(&self) -> io::Result<Option<(i32, i32)>> {
        // struct signalfd_siginfo is 128 bytes: number, errno, code, …
        let mut record = [0_u8; 128];
        match rustix::io::read(&self.0, &mut record) {
            Ok(_) => {
                let [a, b, c, d, _, _, _, _, e, f, g, h, ..] = record;
                let code = i32::from_ne_bytes([e, f, g, h]);
                Ok(i32::try_from(u32::from_ne_bytes([a, b, c, d])).ok().map(|n| (n, code)))
            }
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Gives `signal` its default action back. A caller may have left `SIGCHLD`
/// ignored, which makes the kernel reap children before `wait` sees them.
///
/// # Errors
/// `EINVAL` for a number that is no signal, or `SIGKILL` or `SIGSTOP`.
pub fn restore_default_action(signal: i32) -> io::Result<()> {
    act(signal, libc::SIG_DFL)
}

/// Has the calling process, and who it starts, ignore `signal`.
///
/// # Errors
/// As [`restore_default_action`].
pub fn ignore(signal: i32) -> io::Result<()> {
    act(signal, libc::SIG_IGN)
}

fn act(signal: i32, action: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: both actions install no handler, so no code can run on a signal.
    match unsafe { libc::signal(signal, action) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Sends `signal` (any number, real-time ones too) to the process behind
/// `pidfd`.
///
/// # Errors
/// As `pidfd_send_signal(2)`: `ESRCH` once the process was reaped.
pub fn send(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo asks the kernel to fill in its own, flags is 0.
    let sent = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, info, 0_u32)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::{SignalFd, SignalMask, send};

    #[test]
    fn a_blocked_signal_arrives_by_descriptor() {
        // A thread of its own: masks are per thread.
        let signals = std::thread::spawn(|| {
            let mask = SignalMask::sendable();
            let before = mask.block().unwrap();
            let events = SignalFd::new(&mask).unwrap();
            assert_eq!(events.take().unwrap(), None);
            // SAFETY: raise has no preconditions; the signal is blocked.
            unsafe { libc::raise(libc::SIGUSR1) };
            let got = (events.take().unwrap(), events.take().unwrap());
            before.install().unwrap();
            got
        });
        assert_eq!(signals.join().unwrap(), (Some(libc::SIGUSR1), None));
    }

    #[test]
    fn a_pidfd_takes_the_null_signal() {
        let own = rustix::process::getpid();
        let pidfd = rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty()).unwrap();
        send(pidfd.as_fd(), 0).unwrap();
        assert_eq!(send(pidfd.as_fd(), 999).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
}
