//! `/sys/fs/cgroup` inside the container.

use std::os::fd::OwnedFd;
use std::path::Path;

use caisson_cgroup::{CgroupState, HierarchyState};
use caisson_rootpath::Root;
use caisson_runtime_spec::Mount;
use caisson_runtime_spec::mount_options::{AttrChange, MountAttr, MountOptions};
use rustix::fs::{CWD, Mode};
use rustix::mount::{OpenTreeFlags, open_tree};

use super::Init;
use super::attach::{Shape, attach, mount_point, propagate, set_attributes};
use super::file_system;
use crate::step::{Context, StepError};

/// Mounts the container's view of its cgroups: of its own namespace where it
/// has one, else its own directories only.
pub(super) fn mount(
    init: &Init<'_>,
    root: &Root,
    mount: &Mount,
    options: &MountOptions<'_>,
    path: &Path,
) -> Result<(), StepError> {
    let target = mount_point(root, path, Shape::Directory)?;
    let state = init.cgroup.state();
    let source = mount.source.as_deref().unwrap_or("cgroup");
    if state.hierarchies.is_empty() {
        // Rootless without a cgroup: what the host shows, unchangeable, as it
        // holds the user's other cgroups too (CVE-2023-25809).
        let tree = host_tree(&state.root)?;
        let attrs = AttrChange {
            set: options.attrs.set.union(MountAttr::RDONLY),
            clear: options.attrs.clear.difference(MountAttr::RDONLY),
        };
        set_attributes(&tree, &MountOptions { recursive_attrs: attrs, ..MountOptions::default() })?;
        return attach(&tree, &target);
    }
    let tree = if state.unified {
        unified(init, &state, source)?
    } else {
        return legacy(init, root, &state, options, path, &target);
    };
    set_attributes(&tree, options)?;
    attach(&tree, &target)?;
    propagate(&tree, &options.propagation)
}

fn unified(init: &Init<'_>, state: &CgroupState, source: &str) -> Result<OwnedFd, StepError> {
    let plain = MountOptions::default();
    if init.namespaces.new_cgroup {
        // EPERM in a user namespace that does not own the cgroup namespace.
        if let Ok(tree) = file_system::make("cgroup2", source, &plain, None, None) {
            return Ok(tree);
        }
    }
    let own = state.hierarchies.first().map_or("", |hierarchy| &hierarchy.path);
    host_tree(&state.root.join(own))
}

/// One directory for each hierarchy below a small tmpfs, and links for
/// controllers that share one.
fn legacy(
    init: &Init<'_>,
    root: &Root,
    state: &CgroupState,
    options: &MountOptions<'_>,
    path: &Path,
    target: &OwnedFd,
) -> Result<(), StepError> {
    let base = file_system::make("tmpfs", "tmpfs", &MountOptions::default(), Some("755"), None)?;
    let outer = MountOptions {
        attrs: AttrChange {
            set: options.attrs.set.difference(MountAttr::RDONLY),
            clear: options.attrs.clear,
        },
        ..MountOptions::default()
    };
    set_attributes(&base, &outer)?;
    attach(&base, target)?;
    let directory = root.resolve_dir(path).context(|| "open the new tmpfs")?;
    for hierarchy in &state.hierarchies {
        let name = hierarchy.mount.rsplit('/').next().unwrap_or_default();
        rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(0o755))
            .context(|| format!("make directory {name:?}"))?;
        let tree = hierarchy_tree(init, state, hierarchy)?;
        let own = MountOptions { attrs: options.attrs, ..MountOptions::default() };
        set_attributes(&tree, &own)?;
        let place = root.resolve_dir(&path.join(name)).context(|| "open the mount point")?;
        attach(&tree, &place).context(|| format!("cgroup hierarchy {name:?}"))?;
        for controller in hierarchy.controllers.split(',').filter(|_| name.contains(',')) {
            rustix::fs::symlinkat(name, &directory, controller)
                .context(|| format!("link {controller:?}"))?;
        }
    }
    if options.is_readonly() {
        let attrs = AttrChange { set: MountAttr::RDONLY, clear: MountAttr::empty() };
        set_attributes(&base, &MountOptions { attrs, ..MountOptions::default() })?;
    }
    propagate(&base, &options.propagation)
}

fn hierarchy_tree(
    init: &Init<'_>,
    state: &CgroupState,
    hierarchy: &HierarchyState,
) -> Result<OwnedFd, StepError> {
    let host = state.root.join(&hierarchy.mount);
    if !init.namespaces.new_cgroup {
        return host_tree(&host.join(&hierarchy.path));
    }
    let is_v2 = hierarchy.controllers.is_empty();
    let (kind, data): (_, Vec<&str>) = if is_v2 {
        ("cgroup2", Vec::new())
    } else if hierarchy.controllers.starts_with("name=") {
        ("cgroup", vec!["none", &hierarchy.controllers])
    } else {
        ("cgroup", hierarchy.controllers.split(',').collect())
    };
    let options = MountOptions { data, ..MountOptions::default() };
    file_system::make(kind, "cgroup", &options, None, None)
        .or_else(|_| host_tree(&host.join(&hierarchy.path)))
}

fn host_tree(path: &Path) -> Result<OwnedFd, StepError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, path, flags).context(|| format!("open cgroup {}", path.display()))
}
