//! The configuration's mounts, in their order.

use std::path::{Path, PathBuf};

use caisson_rootpath::Root;
use caisson_runtime_spec::mount_options::{AttrChange, MountAttr, MountOptions};
use caisson_runtime_spec::{Mount, clean_path};

use super::{Init, attach, bind, cgroup_mount, file_system};
use crate::step::{Context, StepError};

/// Makes every mount of the configuration. Returns whether the process has
/// joined its cgroup on the way.
pub(super) fn mount_all(init: &Init<'_>, root: &Root) -> Result<bool, StepError> {
    let mut joined = false;
    for (index, mount) in init.spec.mounts.iter().enumerate() {
        let options = mount.parsed_options();
        let is_cgroup =
            matches!(mount.kind.as_deref(), Some("cgroup" | "cgroup2")) && options.bind.is_none();
        // What an image makes us copy into memory is to be the container's.
        if (is_cgroup || options.copy_up) && !joined {
            init.join_cgroup()?;
            joined = true;
        }
        mount_one(init, root, index, mount).context(|| {
            format!("error mounting {:?} to rootfs at {:?}", label(mount), mount.destination)
        })?;
    }
    Ok(joined)
}

fn label(mount: &Mount) -> &str {
    mount.source.as_deref().or(mount.kind.as_deref()).unwrap_or("none")
}

fn mount_one(init: &Init<'_>, root: &Root, index: usize, mount: &Mount) -> Result<(), StepError> {
    let mut options = mount.parsed_options();
    let path = destination(init, mount);
    if is_new_dev(&path, &options) {
        // Devices are still to be made there; see `finish_dev`.
        options.attrs.set.remove(MountAttr::RDONLY);
    }
    if options.remount && options.bind.is_none() {
        let target = root.resolve(&path).context(|| "find the mount")?;
        attach::set_attributes(&target, &options)?;
        return attach::propagate(&target, &options.propagation);
    }
    if path == Path::new("/") {
        return Err(StepError::new("mount point", "the container's root is given by root.path"));
    }
    if options.bind.is_some() {
        return bind::mount(init, root, index, mount, &options, &path);
    }
    match mount.kind.as_deref() {
        Some("cgroup" | "cgroup2") => cgroup_mount::mount(init, root, mount, &options, &path),
        Some(kind) => file_system::mount(
            root,
            kind,
            mount,
            &options,
            &path,
            init.linux.mount_label.as_deref(),
        ),
        None => Err(StepError::new("config.json: mounts", "neither a type nor bind is given")),
    }
}

/// Makes a new `/dev` read-only that is to be, now that it is filled.
pub(super) fn finish_dev(init: &Init<'_>, root: &Root) -> Result<(), StepError> {
    let read_only = init.spec.mounts.iter().any(|mount| {
        let options = mount.parsed_options();
        is_new_dev(&destination(init, mount), &options)
            && options.attrs.set.contains(MountAttr::RDONLY)
    });
    if !read_only {
        return Ok(());
    }
    let step = || "make /dev read-only";
    let dev = root.resolve(Path::new("/dev")).context(step)?;
    let attrs = AttrChange { set: MountAttr::RDONLY, clear: MountAttr::empty() };
    attach::set_attributes(&dev, &MountOptions { attrs, ..MountOptions::default() }).context(step)
}

fn is_new_dev(path: &Path, options: &MountOptions<'_>) -> bool {
    path == Path::new("/dev") && options.bind.is_none() && !options.remount
}

/// Where a mount goes in the container. Like runc, this takes a destination
/// that starts with the host's path of the root for one inside.
fn destination(init: &Init<'_>, mount: &Mount) -> PathBuf {
    let path = clean_path(&mount.destination);
    match path.strip_prefix(init.rootfs) {
        Ok(inside) => Path::new("/").join(inside),
        Err(_) => path,
    }
}
