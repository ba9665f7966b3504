//! clone3(2) for single-threaded programs.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::Pid;

bitflags::bitflags! {
    /// Which namespaces the child gets for its own, and how it is related.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct CloneFlags: u64 {
        /// `CLONE_NEWCGROUP`
        const NEWCGROUP = 0x0200_0000;
        /// `CLONE_NEWIPC`
        const NEWIPC = 0x0800_0000;
        /// `CLONE_NEWNET`
        const NEWNET = 0x4000_0000;
        /// `CLONE_NEWNS`
        const NEWNS = 0x0002_0000;
        /// `CLONE_NEWPID`
        const NEWPID = 0x2000_0000;
        /// `CLONE_NEWUSER`
        const NEWUSER = 0x1000_0000;
        /// `CLONE_NEWUTS`
        const NEWUTS = 0x0400_0000;
        /// `CLONE_PARENT`: the child becomes a sibling of the caller.
        const PARENT = 0x0000_8000;
    }
}

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of the fork this is.
#[derive(Debug)]
pub enum Side {
    /// The new process.
    Child,
    /// The caller.
    Parent {
        /// The child in the caller's PID namespace.
        pid: Pid,
        /// Its stable handle, close-on-exec.
        pidfd: OwnedFd,
    },
}

/// Forks as clone3(2) does (Linux 5.7 for `cgroup`), with every signal handler
/// of the child reset to its default.
///
/// # Errors
/// `EINVAL` if the caller has several threads: a child that holds a copy of
/// another thread's locks could not even allocate. Else what clone3(2) says.
pub fn clone3(flags: CloneFlags, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Side> {
    // SAFETY: unshare(CLONE_THREAD) has no effect on a single-threaded
    // process and fails on others (unshare(2)).
    check_unshare(unsafe { libc::unshare(libc::CLONE_THREAD) })?;
    let mut pidfd: libc::c_int = -1;
    let mut all = flags.bits() | CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
    // CLONE_PARENT takes the exit signal from the caller's parent relation.
    let exit_signal = if flags.contains(CloneFlags::PARENT) { 0 } else { libc::SIGCHLD };
    if cgroup.is_some() {
        all |= CLONE_INTO_CGROUP;
    }
    let args = libc::clone_args {
        flags: all,
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: u64::from(exit_signal.unsigned_abs()),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: cgroup.map_or(0, |fd| u64::from(fd.as_raw_fd().unsigned_abs())),
    };
    // SAFETY: without CLONE_VM and a stack this is a fork; `args` outlives the
    // call and has the size that is passed; the process is single-threaded.
    let result = unsafe {
        libc::syscall(libc::SYS_clone3, std::ptr::from_ref(&args), size_of::<libc::clone_args>())
    };
    let pid = crate::check(result)?;
    let pid = i32::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ERANGE))?;
    match Pid::from_raw(pid) {
        None => Ok(Side::Child),
        Some(pid) => {
            // SAFETY: CLONE_PIDFD stored a fresh descriptor here.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Side::Parent { pid, pidfd })
        }
    }
}

/// Forks as fork(2) does: for a place where a filter of system calls knows
/// neither clone3(2) nor unshare(2), such as the inside of a container.
///
/// # Errors
/// `EINVAL` if the caller has several threads, as far as `/proc` tells; see
/// [`clone3`]. Else what fork(2) and `pidfd_open(2)` say.
pub fn fork() -> io::Result<Side> {
    if std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() > 1) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: the C library brings its own locks through a fork, and there is
    // no other thread that could hold one of ours.
    let pid = unsafe { libc::fork() };
    crate::check(pid.into())?;
    match Pid::from_raw(pid) {
        None => Ok(Side::Child),
        Some(pid) => {
            // Not reaped yet, so the number is still the child's.
            let flags = rustix::process::PidfdFlags::empty();
            Ok(Side::Parent { pid, pidfd: rustix::process::pidfd_open(pid, flags)? })
        }
    }
}

fn check_unshare(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Leaves a child process at once, without running destructors or `atexit`.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: _exit(2) takes any code and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}
