//! Actions as the values that a filter returns (seccomp(2)).

use caisson_runtime_spec::SeccompAction;

pub(crate) const KILL_PROCESS: u32 = 0x8000_0000;
pub(crate) const KILL_THREAD: u32 = 0;
pub(crate) const TRAP: u32 = 0x0003_0000;
pub(crate) const ERRNO: u32 = 0x0005_0000;
pub(crate) const NOTIFY: u32 = 0x7fc0_0000;
pub(crate) const TRACE: u32 = 0x7ff0_0000;
pub(crate) const LOG: u32 = 0x7ffc_0000;
pub(crate) const ALLOW: u32 = 0x7fff_0000;

/// What calls of an ABI outside the profile's list get: libseccomp's default
/// for bad architectures, which runc leaves alone.
pub(crate) const BAD_ARCH: u32 = KILL_THREAD;

const EPERM: u32 = 1;
pub(crate) const ENOSYS: u32 = 38;

/// Largest errno that a system call can return (`MAX_ERRNO`, linux/err.h).
const MAX_ERRNO: u32 = 4095;

/// The return value of an action; `Err` if its errno is out of range.
/// `errno` matters to the two actions that carry data.
pub(crate) fn return_value(action: SeccompAction, errno: Option<u32>) -> Result<u32, u32> {
    let data = errno.unwrap_or(EPERM);
    Ok(match action {
        SeccompAction::Kill | SeccompAction::KillThread => KILL_THREAD,
        SeccompAction::KillProcess => KILL_PROCESS,
        SeccompAction::Trap => TRAP,
        SeccompAction::Errno | SeccompAction::Trace if data > MAX_ERRNO => return Err(data),
        SeccompAction::Errno => ERRNO | data,
        SeccompAction::Trace => TRACE | data,
        SeccompAction::Allow => ALLOW,
        SeccompAction::Log => LOG,
        SeccompAction::Notify => NOTIFY,
    })
}
