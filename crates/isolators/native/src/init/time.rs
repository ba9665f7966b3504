//! The time namespace (time_namespaces(7)).

use std::path::Path;

use caisson_runtime_spec::TimeOffsets;
use caisson_sys::unshare::{Unshare, unshare};
use rustix::fs::OFlags;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::step::{Context, StepError};
use caisson_rootpath::ProcHandle;

/// Makes a time namespace with these offsets and moves the caller into it.
///
/// The offsets can only be written while nobody is inside; that is why
/// clone3(2) does not make this namespace.
pub(super) fn new_namespace(offsets: Option<&TimeOffsets>) -> Result<(), StepError> {
    unshare(Unshare::Time).context(|| "make a time namespace")?;
    let proc = ProcHandle::host(Path::new("/proc")).context(|| "use /proc")?;
    if let Some(offsets) = offsets {
        let lines = [("monotonic", offsets.monotonic), ("boottime", offsets.boottime)];
        for (clock, offset) in lines {
            let Some(offset) = offset else { continue };
            let line = format!("{clock} {} {}\n", offset.secs, offset.nanosecs);
            let file = proc
                .open_self(Path::new("timens_offsets"), OFlags::WRONLY | OFlags::CLOEXEC)
                .context(|| "open timens_offsets")?;
            rustix::io::write(&file, line.as_bytes())
                .context(|| format!("set linux.timeOffsets.{clock}"))?;
        }
    }
    // /proc is the runtime's own here, before any of the container's mounts.
    let path = "/proc/self/ns/time_for_children";
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let namespace = rustix::fs::openat(rustix::fs::CWD, path, flags, rustix::fs::Mode::empty())
        .context(|| format!("open {path}"))?;
    move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(LinkNameSpaceType::Time))
        .context(|| "enter the time namespace")
}
