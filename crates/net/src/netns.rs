//! Doing something inside another network namespace.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use caisson_sys::unshare::{Unshare, unshare};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::netlink::Netlink;

/// Of the threads that only make a few system calls.
const STACK: usize = 64 * 1024;

/// Why a pod's network namespace could not be worked in.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// It could not be entered.
    #[error("can't enter the pod's network namespace: {0}")]
    Enter(Errno),
    /// It could not be made.
    #[error("can't make a network namespace: {0}")]
    Make(io::Error),
    /// No thread for it.
    #[error("can't start a thread to enter the pod's network namespace: {0}")]
    Thread(io::Error),
    /// The thread is gone without a result.
    #[error("the thread in the pod's network namespace ended early")]
    Ended,
}

/// Makes a network namespace, held by the descriptor alone. It belongs to the
/// caller's user namespace. A thread of its own makes it and ends: the caller's
/// threads stay where they are.
pub fn create() -> Result<OwnedFd, NetnsError> {
    let make = || {
        unshare(Unshare::Network).map_err(NetnsError::Make)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let netns = open("/proc/thread-self/ns/net", flags, Mode::empty());
        netns.map_err(|cause| NetnsError::Make(cause.into()))
    };
    in_thread(make)?
}

/// A socket for links, addresses and routes of this network namespace. A thread
/// of its own enters it and ends.
pub(crate) fn route_socket(netns: BorrowedFd<'_>) -> Result<Netlink, NetnsError> {
    let open = || {
        move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))?;
        Netlink::route()
    };
    in_thread(open)?.map_err(NetnsError::Enter)
}

fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let thread = thread.spawn_scoped(scope, work).map_err(NetnsError::Thread)?;
        thread.join().map_err(|_| NetnsError::Ended)
    })
}
