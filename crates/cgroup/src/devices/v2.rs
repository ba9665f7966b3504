//! Device rules in v2: a program attached to the cgroup.

use super::program::compile;
use super::rule::effective;
use crate::dir::CgroupDir;
use crate::error::{FileError, LimitError};
use caisson_runtime_spec::DeviceCgroup;
use caisson_sys::bpf::{DeviceProgram, attached_device_programs};
use rustix::fd::AsFd;
use rustix::fs::OFlags;
use rustix::io::Errno;

/// Puts the rules and runc's defaults in force, in place of earlier ones. At no
/// moment is less denied than both the old and the new rules deny.
pub(crate) fn apply(
    dir: CgroupDir<'_>,
    rules: &[DeviceCgroup],
    fresh: bool,
) -> Result<(), LimitError> {
    let refused = |action, errno| LimitError::Refused {
        field: "linux.resources.devices".into(),
        source: FileError { action, path: dir.path_of(""), value: None, errno },
    };
    let program = DeviceProgram::load(&compile(&effective(rules)?), "caisson_devices")
        .map_err(|errno| refused("load a BPF device program for", errno))?;
    let cgroup = dir
        .open("", OFlags::RDONLY | OFlags::DIRECTORY)
        .map_err(|error| refused("open", error.errno))?;
    let attached = if fresh {
        Vec::new()
    } else {
        attached_device_programs(cgroup.as_fd())
            .map_err(|errno| refused("query the BPF device programs of", errno))?
    };
    let mut old = Vec::with_capacity(attached.len());
    for id in attached {
        match DeviceProgram::by_id(id) {
            Ok(program) => old.push(program),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(refused("open a BPF device program of", errno)),
        }
    }
    let attach_failed = |errno| refused("attach a BPF device program to", errno);
    if let [only] = old.as_slice() {
        match program.attach(cgroup.as_fd(), Some(only)) {
            Ok(()) => return Ok(()),
            // Before Linux 5.6, or attached without ALLOW_MULTI (by systemd).
            Err(Errno::INVAL | Errno::PERM) => {}
            Err(errno) => return Err(attach_failed(errno)),
        }
    }
    program.attach(cgroup.as_fd(), None).map_err(attach_failed)?;
    for program in &old {
        program
            .detach(cgroup.as_fd())
            .map_err(|errno| refused("detach the former BPF device program of", errno))?;
    }
    Ok(())
}
