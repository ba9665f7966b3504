//! seccomp(2): filters and their user notifications.

use rustix::io::{Errno, Result};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

bitflags::bitflags! {
    /// Flags of `SECCOMP_SET_MODE_FILTER`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct FilterFlags: u32 {
        /// Filter all threads of the process (Linux 3.17).
        const TSYNC = 1 << 0;
        /// Log all actions but `ALLOW` (Linux 4.14).
        const LOG = 1 << 1;
        /// Don't mitigate speculative store bypass (Linux 4.17).
        const SPEC_ALLOW = 1 << 2;
        /// Return a notification descriptor (Linux 5.0).
        const NEW_LISTENER = 1 << 3;
        /// Report `TSYNC` failures as `ESRCH` (Linux 5.7).
        const TSYNC_ESRCH = 1 << 4;
        /// Only fatal signals interrupt a call once its notification was
        /// received (Linux 5.19).
        const WAIT_KILLABLE_RECV = 1 << 5;
    }
}

/// One instruction of classic BPF: `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SockFilter {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if the condition holds.
    pub jt: u8,
    /// Instructions to skip if it doesn't.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// Filters the calling thread from here on, and the processes that it starts.
/// Allocates nothing. Returns the notification descriptor (close-on-exec) if
/// `NEW_LISTENER` is set.
///
/// # Errors
///
/// Those of seccomp(2): `EACCES` without `CAP_SYS_ADMIN` and `no_new_privs`,
/// `EINVAL` for a program or flags that the kernel doesn't accept, `EBUSY` if
/// the thread has a listener already, `ESRCH` if `TSYNC` failed.
pub fn install(program: &[SockFilter], flags: FilterFlags) -> Result<Option<OwnedFd>> {
    let len = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    // The kernel only reads the instructions.
    let prog = libc::sock_fprog { len, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `SockFilter` has the layout of `sock_filter`; `prog` and the
    // instructions outlive the call, which copies them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags.bits(),
            &raw const prog,
        )
    };
    let value = check(result)?;
    if flags.contains(FilterFlags::NEW_LISTENER) {
        // SAFETY: with this flag the call returns a descriptor that nobody
        // else owns, also together with `TSYNC` (which then needs
        // `TSYNC_ESRCH`).
        return Ok(Some(unsafe { OwnedFd::from_raw_fd(value) }));
    }
    // A positive value is the thread that TSYNC couldn't synchronise.
    if value == 0 { Ok(None) } else { Err(Errno::SRCH) }
}

/// The filters of another process's thread, the newest first, as the kernel has them
/// (Linux 4.4 with checkpoint support; needs `CAP_SYS_ADMIN`). The thread is stopped
/// meanwhile.
///
/// # Errors
///
/// Those of ptrace(2), of a tracer with `PTRACE_SEIZE` and
/// `PTRACE_SECCOMP_GET_FILTER`.
pub fn installed(thread: rustix::process::Pid) -> std::io::Result<Vec<Vec<SockFilter>>> {
    const GET_FILTER: libc::c_uint = 0x420c;
    let tid = thread.as_raw_nonzero().get();
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: both requests take no memory of ours.
    crate::check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, tid, none, none) })?;
    // SAFETY: as above.
    crate::check(unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, tid, none, none) })?;
    // SAFETY: waits for a thread; no status is written.
    crate::check(unsafe { libc::waitpid(tid, std::ptr::null_mut(), libc::__WALL) }.into())?;
    let mut filters = Vec::new();
    let result = loop {
        // SAFETY: without a place the call only counts.
        let count = unsafe { libc::ptrace(GET_FILTER, tid, filters.len(), none) };
        match crate::check(count) {
            Ok(count) => {
                let empty = SockFilter { code: 0, jt: 0, jf: 0, k: 0 };
                let mut filter = vec![empty; usize::try_from(count).unwrap_or(0)];
                // SAFETY: the thread is stopped, so the filter still has `count`
                // instructions of `SockFilter`'s layout, for which there is room.
                let got =
                    unsafe { libc::ptrace(GET_FILTER, tid, filters.len(), filter.as_mut_ptr()) };
                if let Err(error) = crate::check(got) {
                    break Err(error);
                }
                filters.push(filter);
            }
            // There is no other one.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => break Ok(filters),
            Err(error) => break Err(error),
        }
    };
    // SAFETY: lets the thread go on; takes no memory of ours.
    crate::check(unsafe { libc::ptrace(libc::PTRACE_DETACH, tid, none, none) })?;
    result
}

/// Whether the kernel knows an action, given as filter return value without
/// data (Linux 4.14).
///
/// # Errors
///
/// Those of seccomp(2), save `EOPNOTSUPP`.
pub fn action_available(action: u32) -> Result<bool> {
    // SAFETY: the kernel reads one `u32`, which outlives the call.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action)
    };
    match check(result) {
        Ok(_) => Ok(true),
        Err(Errno::OPNOTSUPP) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Whether the kernel takes this combination of flags (`WAIT_KILLABLE_RECV`
/// only comes with `NEW_LISTENER`). Installs nothing.
#[must_use]
pub fn flags_available(flags: FilterFlags) -> bool {
    // SAFETY: the null program is never read: the kernel checks flags first
    // (EINVAL), then fails to copy the program (EFAULT).
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags.bits(),
            std::ptr::null::<libc::sock_fprog>(),
        )
    };
    check(result) == Err(Errno::FAULT)
}

