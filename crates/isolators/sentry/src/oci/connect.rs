//! Connections from outside to programs that listen on the sandbox's own loopback.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use caisson_foreign::step::Context as _;
use caisson_isolator::SandboxError;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::join::reach;
use crate::control::{Answer, CONNECT, VERSION, receive, send};

/// Has the sandbox of the container whose state is in `dir` connect to a port, and copy
/// what comes to and from `stream`.
pub(super) fn connect(dir: &Path, port: u16, stream: BorrowedFd<'_>) -> Result<(), SandboxError> {
    let step = || format!("connect to port {port} in the sandbox");
    let (flags, unix) = (SocketFlags::CLOEXEC, AddressFamily::UNIX);
    let (ours, theirs) = socketpair(unix, SocketType::SEQPACKET, flags, None).context(step)?;
    let socket = reach(dir).context(step)?;
    let [low, high] = port.to_le_bytes();
    send(&socket, &[VERSION, CONNECT, low, high], &[theirs.as_fd(), stream]).context(step)?;
    drop(theirs);
    match Answer::decode(&receive(&ours).context(step)?.bytes) {
        Some(Answer::Started(_)) => Ok(()),
        Some(Answer::Failed(step, cause)) => Err(SandboxError::step(step, cause)),
        _ => Err(SandboxError::step(step(), "the sandbox has ended")),
    }
}
