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
