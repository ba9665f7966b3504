//! `linux.resources.unified`: files of v2 by name.

use crate::dir::CgroupDir;
use crate::error::{FileError, LimitError};
use rustix::fd::AsFd;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::collections::BTreeMap;

/// Writes each value to its file, line by line.
pub(crate) fn apply(
    dir: CgroupDir<'_>,
    values: &BTreeMap<String, String>,
) -> Result<(), LimitError> {
    for (name, value) in values {
        let field = || format!("linux.resources.unified[{name:?}]");
        if name.contains(['/', '\0']) || name == ".." || name.is_empty() {
            return Err(LimitError::invalid(field(), "must be a file name (no slashes)"));
        }
        if let Err(source) = write_lines(dir, name, value) {
            if matches!(source.errno, Errno::NOENT | Errno::PERM | Errno::ACCESS) {
                let Some((controller, _)) = name.split_once('.') else {
                    let reason = "must be in the form CONTROLLER.PARAMETER";
                    return Err(LimitError::invalid(field(), reason));
                };
                let have = dir.read_if_present("cgroup.controllers").ok().flatten();
                let have = have.unwrap_or_default();
                if controller != "cgroup" && !have.split_whitespace().any(|c| c == controller) {
                    return Err(LimitError::Unavailable {
                        field: field().into(),
                        reason: format!("can't be set: controller {controller:?} not available"),
                    });
                }
            }
            return Err(LimitError::Refused { field: field().into(), source });
        }
    }
    Ok(())
}

/// The kernel takes one record per `write(2)`.
fn write_lines(dir: CgroupDir<'_>, name: &str, value: &str) -> Result<(), FileError> {
    let fd = dir.open(name, OFlags::WRONLY)?;
    for line in value.split_inclusive('\n') {
        dir.write_to(fd.as_fd(), name, line)?;
    }
    Ok(())
}
