//! New limits of a running container, which its kernel tells programs of.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::Path;

use caisson_foreign::step::Context as _;
use caisson_isolator::SandboxError;
use caisson_runtime_spec::Resources;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::join::reach;
use crate::control::{Answer, UPDATE, VERSION, receive, send};

/// Tells the kernel of the container whose state is in `dir`; one that `hears` has heard
/// when this returns, another one hears when it goes on.
pub(super) fn tell(dir: &Path, limits: &Resources, hears: bool) -> Result<(), SandboxError> {
    let step = || "tell the container's kernel of its limits";
    let text = serde_json::to_vec(limits).context(step)?;
    let file = memfd_create("limits", MemfdFlags::CLOEXEC).context(step)?;
    let mut file = std::fs::File::from(file);
    file.write_all(&text).context(step)?;
    let (flags, unix) = (SocketFlags::CLOEXEC, AddressFamily::UNIX);
    let (ours, theirs) = socketpair(unix, SocketType::SEQPACKET, flags, None).context(step)?;
    let socket = match reach(dir) {
        Ok(socket) => socket,
        // It has ended: nobody is left to be told.
        Err(Errno::CONNREFUSED) => return Ok(()),
        Err(errno) => return Err(errno).context(step),
    };
    ioctl_fionbio(&socket, !hears).context(step)?;
    send(&socket, &[VERSION, UPDATE], &[theirs.as_fd(), file.as_fd()]).context(step)?;
    drop(theirs);
    if !hears {
        return Ok(());
    }
    match Answer::decode(&receive(&ours).context(step)?.bytes) {
        Some(Answer::Failed(step, cause)) => Err(SandboxError::step(step, cause)),
        // Or it has ended.
        _ => Ok(()),
    }
}
