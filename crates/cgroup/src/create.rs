//! Making a cgroup, with its limits in force before any process is in it.

use crate::cgroup::{Cgroup, Node};
use crate::config::{CgroupConfig, Driver, InnerPath, PathError, inner_path, unit_path};
use crate::controllers::Controllers;
use crate::dir::CgroupDir;
use crate::error::{FileError, LimitError};
use crate::freeze::FreezeError;
use crate::layout::{Hierarchy, Layout, LayoutError, LayoutKind};
use crate::requested::requested_controllers;
use crate::systemd::unit::{Unit, UnitError};
use caisson_runtime_spec::Resources;
use rustix::fd::BorrowedFd;
use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// Why a container's cgroup could not be made. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The host's hierarchies could not be found out.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// `linux.cgroupsPath` is malformed.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A directory could not be made.
    #[error("can't create the container's cgroup: {0}")]
    Directory(#[from] FileError),
    /// A limit was refused.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// Rootless, and limits were asked for that can't be set without permission.
    #[error(
        "can't create the container's cgroup: {source}; a rootless container without permission \
         for cgroups can have neither limits ({field}) nor linux.cgroupsPath"
    )]
    Rootless {
        /// The refused operation.
        source: FileError,
        /// A limit that was asked for.
        field: &'static str,
    },
    /// The cgroup exists and has processes.
    #[error("container's cgroup is not empty: {count} process(es) found in {}", path.display())]
    NotEmpty {
        /// The cgroup.
        path: PathBuf,
        /// How many processes, child cgroups included.
        count: usize,
    },
    /// The cgroup exists and is frozen, so a process in it could never run.
    #[error("container's cgroup unexpectedly frozen: {}", path.display())]
    Frozen {
        /// The cgroup.
        path: PathBuf,
    },
    /// The existing cgroup could not be examined.
    #[error("can't examine the existing cgroup: {0}")]
    Existing(#[from] FreezeError),
    /// The `devices` hierarchy is missing; without it device rules can't be enforced.
    #[error("cgroup v1 hierarchy of the controller `devices` is not mounted")]
    NoDevices,
    /// The parent is in v2's threaded mode, in which the requested controllers don't work.
    #[error(
        "can't use cgroup {} with {field}: it is in the state {state:?} (cgroups(7), thread mode)",
        path.display()
    )]
    Threaded {
        /// The cgroup.
        path: PathBuf,
        /// Content of `cgroup.type`.
        state: String,
        /// A limit that was asked for.
        field: &'static str,
    },
    /// systemd can't be used or refused.
    #[error(transparent)]
    Unit(#[from] UnitError),
}

impl Cgroup {
    /// Makes the cgroup in every hierarchy of this host and writes the limits.
    ///
    /// With [`Driver::Systemd`] only paths are worked out: systemd makes the
    /// cgroup when it is given the first process, in [`Cgroup::start_unit`].
    pub fn create(
        config: &CgroupConfig<'_>,
        resources: Option<&Resources>,
    ) -> Result<Cgroup, CreateError> {
        Cgroup::create_in(Layout::detect()?, config, resources)
    }

    /// Like [`Cgroup::create`], on a given layout.
    pub fn create_in(
        layout: Layout,
        config: &CgroupConfig<'_>,
        resources: Option<&Resources>,
    ) -> Result<Cgroup, CreateError> {
        if config.driver == Driver::Systemd {
            return Cgroup::plan_unit(layout, config);
        }
        let (cgroup, mut made) = Cgroup::make_in(layout, config, resources)?;
        let fresh = made.leaves == cgroup.nodes.len();
        if let Err(error) = cgroup.finish(resources, fresh) {
            made.remove_at(cgroup.root());
            return Err(error);
        }
        Ok(cgroup)
    }

    /// The directories, without limits.
    pub(crate) fn make_in(
        mut layout: Layout,
        config: &CgroupConfig<'_>,
        resources: Option<&Resources>,
    ) -> Result<(Cgroup, Made), CreateError> {
        let inner = inner_path(config)?;
        if let Some(resources) = resources {
            crate::requested::check_version(resources, layout.kind())?;
        }
        let mut made = Made::default();
        let result = loop {
            match build(&layout, config, &inner, resources, &mut made) {
                Err(Build::Unmounted) => {
                    made.remove(&layout);
                    match Layout::from_mountinfo() {
                        Ok(exact) => layout = exact,
                        Err(error) => break Err(error.into()),
                    }
                }
                Err(Build::Failed(error)) => break Err(error),
                Ok(nodes) => break Ok(nodes),
            }
        };
        let nodes = match result {
            Ok(nodes) => nodes,
            Err(error) => {
                made.remove(&layout);
                return Err(error);
            }
        };
        let kind = layout.kind();
        let (root, root_path) = layout.into_root();
        let cgroup = Cgroup { kind, root, root_path, nodes, rootless: config.rootless, unit: None };
        Ok((cgroup, made))
    }

