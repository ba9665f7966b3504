//! Who is in a container that has no cgroup to list them.

use rustix::fs::{CWD, Dir, Mode, OFlags, openat, readlinkat};
use rustix::process::Pid;

use crate::step::{Context, StepError};

/// The processes in the PID namespace of `first`, by the host's procfs. Those
/// in namespaces that the container has made for itself are not among them.
pub(crate) fn members(first: Pid) -> Result<Vec<Pid>, StepError> {
    let step = || "list the container's processes by procfs";
    let wanted = namespace(&first.as_raw_nonzero().to_string()).context(step)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = openat(CWD, "/proc", flags, Mode::empty()).context(step)?;
    let mut found = Vec::new();
    for entry in Dir::read_from(&proc).context(step)? {
        let entry = entry.context(step)?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        let Some(pid) = name.parse().ok().and_then(Pid::from_raw) else { continue };
        // Others' can't be read, and some are gone by now.
        if namespace(name).is_ok_and(|link| link == wanted) {
            found.push(pid);
        }
    }
    Ok(found)
}

fn namespace(pid: &str) -> rustix::io::Result<std::ffi::CString> {
    readlinkat(CWD, format!("/proc/{pid}/ns/pid"), Vec::new())
}
