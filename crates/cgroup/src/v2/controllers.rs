//! Making controllers available in a new v2 cgroup.

use crate::cgroup::Cgroup;
use crate::controllers::Controllers;
use crate::create::CreateError;
use crate::dir::CgroupDir;
use crate::requested::requested_controllers;
use caisson_runtime_spec::Resources;
use std::fmt::Write as _;

/// Controllers that don't work in a threaded cgroup (cgroups(7)).
const DOMAIN: Controllers =
    Controllers::MEMORY.union(Controllers::IO).union(Controllers::CPU).union(Controllers::HUGETLB);

/// Turns on every controller of the host on the way down to the container's
/// cgroup, unless the cgroup has them all already. What can't be turned on shows
/// when a limit is written.
pub(crate) fn enable(cgroup: &Cgroup, resources: Option<&Resources>) -> Result<(), CreateError> {
    let Some(node) = cgroup.unified_node() else { return Ok(()) };
    let dir = |rel| CgroupDir::new(cgroup.root(), cgroup.root_path(), rel);
    let leaf = dir(node.rel.as_str());
    let (Some(have), Some(all)) = (
        leaf.read_if_present("cgroup.controllers")?,
        dir(node.mount()).read_if_present("cgroup.controllers")?,
    ) else {
        return Ok(());
    };
    let missing: Vec<&str> = all
        .split_whitespace()
        .filter(|name| !have.split_whitespace().any(|h| h == *name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut line = String::new();
    for name in &missing {
        let _ = write!(line, "+{name} ");
    }
    let line = line.trim_end();
    // Ends of the path of each parent: the mount point's first.
    let ends = std::iter::once(node.mount_len)
        .chain(node.rel.match_indices('/').map(|(at, _)| at).filter(|at| *at > node.mount_len));
    for end in ends {
        let Some(parent) = node.rel.get(..end) else { continue };
        let parent = dir(parent);
        if parent.write("cgroup.subtree_control", line).is_err() {
            // One that can't be had must not keep the others away.
            for name in &missing {
                let _ = parent.write("cgroup.subtree_control", &format!("+{name}"));
            }
        }
    }
    leave_invalid_state(leaf, resources)
}

/// A cgroup below one with processes of its own, or below a threaded one, is
/// "domain invalid": it takes processes only in threaded mode, without domain
/// controllers.
fn leave_invalid_state(
    leaf: CgroupDir<'_>,
    resources: Option<&Resources>,
) -> Result<(), CreateError> {
    let Some(state) = leaf.read_if_present("cgroup.type")? else { return Ok(()) };
    let state = state.trim();
    if !matches!(state, "domain invalid" | "domain threaded" | "threaded") {
        return Ok(());
    }
    let asked = resources.map(requested_controllers).unwrap_or_default();
    if let Some((field, _)) = asked.iter().find(|(_, c)| DOMAIN.contains(*c)) {
        return Err(CreateError::Threaded {
            path: leaf.path_of(""),
            state: state.to_owned(),
            field,
        });
    }
    if state == "domain invalid" {
        let _ = leaf.write("cgroup.type", "threaded");
    }
    Ok(())
}
