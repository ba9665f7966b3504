//! What guest threads report: notifications of their filter.

use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use caisson_sys::seccomp::Notification;
use rustix::io::Errno;

use super::HostCall;
use super::process::{HostTid, last_errno};
use super::stub::{CALL_IP, DONE, DONE_IP, EVENT, EVENT_IP, MISSED, MISSED_IP};

/// A thread of a guest that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// Names it in the answer.
    pub id: u64,
    /// The thread.
    pub thread: HostTid,
    /// What it reports.
    pub kind: EventKind,
}

/// What a thread reports. The host's kernel vouches for the thread, its place
/// and its registers; what they mean is the guest's claim.
#[derive(Clone, Copy, Debug)]
pub enum EventKind {
    /// A system call, and where its instruction ends.
    Call(HostCall, u64),
    /// A signal, with the addresses of its `siginfo` and context.
    Signal {
        /// Its number.
        signal: i32,
        /// Where the guest says that the `siginfo` is.
        info: u64,
        /// Where it says that the registers are.
        context: u64,
    },
    /// Could not map what it was told to: the error, and where the registers are.
    Missed {
        /// What the host said.
        error: i64,
        /// Where the guest says that the registers are.
        context: u64,
    },
    /// Waits until its posted call is served ([`super::post`]).
    Waits,
    /// About to make the call that was ordered, as it says: to be compared.
    Ordered(HostCall),
    /// Has made it.
    Done {
        /// What the call returned.
        result: i64,
        /// The sixth argument, which tells a clone's child whose it is.
        cookie: u64,
    },
}

/// Receives events and answers them, from any number of threads.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
}

#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

#[repr(C)]
struct AddDescriptor {
    id: u64,
    flags: u32,
    source: u32,
    target: u32,
    target_flags: u32,
}

const CONTINUE: u32 = 1;
/// `SECCOMP_IOCTL_NOTIF_ADDFD`
const ADD_DESCRIPTOR: libc::c_ulong = 0x4018_2103;
/// `SECCOMP_IOCTL_NOTIF_SET_FLAGS`
const SET_FLAGS: libc::c_ulong = 0x4008_2104;
/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`
const SYNC_WAKE_UP: libc::c_ulong = 1;

impl Listener {
    /// Over the descriptor that the filter's installation returned. Where the
    /// host can (Linux 6.6), partners hand the processor to each other.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        // SAFETY: the argument is a number; a failure changes nothing.
        unsafe { libc::ioctl(fd.as_raw_fd(), SET_FLAGS, SYNC_WAKE_UP) };
        Listener { fd }
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// `ENOENT` if the thread was killed meanwhile: ask again. `ENOTCONN` if no
    /// guest is left.
    pub fn receive(&self) -> Result<Event, Errno> {
        // SAFETY: integers only; all zeros, as the kernel wants it, is valid.
        let mut said: Notification = unsafe { zeroed() };
        // SAFETY: the size of the structure is part of the request's number, so
        // the kernel writes no more than this.
        let result = unsafe {
            libc::ioctl(self.fd.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut said)
        };
        if result != 0 {
            return Err(last_errno());
        }
        let call = HostCall { number: u64::from(said.number), args: said.args };
        let [first, second, third, _, _, sixth] = said.args;
        let signal = i32::try_from(first).unwrap_or(0);
        let kind = match (said.instruction_pointer, said.number) {
            (CALL_IP, _) => EventKind::Ordered(call),
            (EVENT_IP, EVENT) => EventKind::Signal { signal, info: second, context: third },
            (MISSED_IP, MISSED) => EventKind::Missed { error: first.cast_signed(), context: third },
            (DONE_IP, DONE) => EventKind::Done { result: first.cast_signed(), cookie: sixth },
            (at, super::post::WAIT) if at == super::post::wait_pointer() => EventKind::Waits,
            (at, _) => EventKind::Call(call, at),
        };
        let thread = HostTid(said.pid.cast_signed());
        Ok(Event { id: said.id, thread, kind })
    }

    /// The call returns `value`, and the host doesn't make it. A thread that is
    /// gone is no error.
    pub fn answer(&self, id: u64, value: i64) {
        self.send(&mut Response { id, value, error: 0, flags: 0 });
    }

    /// The host makes the call with the registers that were reported.
    pub fn let_go_on(&self, id: u64) {
        self.send(&mut Response { id, value: 0, error: 0, flags: CONTINUE });
    }

    fn send(&self, response: &mut Response) {
        let response = std::ptr::from_mut(response);
        // SAFETY: the kernel reads a `seccomp_notif_resp`, whose layout the type
        // has and whose size is part of the request's number.
        unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, response) };
    }

    /// Gives the waiting thread's process a copy of `source`; returns its number
    /// there.
    ///
    /// # Errors
    /// `ENOENT` if the thread is gone; `EMFILE`.
    pub fn give(&self, id: u64, source: BorrowedFd<'_>) -> Result<u32, Errno> {
        let source = source.as_raw_fd().cast_unsigned();
        let flags = 0;
        let cloexec = libc::O_CLOEXEC.cast_unsigned();
        let mut request = AddDescriptor { id, flags, source, target: 0, target_flags: cloexec };
        debug_assert_eq!(size_of::<AddDescriptor>(), 24);
        // SAFETY: the kernel reads a `seccomp_notif_addfd`, whose layout the type
        // has and whose size is part of the request's number.
        let number = unsafe { libc::ioctl(self.fd.as_raw_fd(), ADD_DESCRIPTOR, &raw mut request) };
        u32::try_from(number).map_err(|_| last_errno())
    }
}