    fn finish(&self, resources: Option<&Resources>, fresh: bool) -> Result<(), CreateError> {
        if self.is_none() {
            return Ok(());
        }
        if !fresh {
            self.refuse_if_used()?;
        }
        if self.kind == LayoutKind::Unified {
            crate::v2::controllers::enable(self, resources)?;
        } else {
            crate::v1::cpuset::inherit(self, resources)?;
        }
        let default = Resources::default();
        self.apply(resources.unwrap_or(&default), fresh)?;
        Ok(())
    }

    /// As runc: a container must not share a cgroup with processes that it did
    /// not start, and one that is frozen would hang the container's start.
    fn refuse_if_used(&self) -> Result<(), CreateError> {
        let Some(node) = self.main_node() else { return Ok(()) };
        let path = self.root_path.join(&node.rel);
        let count = match self.pids(true) {
            Ok(pids) => pids.len(),
            Err(error) => return Err(CreateError::Directory(error)),
        };
        if count > 0 {
            return Err(CreateError::NotEmpty { path, count });
        }
        if self.is_frozen()? {
            return Err(CreateError::Frozen { path });
        }
        Ok(())
    }

    fn plan_unit(layout: Layout, config: &CgroupConfig<'_>) -> Result<Cgroup, CreateError> {
        let kind = layout.kind();
        if config.rootless && kind != LayoutKind::Unified {
            return Err(UnitError::RootlessLegacy.into());
        }
        let unit = Unit::plan(unit_path(config)?, config)?;
        let mut nodes = Vec::with_capacity(layout.hierarchies().len());
        for hierarchy in layout.hierarchies() {
            if !layout.is_exact() && !layout.has_mount(hierarchy) {
                continue;
            }
            nodes.push(node(hierarchy, &unit.cgroup_path()));
        }
        let (root, root_path) = layout.into_root();
        Ok(Cgroup { kind, root, root_path, nodes, rootless: config.rootless, unit: Some(unit) })
    }
}

enum Build {
    /// A guessed mount point does not exist: read mountinfo and try again.
    Unmounted,
    Failed(CreateError),
}

impl<E: Into<CreateError>> From<E> for Build {
    fn from(error: E) -> Build {
        Build::Failed(error.into())
    }
}

/// Directories that were made, to be removed if a later step fails.
#[derive(Debug, Default)]
pub(crate) struct Made {
    paths: Vec<String>,
    /// How many of them are cgroups of the container, not parents.
    leaves: usize,
}

impl Made {
    fn remove(&mut self, layout: &Layout) {
        self.remove_at(layout.root());
    }

    fn remove_at(&mut self, root: BorrowedFd<'_>) {
        while let Some(path) = self.paths.pop() {
            // Best effort: the error that led here is the one to report.
            let _ = rustix::fs::unlinkat(root, path.as_str(), AtFlags::REMOVEDIR);
        }
        self.leaves = 0;
    }
}

pub(crate) fn node(hierarchy: &Hierarchy, below: &str) -> Node {
    let mut rel = String::with_capacity(hierarchy.mount.len() + below.len() + 1);
    rel.push_str(&hierarchy.mount);
    if !rel.is_empty() && !below.is_empty() {
        rel.push('/');
    }
    rel.push_str(below);
    Node { controllers: hierarchy.controllers, rel, mount_len: hierarchy.mount.len() }
}

