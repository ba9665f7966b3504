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
