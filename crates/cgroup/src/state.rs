//! What is kept of a cgroup between invocations of the runtime.

use crate::cgroup::{Cgroup, Node};
use crate::controllers::Controllers;
use crate::error::FileError;
use crate::layout::LayoutKind;
use crate::systemd::unit::{Unit, UnitState};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A cgroup, as kept in the container's state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CgroupState {
    /// Directory that the paths below are relative to.
    pub root: PathBuf,
    /// Whether the layout is v2 only.
    pub unified: bool,
    /// Whether the container is rootless.
    #[serde(default, skip_serializing_if = "is_false")]
    pub rootless: bool,
    /// One entry per hierarchy; none if the container has no cgroup.
    pub hierarchies: Vec<HierarchyState>,
    /// The systemd unit, if systemd made the cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitState>,
}

/// The cgroup in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HierarchyState {
    /// Controllers, comma-separated; empty for v2.
    pub controllers: String,
    /// Mount point, relative to the root.
    pub mount: String,
    /// Path below the mount point.
    pub path: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A state that no cgroup can have.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory with the mounts is not there.
    #[error("can't open the cgroup mounts: {0}")]
    Root(#[from] FileError),
    /// Damaged state.
    #[error("the state names an impossible cgroup path {0:?}")]
    BadPath(String),
}

impl Cgroup {
    /// What [`Cgroup::open`] needs.
    #[must_use]
    pub fn state(&self) -> CgroupState {
        let hierarchies = self.nodes.iter().map(|node| {
            let names: Vec<_> = node.controllers.names().collect();
            let below = node.rel.get(node.mount_len..).unwrap_or_default();
            HierarchyState {
                controllers: names.join(","),
                mount: node.mount().to_owned(),
                path: below.trim_start_matches('/').to_owned(),
            }
        });
        CgroupState {
            root: self.root_path.clone(),
            unified: self.kind == LayoutKind::Unified,
            rootless: self.rootless,
            hierarchies: hierarchies.collect(),
            unit: self.unit.as_ref().map(Unit::state),
        }
    }

    /// The cgroup that [`Cgroup::state`] was taken of. Whether it still exists
    /// is not looked at.
    pub fn open(state: &CgroupState) -> Result<Cgroup, OpenError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&state.root, flags, Mode::empty()).map_err(|errno| {
            FileError { action: "open", path: state.root.clone(), value: None, errno }
        })?;
        let mut nodes = Vec::with_capacity(state.hierarchies.len());
        for entry in &state.hierarchies {
            for part in [&entry.mount, &entry.path] {
                if part.starts_with('/')
                    || part.split('/').any(|p| p == "..")
                    || part.contains('\0')
                {
                    return Err(OpenError::BadPath(part.clone()));
                }
            }
            if entry.path.is_empty() {
                return Err(OpenError::BadPath(entry.path.clone()));
            }
            let slash = if entry.mount.is_empty() { "" } else { "/" };
            nodes.push(Node {
                controllers: Controllers::from_list(&entry.controllers, ','),
                rel: format!("{}{slash}{}", entry.mount, entry.path),
                mount_len: entry.mount.len(),
            });
        }
        let hybrid = nodes.iter().any(Node::is_unified);
        let kind = match (state.unified, hybrid) {
            (true, _) => LayoutKind::Unified,
            (false, true) => LayoutKind::Hybrid,
            (false, false) => LayoutKind::Legacy,
        };
        Ok(Cgroup {
            kind,
            root,
            root_path: state.root.clone(),
            nodes,
            rootless: state.rootless,
            unit: state.unit.clone().map(Unit::from),
        })
    }
}