fn build(
    layout: &Layout,
    config: &CgroupConfig<'_>,
    inner: &InnerPath,
    resources: Option<&Resources>,
    made: &mut Made,
) -> Result<Vec<Node>, Build> {
    let tolerant = config.rootless && config.cgroups_path.is_none_or(str::is_empty);
    let asked = resources.map(requested_controllers).unwrap_or_default();
    let mut nodes = Vec::with_capacity(layout.hierarchies().len());
    for hierarchy in layout.hierarchies() {
        let path = container_path(layout, hierarchy, inner)?;
        let node = node(hierarchy, &path);
        match make(layout.root(), layout.root_path(), &node, made) {
            Ok(()) => nodes.push(node),
            Err(error) if error.errno == Errno::NOENT && !layout.has_mount(hierarchy) => {
                // A hierarchy that is mounted nowhere here, or elsewhere.
                if !layout.is_exact() && hierarchy.controllers != Controllers::UNIFIED {
                    return Err(Build::Unmounted);
                }
            }
            Err(error) if error.is_permission() && tolerant => {
                // Checked per hierarchy: what was asked for must not be lost.
                if let Some((field, _)) = asked.iter().find(|(_, c)| {
                    hierarchy.controllers.intersects(*c) || layout.kind() == LayoutKind::Unified
                }) {
                    return Err(CreateError::Rootless { source: error, field }.into());
                }
            }
            // Named and unified hierarchies only track: without them the
            // container is limited all the same.
            Err(_) if is_tracking_only(layout, hierarchy) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let has_devices = nodes.iter().any(|n| n.controllers.contains(Controllers::DEVICES));
    if layout.kind() != LayoutKind::Unified && !has_devices && !tolerant {
        return Err(CreateError::NoDevices.into());
    }
    Ok(nodes)
}

fn is_tracking_only(layout: &Layout, hierarchy: &Hierarchy) -> bool {
    let tracking = Controllers::SYSTEMD | Controllers::MISC | Controllers::UNIFIED;
    layout.kind() != LayoutKind::Unified && tracking.contains(hierarchy.controllers)
}

/// Path of the container's cgroup below the mount point.
pub(crate) fn container_path(
    layout: &Layout,
    hierarchy: &Hierarchy,
    inner: &InnerPath,
) -> Result<String, LayoutError> {
    let hybrid_unified =
        layout.kind() == LayoutKind::Hybrid && hierarchy.controllers == Controllers::UNIFIED;
    if inner.absolute || hybrid_unified {
        return Ok(inner.path.clone());
    }
    let own = layout.own_cgroup(hierarchy)?;
    // A v2 cgroup with processes (the runtime's own) can't have child cgroups
    // with controllers, so the container's becomes its sibling.
    let parent = match layout.kind() {
        LayoutKind::Unified => own.rsplit_once('/').map_or("", |(parent, _)| parent),
        _ => own.as_str(),
    };
    if parent.is_empty() { Ok(inner.path.clone()) } else { Ok(format!("{parent}/{}", inner.path)) }
}

/// Makes the directory and, only where it must, its parents. On success the
/// directory exists, made or not.
pub(crate) fn make(
    root: BorrowedFd<'_>,
    root_path: &Path,
    node: &Node,
    made: &mut Made,
) -> Result<(), FileError> {
    match mkdir(root, root_path, &node.rel) {
        Ok(true) => made.leaves += 1,
        Ok(false) => return Ok(()),
        Err(error) if error.errno == Errno::NOENT => {
            if !make_with_parents(root, root_path, node, made)? {
                return Ok(());
            }
            made.leaves += 1;
        }
        Err(error) => return Err(error),
    }
    made.paths.push(node.rel.clone());
    Ok(())
}

/// How often somebody may take a parent away again
/// ([`remove_unused`](crate::remove_unused)) before the directory is in it.
const RACES: u32 = 100;

/// As [`mkdir`], after making the parents.
fn make_with_parents(
    root: BorrowedFd<'_>,
    root_path: &Path,
    node: &Node,
    made: &mut Made,
) -> Result<bool, FileError> {
    let first = if node.mount_len == 0 { 0 } else { node.mount_len + 1 };
    let mut races = 0;
    loop {
        let mut parents = 0;
        for (at, _) in node.rel.match_indices('/').filter(|(at, _)| *at > first) {
            let Some(parent) = node.rel.get(..at) else { continue };
            parents += 1;
            if mkdir(root, root_path, parent)? {
                made.paths.push(parent.to_owned());
            }
        }
        match mkdir(root, root_path, &node.rel) {
            Err(error) if error.errno == Errno::NOENT && parents > 0 && races < RACES => races += 1,
            done => return done,
        }
    }
}

/// `true` if the directory was made, `false` if it was there.
fn mkdir(root: BorrowedFd<'_>, root_path: &Path, rel: &str) -> Result<bool, FileError> {
    match rustix::fs::mkdirat(root, rel, Mode::from_raw_mode(0o755)) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => {
            let path = CgroupDir::new(root, root_path, rel).path_of("");
            Err(FileError { action: "mkdir", path, value: None, errno })
        }
    }
}
