//! What bind mounts show: detached copies of host mounts.

use std::borrow::Cow;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use caisson_rootpath::Root;
use caisson_runtime_spec::mount_options::{Extent, MountAttr as Attr};
use caisson_runtime_spec::{IdMapping, Linux, Mount, Spec};
use caisson_sys::mount_attr::{MountAttr, mount_setattr};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::maps;
use crate::namespaces::Namespaces;
use crate::step::{Context, StepError};

const MS_SLAVE: u64 = 1 << 19;

/// Sources that only the runtime can open, by index into the spec's mounts:
/// idmapped ones, and those that root of a user namespace may not reach.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    trees: Vec<Option<OwnedFd>>,
}

impl Sources {
    /// Opens what the container's first process could not.
    pub(crate) fn open(
        spec: &Spec,
        linux: &Linux,
        namespaces: &Namespaces,
        bundle: &Path,
        rootfs: &Path,
    ) -> Result<Self, StepError> {
        let for_userns = namespaces.has_user() && rustix::process::geteuid().is_root();
        let mut trees = Vec::new();
        for mount in &spec.mounts {
            let options = mount.parsed_options();
            let Some(extent) = options.bind else {
                trees.push(None);
                continue;
            };
            let idmap = options
                .idmap
                .or_else(|| (!mount.uid_mappings.is_empty()).then_some(Extent::Single));
            trees.push(match idmap {
                Some(mapped) => {
                    let tree = open(mount, bundle, extent)?;
                    map_ids(&tree, mount, linux, namespaces, mapped)?;
                    Some(tree)
                }
                // What lies in the container's root may be mounted there first.
                None if for_userns && path(mount, bundle)?.starts_with(rootfs) => None,
                None if for_userns && !options.copy_symlink => match open(mount, bundle, extent) {
                    // The runtime is root of a user namespace itself.
                    Err(_) if !is_initial_userns() => None,
                    tree => {
                        let tree = tree?;
                        enslave(&tree)?;
                        Some(tree)
                    }
                },
                None => None,
            });
        }
        Ok(Self { trees })
    }

    /// The tree of the mount with this index, if it was opened.
    pub(crate) fn tree(&self, index: usize) -> Option<&OwnedFd> {
        self.trees.get(index)?.as_ref()
    }
}

/// Where a bind mount's source lies; relative ones start at the bundle.
pub(crate) fn path<'a>(mount: &'a Mount, bundle: &Path) -> Result<Cow<'a, Path>, StepError> {
    let source = mount
        .source
        .as_deref()
        .ok_or("a bind mount needs a source")
        .context(|| format!("mount at {:?}", mount.destination))?;
    let source = Path::new(source);
    Ok(if source.is_absolute() { Cow::Borrowed(source) } else { bundle.join(source).into() })
}

/// A detached copy of the mount at a bind mount's source.
pub(crate) fn open(mount: &Mount, bundle: &Path, extent: Extent) -> Result<OwnedFd, StepError> {
    let source: PathBuf = path(mount, bundle)?.into_owned();
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if extent == Extent::Recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    match open_tree(CWD, &source, flags) {
        // Locked submounts can't be left out in a user namespace.
        Err(Errno::INVAL) if extent == Extent::Single => {
            open_tree(CWD, &source, flags | OpenTreeFlags::AT_RECURSIVE)
        }
        other => other,
    }
    .context(|| format!("open mount source {}", source.display()))
}

/// As [`open`] for a source inside the container's root, where root of a user
/// namespace might not reach it by its name on the host.
pub(crate) fn open_inside(
    root: &Root,
    inside: &Path,
    extent: Extent,
) -> Result<OwnedFd, StepError> {
    let step = || format!("open mount source {} in the container", inside.display());
    let found = root.resolve(inside).context(step)?;
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if extent == Extent::Recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(&found, "", flags).context(step)
}

/// A copy made outside the container's mount namespace would send its mounts
/// back to the host.
fn enslave(tree: &OwnedFd) -> Result<(), StepError> {
    let attr = MountAttr { propagation: MS_SLAVE, ..MountAttr::default() };
    mount_setattr(tree.as_fd(), &attr, true).context(|| "make a mount source a slave")
}

fn map_ids(
    tree: &OwnedFd,
    mount: &Mount,
    linux: &Linux,
    namespaces: &Namespaces,
    extent: Extent,
) -> Result<(), StepError> {
    let own = !mount.uid_mappings.is_empty();
    let (uids, gids): (&[IdMapping], &[IdMapping]) = if own {
        (&mount.uid_mappings, &mount.gid_mappings)
    } else {
        (&linux.uid_mappings, &linux.gid_mappings)
    };
    let made;
    let userns = match namespaces.joined_user().filter(|_| uids.is_empty() && gids.is_empty()) {
        Some(joined) => joined,
        None => {
            made = maps::namespace(uids, gids)?;
            made.as_fd()
        }
    };
    let attr = MountAttr {
        set: Attr::IDMAP.bits(),
        propagation: MS_SLAVE,
        userns: Some(userns),
        ..MountAttr::default()
    };
    mount_setattr(tree.as_fd(), &attr, extent == Extent::Recursive).context(|| {
        format!(
            "map ids of the mount at {:?} (its file system may not support idmapped mounts)",
            mount.destination
        )
    })
}

/// Whether the caller is in the host's own user namespace, where root is root.
pub(crate) fn is_initial_userns() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| {
        let mut fields = map.split_ascii_whitespace();
        fields.next() == Some("0")
            && fields.next() == Some("0")
            && fields.next() == Some("4294967295")
    })
}
