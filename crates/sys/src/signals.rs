//! Signal masks.

use std::io;

/// Unblocks every signal, as a program expects it at its start.
///
/// # Errors
/// None in practice (sigprocmask(2)).
pub fn unblock_all() -> io::Result<()> {
    // SAFETY: an empty set is initialised before it is used.
    let result = unsafe {
        let mut empty: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut empty);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut())
    };
    crate::check(result.into()).map(drop)
}

/// Lets SIGINT, SIGQUIT and SIGTERM end the caller, with the exit code
/// 128 + signal, even where it is the first process of a PID namespace: the
/// kernel drops what that has no handler for (pid_namespaces(7)). Execve(2)
/// takes the handlers away.
///
/// # Errors
/// None in practice (sigaction(2)).
pub fn end_on_termination() -> io::Result<()> {
    extern "C" fn end(signal: libc::c_int) {
        // SAFETY: _exit(2) is async-signal-safe and does not return.
        unsafe { libc::_exit(128 + signal) }
    }
    let handler: extern "C" fn(libc::c_int) = end;
    for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
        // SAFETY: a zeroed sigaction is valid; the handler takes the signal's
        // number, as without SA_SIGINFO, and touches no memory.
        let result = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as libc::sighandler_t;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut())
        };
        crate::check(result.into())?;
    }
    Ok(())
}

/// The signal with this number: 1 to 64 but for 32 and 33, which the C
/// library keeps for itself (signal(7)).
#[must_use]
pub fn numbered(number: i32) -> Option<rustix::process::Signal> {
    let real_time = 34..=64;
    rustix::process::Signal::from_named_raw(number).or_else(|| {
        // SAFETY: a valid number that the C library does not use.
        real_time
            .contains(&number)
            .then(|| unsafe { rustix::process::Signal::from_raw_unchecked(number) })
    })
}
