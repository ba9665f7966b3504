//! Calls that are not served: each is told of in the log, once.

use caisson_seccomp::{Arch, syscall_names, syscall_number};
use rustix::io::Errno;

use super::Call;
use super::table;
use crate::task::waiter::lock;

/// `rseq`: the C library tries it at the start of every program.
const TRIED_BY_ALL: u64 = 334;

/// The name of a call of Linux's, whether it is served or not.
#[must_use]
pub fn call_name(number: u64) -> Option<&'static str> {
    if let Some(row) = table::find(number) {
        return Some(row.name);
    }
    let number = u32::try_from(number).ok()?;
    syscall_names().find(|name| syscall_number(name, Arch::X86_64) == Some(number))
}

/// A call fails with `errno` because it is not served, whatever its arguments.
pub(super) fn tell(call: &Call<'_>, number: u64, errno: Errno) {
    if number == TRIED_BY_ALL || !call.kernel.log.is_first_of(number) {
        return;
    }
    let process = &call.thread.process;
    let program = String::from_utf8_lossy(&lock(&process.name)).into_owned();
    let name = call_name(number).unwrap_or("unknown to Linux");
    let error = if errno == Errno::PERM { "EPERM" } else { "ENOSYS" };
    let pid = process.pid;
    call.kernel.log.write(&format!("{program}[{pid}]: call {number} ({name}): {error}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_names() {
        assert_eq!(call_name(0), Some("read"));
        assert_eq!(call_name(250), Some("keyctl"));
        assert_eq!(call_name(321), Some("bpf"));
        assert_eq!(call_name(4242), None);
        assert_eq!(call_name(u64::MAX), None);
    }
}
