//! Device rules in the v1 `devices` controller.

use super::rule::effective;
use super::set::{DeviceSet, Hole};
use crate::dir::CgroupDir;
use crate::error::{InField, LimitError};
use caisson_runtime_spec::DeviceCgroup;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::OFlags;

const FIELD: &str = "linux.resources.devices";

/// Brings the cgroup to the given rules and runc's defaults. A new cgroup has
/// inherited its parent's state, which need not be read: the first line resets it.
pub(crate) fn apply(
    dir: CgroupDir<'_>,
    rules: &[DeviceCgroup],
    fresh: bool,
) -> Result<(), LimitError> {
    let target = DeviceSet::from_rules(&effective(rules)?).map_err(refuse)?;
    let current = if fresh {
        DeviceSet { default_allow: true, exceptions: Vec::new() }
    } else {
        let list = dir.read("devices.list").in_field(FIELD)?;
        DeviceSet::from_list(&list).ok_or_else(|| {
            LimitError::invalid(FIELD, format!("can't read devices.list: {list:?}"))
        })?
    };
    let (mut allow, mut deny): (Option<OwnedFd>, Option<OwnedFd>) = (None, None);
    for change in current.changes_to(&target) {
        let (file, name) =
            if change.allow { (&mut allow, "devices.allow") } else { (&mut deny, "devices.deny") };
        let fd = match file {
            Some(fd) => fd,
            None => file.insert(dir.open(name, OFlags::WRONLY).in_field(FIELD)?),
        };
        dir.write_to(fd.as_fd(), name, &change.line).in_field(FIELD)?;
    }
    Ok(())
}

fn refuse(hole: Hole) -> LimitError {
    LimitError::invalid(
        format!("{FIELD}[{}]", hole.index),
        format!(
            "cgroup v1 can't deny `{}` and allow the wildcard `{}` (cannot punch hole in existing \
             wildcard rule)",
            hole.rule, hole.wildcard
        ),
    )
}
