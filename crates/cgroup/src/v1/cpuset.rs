//! CPUs and memory nodes.

use crate::cgroup::Cgroup;
use crate::controllers::Controllers;
use crate::dir::CgroupDir;
use crate::error::{InField, LimitError};
use caisson_runtime_spec::{Cpu, Resources};

const CPUS: &str = "linux.resources.cpu.cpus";
const MEMS: &str = "linux.resources.cpu.mems";

pub(crate) fn is_set(cpu: &Cpu) -> bool {
    cpu.cpus.is_some() || cpu.mems.is_some()
}

/// The same files in v1 and v2.
pub(crate) fn apply(dir: CgroupDir<'_>, cpu: &Cpu) -> Result<(), LimitError> {
    if let Some(cpus) = cpu.cpus.as_deref().filter(|cpus| !cpus.is_empty()) {
        dir.write("cpuset.cpus", cpus).in_field(CPUS)?;
    }
    if let Some(mems) = cpu.mems.as_deref().filter(|mems| !mems.is_empty()) {
        dir.write("cpuset.mems", mems).in_field(MEMS)?;
    }
    Ok(())
}

/// A new v1 cpuset is empty, and an empty one can't have tasks: it and those of
/// its parents that are empty, too, get their parent's sets, except where the
/// configuration names some.
pub(crate) fn inherit(cgroup: &Cgroup, resources: Option<&Resources>) -> Result<(), LimitError> {
    let node = cgroup.nodes.iter().find(|n| n.controllers.contains(Controllers::CPUSET));
    let Some(node) = node else { return Ok(()) };
    let cpu = resources.and_then(|r| r.cpu.as_ref());
    let wanted = |value: Option<&String>| value.filter(|v| !v.is_empty()).cloned();
    let cpus = wanted(cpu.and_then(|cpu| cpu.cpus.as_ref()));
    let mems = wanted(cpu.and_then(|cpu| cpu.mems.as_ref()));
    let dir = |rel| CgroupDir::new(cgroup.root(), cgroup.root_path(), rel);
    for (file, value, field) in [("cpuset.cpus", cpus, CPUS), ("cpuset.mems", mems, MEMS)] {
        let parent = node.rel.rsplit_once('/').map_or("", |(parent, _)| parent);
        let inherited = fill(&dir, parent, node.mount_len, file, field)?;
        let value = value.as_deref().unwrap_or(&inherited);
        if !value.is_empty() {
            dir(node.rel.as_str()).write(file, value).in_field(field)?;
        }
    }
    Ok(())
}

/// The set of `rel`, after it was filled from its parents if it was empty.
fn fill<'a>(
    dir: &impl Fn(&'a str) -> CgroupDir<'a>,
    rel: &'a str,
    mount_len: usize,
    file: &str,
    field: &'static str,
) -> Result<String, LimitError> {
    let own = dir(rel).read_value(file).in_field(field)?;
    let own = own.trim();
    if !own.is_empty() || rel.len() <= mount_len {
        return Ok(own.to_owned());
    }
    let parent = rel.rsplit_once('/').map_or("", |(parent, _)| parent);
    let inherited = fill(dir, parent, mount_len, file, field)?;
    dir(rel).write(file, &inherited).in_field(field)?;
    Ok(inherited)
}
