//! Bind mounts.

use std::os::fd::OwnedFd;
use std::path::Path;

use caisson_rootpath::Root;
use caisson_runtime_spec::Mount;
use caisson_runtime_spec::mount_options::{Extent, MountOptions};

use super::Init;
use super::attach::{Shape, attach, is_on_procfs, mount_point, propagate, set_attributes};
use crate::sources;
use crate::step::{Context, StepError};

/// Makes the bind mount with this index.
pub(super) fn mount(
    init: &Init<'_>,
    root: &Root,
    index: usize,
    mount: &Mount,
    options: &MountOptions<'_>,
    path: &Path,
) -> Result<(), StepError> {
    if let Some(first) = options.data.first() {
        return Err(StepError::new(
            format!("option {first:?}"),
            "bind mounts take no options of a file system",
        ));
    }
    if options.copy_symlink && copy_symlink(init, root, mount, path)? {
        return Ok(());
    }
    let opened;
    let tree: &OwnedFd = if let Some(tree) = init.sources.tree(index) {
        tree
    } else {
        let extent = options.bind.unwrap_or(Extent::Single);
        let source = sources::path(mount, init.bundle)?;
        opened = match source.strip_prefix(init.rootfs) {
            Ok(inside) if init.namespaces.has_user() => sources::open_inside(root, inside, extent)?,
            _ => sources::open(mount, init.bundle, extent)?,
        };
        &opened
    };
    if path == Path::new("/proc") && !is_on_procfs(tree)? {
        return Err(StepError::new("bind mount", "only procfs may be mounted at /proc"));
    }
    let target = mount_point(root, path, Shape::of(tree)?)?;
    set_attributes(tree, options)?;
    attach(tree, &target)?;
    propagate(tree, &options.propagation)
}

/// Makes a symbolic link again instead of following it, as crun does.
fn copy_symlink(
    init: &Init<'_>,
    root: &Root,
    mount: &Mount,
    path: &Path,
) -> Result<bool, StepError> {
    let source = sources::path(mount, init.bundle)?;
    let Ok(target) = rustix::fs::readlink(&*source, Vec::new()) else { return Ok(false) };
    let target = target.to_string_lossy();
    if let Some(parent) = path.parent() {
        root.mkdir_all(parent, rustix::fs::Mode::from_raw_mode(0o755))
            .context(|| "make the link's directory")?;
    }
    root.symlink(path, Path::new(&*target)).context(|| "copy the symbolic link")?;
    Ok(true)
}
