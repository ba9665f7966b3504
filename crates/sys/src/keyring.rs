//! Session keyrings (keyctl(2)).

use std::io;

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;

/// Gives the caller a new, empty session keyring.
///
/// It has no name: a named one is searched for first among all of the user
/// namespace, and whoever made it may have opened it to be found.
///
/// # Errors
/// `ENOSYS` on kernels without keyrings; `EDQUOT` when the user's quota is
/// used up; else as keyctl(2).
pub fn new_session() -> io::Result<()> {
    let no_name = std::ptr::null::<libc::c_char>();
    // SAFETY: without a name nothing is read.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, no_name) };
    crate::check(result).map(drop)
}
