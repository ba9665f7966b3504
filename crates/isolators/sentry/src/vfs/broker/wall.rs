//! The broker's wall: it keeps the rights to open files and to give them owners, and
//! reaches nothing but what it is handed.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use crate::platform::broker_calls::{BROKER, OWN};
use crate::platform::host_calls::confine;
use crate::wall::{WallError, empty_root, processes, shed, step, tie};

/// What a broker keeps, to do for the guest what its kernel has permitted.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID);

/// Confines this process, the first of its own namespaces, but for its calls ([`close`]);
/// closes all that it was not handed in `keep`. Returns a handle of its own `/proc/self/fd`, by which
/// a handle is opened anew. Nothing else of procfs can be reached: the handle is not
/// its root, and `subset=pid` has no other files anyway.
pub(super) fn enter(keep: &[BorrowedFd<'_>]) -> Result<OwnedFd, WallError> {
    let own = own_descriptors()?;
    empty_root()?;
    // Modes are those that the guest's kernel computed.
    rustix::process::umask(Mode::empty());
    shed(KEPT)?;
    tie()?;
    let mut kept = keep.to_vec();
    kept.push(own.as_fd());
    caisson_sys::descriptors::close_all_except(0, &kept)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        .map_err(step("close what it was not handed"))?;
    Ok(own)
}

/// The rest of it, once all threads are there: lets the calling one make the broker's calls alone.
pub(super) fn close() -> Result<(), WallError> {
    confine(&BROKER).map_err(step("filter the broker's calls"))
}

/// A handle of this process's `/proc/self/fd`, in a procfs that is mounted nowhere.
fn own_descriptors() -> Result<OwnedFd, WallError> {
    const PROC: &str = "open its own descriptors";
    let proc = processes()?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let own = rustix::fs::openat(&proc, "self/fd", flags, Mode::empty()).map_err(step(PROC))?;
    let own = rustix::io::fcntl_dupfd_cloexec(&own, OWN.cast_signed())
        .map_err(step("number the handle of its descriptors"))?;
    if own.as_raw_fd() != OWN.cast_signed() {
        return Err(step("number the handle of its descriptors")(Errno::BUSY));
    }
    Ok(own)
}