/// Sizes of the notification structures in this kernel, in bytes:
/// `struct seccomp_notif_sizes`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NotificationSizes {
    /// `struct seccomp_notif`.
    pub notification: u16,
    /// `struct seccomp_notif_resp`.
    pub response: u16,
    /// `struct seccomp_data`.
    pub data: u16,
}

/// Asks for the sizes of the notification structures (Linux 5.0).
///
/// # Errors
///
/// Those of seccomp(2).
pub fn notification_sizes() -> Result<NotificationSizes> {
    let mut sizes = NotificationSizes::default();
    // SAFETY: the kernel writes a `seccomp_notif_sizes`, whose layout the
    // type has.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_NOTIF_SIZES, 0, &raw mut sizes)
    };
    check(result).map(|_| sizes)
}

/// A call that waits for an answer: `struct seccomp_notif`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification {
    /// Unique per filter; names the call in the answer.
    pub id: u64,
    /// The caller's thread id in the listener's PID namespace; 0 if it has
    /// none there.
    pub pid: u32,
    /// None are defined.
    pub flags: u32,
    /// The call's number.
    pub number: u32,
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// Address of the instruction.
    pub instruction_pointer: u64,
    /// The arguments as passed in registers.
    pub args: [u64; 6],
}

/// What the caller gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The call returns this value and isn't made.
    Return(i64),
    /// The call fails and isn't made.
    Fail(Errno),
    /// The call is made (Linux 5.5). The caller can change what its arguments
    /// point to meanwhile: this is no security check.
    Continue,
}

#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

const CONTINUE: u32 = 1;

/// Room for the structures of future kernels.
#[repr(C)]
union Padded<T: Copy> {
    value: T,
    room: [u64; 64],
}

/// Waits for a notification.
///
/// # Errors
///
/// `ENOENT` if the caller was killed meanwhile or no caller is left, `EINTR`;
/// `EOVERFLOW` if this kernel's structure is larger than 512 bytes.
pub fn receive_notification(listener: BorrowedFd<'_>) -> Result<Notification> {
    if usize::from(notification_sizes()?.notification) > size_of::<Padded<Notification>>() {
        return Err(Errno::OVERFLOW);
    }
    // SAFETY: integers only; all zeros, as the kernel wants it, is valid.
    let mut buffer: Padded<Notification> = unsafe { zeroed() };
    // SAFETY: the kernel writes at most the size checked above.
    let result = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut buffer)
    };
    check(result.into())?;
    // SAFETY: any bytes make a valid value.
    Ok(unsafe { buffer.value })
}

/// Answers a notification.
///
/// # Errors
///
/// `ENOENT` if the caller is gone, `EINPROGRESS` if it has an answer already.
pub fn answer_notification(listener: BorrowedFd<'_>, id: u64, answer: Answer) -> Result<()> {
    let mut response = match answer {
        Answer::Return(value) => Response { id, value, error: 0, flags: 0 },
        Answer::Fail(errno) => Response { id, value: 0, error: -errno.raw_os_error(), flags: 0 },
        Answer::Continue => Response { id, value: 0, error: 0, flags: CONTINUE },
    };
    // SAFETY: the kernel reads a `seccomp_notif_resp`, whose layout the type
    // has; its size is part of the request, so it can't be larger.
    let result = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response)
    };
    check(result.into()).map(|_| ())
}

/// Turns -1 into the thread's errno.
fn check(result: libc::c_long) -> Result<i32> {
    if result == -1 {
        let errno = std::io::Error::last_os_error();
        return Err(Errno::from_io_error(&errno).unwrap_or(Errno::IO));
    }
    i32::try_from(result).map_err(|_| Errno::OVERFLOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_the_kernel_knows() {
        assert_eq!(action_available(0x7fff_0000), Ok(true));
        assert_eq!(action_available(0x7ffe_0000), Ok(false));
        assert!(flags_available(FilterFlags::LOG | FilterFlags::SPEC_ALLOW));
        assert!(!flags_available(FilterFlags::from_bits_retain(1 << 30)));
        let sizes = notification_sizes().unwrap();
        assert_eq!(usize::from(sizes.notification), size_of::<Notification>());
        assert_eq!(usize::from(sizes.response), size_of::<Response>());
        assert_eq!(sizes.data, 64);
    }

    #[test]
    fn rejects_bad_programs() {
        let endless = SockFilter { code: 0x05, jt: 0, jf: 0, k: 7 };
        assert_eq!(install(&[], FilterFlags::empty()).err(), Some(Errno::INVAL));
        assert_eq!(install(&[endless], FilterFlags::empty()).err(), Some(Errno::INVAL));
    }
}
