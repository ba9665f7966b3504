//! Session keyrings (keyctl(2)).

use std::ffi::CStr;
use std::io;

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;

/// Joins a session keyring of this name, made new if there is none.
///
/// # Errors
/// `ENOSYS` on kernels without keyrings; `EDQUOT` when the user's quota is
/// used up; else as keyctl(2).
pub fn join_session(name: &CStr) -> io::Result<()> {
    // SAFETY: the kernel copies the NUL-terminated name.
    let result =
        unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
    crate::check(result).map(drop)
}
