//! A container's cgroup: one directory in every hierarchy.

use crate::controllers::Controllers;
use crate::dir::CgroupDir;
use crate::layout::LayoutKind;
use crate::systemd::unit::Unit;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// One directory of the cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) controllers: Controllers,
    /// Path relative to the directory that holds the mounts.
    pub(crate) rel: String,
    /// How many bytes of `rel` are the mount point.
    pub(crate) mount_len: usize,
}

impl Node {
    pub(crate) fn is_unified(&self) -> bool {
        self.controllers.contains(Controllers::UNIFIED)
    }

    /// The hierarchy's mount point, relative like `rel`.
    pub(crate) fn mount(&self) -> &str {
        self.rel.get(..self.mount_len).unwrap_or_default()
    }
}

/// A container's cgroup in all hierarchies.
///
/// It may have no directory at all ([`Cgroup::is_none`]): rootless without
/// permission and without limits.
#[derive(Debug)]
pub struct Cgroup {
    pub(crate) kind: LayoutKind,
    pub(crate) root: OwnedFd,
    pub(crate) root_path: PathBuf,
    pub(crate) nodes: Vec<Node>,
    pub(crate) rootless: bool,
    pub(crate) unit: Option<Unit>,
}

impl Cgroup {
    /// Which set-up the cgroup lives in.
    #[must_use]
    pub fn kind(&self) -> LayoutKind {
        self.kind
    }

    /// Whether the container has no cgroup of its own.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Absolute directories by controller name, with `""` for the v2
    /// hierarchy; the `cgroup_paths` of runc's state file.
    pub fn paths(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        self.nodes.iter().flat_map(|node| {
            let path = self.root_path.join(&node.rel);
            node.controllers.names().map(move |name| (name, path.clone()))
        })
    }

    /// Path of the cgroup below the mount point, with a leading slash: what
    /// `/proc/PID/cgroup` of a member shows on a host without cgroup namespaces.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        let node = self.main_node()?;
        Some(format!("/{}", node.rel.get(node.mount_len..)?.trim_matches('/')))
    }

    /// The directory that carries a controller. In a unified layout that is
    /// the one directory there is.
    pub(crate) fn dir(&self, controller: Controllers) -> Option<CgroupDir<'_>> {
        let node = self.nodes.iter().find(|node| {
            node.controllers.intersects(controller)
                || (self.kind == LayoutKind::Unified && node.is_unified())
        })?;
        Some(self.dir_of(node))
    }

    pub(crate) fn dir_of<'a>(&'a self, node: &'a Node) -> CgroupDir<'a> {
        CgroupDir::new(self.root.as_fd(), &self.root_path, &node.rel)
    }

    /// The directory whose members count as the container's processes: v2's
    /// only one, or the `devices` hierarchy, which every v1 container has.
    pub(crate) fn main_node(&self) -> Option<&Node> {
        self.nodes
            .iter()
            .find(|node| node.controllers.contains(Controllers::DEVICES))
            .or_else(|| self.nodes.first())
    }

    pub(crate) fn main_dir(&self) -> Option<CgroupDir<'_>> {
        self.main_node().map(|node| self.dir_of(node))
    }

    pub(crate) fn unified_node(&self) -> Option<&Node> {
        self.nodes.iter().find(|node| node.is_unified())
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub(crate) fn root_path(&self) -> &Path {
        &self.root_path
    }
}
