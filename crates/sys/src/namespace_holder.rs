//! A process that does nothing but be in new namespaces, for programs with
//! several threads.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::Pid;

use crate::clone::CloneFlags;

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

/// A process that waits to be killed, which dropping this does.
#[derive(Debug)]
pub struct NamespaceHolder {
    pid: Pid,
    pidfd: OwnedFd,
}

impl NamespaceHolder {
    /// Makes a process in the new namespaces that `flags` name. A new user
    /// namespace owns the others. The process holds copies of the caller's
    /// descriptors: it is to be dropped at once.
    ///
    /// # Errors
    /// As clone3(2).
    pub fn spawn(flags: CloneFlags) -> io::Result<Self> {
        let mut pidfd: libc::c_int = -1;
        let args = libc::clone_args {
            flags: flags.bits() | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
            pidfd: std::ptr::from_mut(&mut pidfd) as u64,
            child_tid: 0,
            parent_tid: 0,
            exit_signal: u64::from(libc::SIGCHLD.unsigned_abs()),
            stack: 0,
            stack_size: 0,
            tls: 0,
            set_tid: 0,
            set_tid_size: 0,
            cgroup: 0,
        };
        // SAFETY: without CLONE_VM and a stack this is a fork; `args` outlives
        // the call and has the size that is passed. The child of a process with
        // several threads may only do what is safe in a signal handler: below
        // it makes two plain system calls and touches no memory.
        let result = unsafe {
            libc::syscall(
                libc::SYS_clone3,
                std::ptr::from_ref(&args),
                size_of::<libc::clone_args>(),
            )
        };
        if result == 0 {
            // SAFETY: prctl(2) with these arguments and pause(2) only affect
            // the calling process, and are safe in a signal handler.
            unsafe {
                libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
                loop {
                    libc::syscall(libc::SYS_ppoll, 0, 0, 0, 0, 0);
                }
            }
        }
        let pid = i32::try_from(crate::check(result)?).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::from_raw_os_error(libc::ERANGE))?;
        // SAFETY: CLONE_PIDFD stored a fresh descriptor here.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        debug_assert!(pidfd.as_raw_fd() >= 0);
        Ok(Self { pid, pidfd })
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Its handle.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for NamespaceHolder {
    fn drop(&mut self) {
        use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
        // It is our own child and not yet reaped, so it is there.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        let _ = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_in_new_namespaces_and_goes_when_it_is_dropped() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("left out: needs root");
            return;
        }
        let holder = NamespaceHolder::spawn(CloneFlags::NEWUSER | CloneFlags::NEWUTS).unwrap();
        let pid = holder.pid().as_raw_nonzero();
        let link = |who: &str, kind| std::fs::read_link(format!("/proc/{who}/ns/{kind}")).unwrap();
        let theirs = pid.to_string();
        assert_ne!(link("self", "uts"), link(&theirs, "uts"));
        assert_eq!(link("self", "ipc"), link(&theirs, "ipc"));
        drop(holder);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}
