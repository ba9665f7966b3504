//! Which cgroup hierarchies this host has, and where they are mounted.

use crate::controllers::Controllers;
use crate::dir::{read_file, read_own_cgroups};
use crate::error::FileError;
use crate::mountinfo::{CgroupMount, cgroup_mounts};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

const CGROUP_ROOT: &str = "/sys/fs/cgroup";
/// Where a hybrid host has its v2 hierarchy.
const UNIFIED_MOUNT: &str = "/sys/fs/cgroup/unified";
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;
/// Inode number of the root of any cgroup hierarchy (a kernfs root's id is 1).
const ROOT_INODE: u64 = 1;

/// Why the layout could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file that describes the layout can't be read.
    #[error("can't find out the cgroup layout: {0}")]
    Read(#[from] FileError),
    /// Nothing is mounted.
    #[error("no cgroup file system is mounted (looked at {CGROUP_ROOT} and /proc/self/mountinfo)")]
    NotMounted,
}

/// The three set-ups in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayoutKind {
    /// v1 hierarchies only.
    Legacy,
    /// v1 hierarchies, and a v2 hierarchy that has few or no controllers.
    Hybrid,
    /// One v2 hierarchy.
    Unified,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Which controllers it carries.
    pub controllers: Controllers,
    /// Its name in `/proc/self/cgroup`: `cpu,cpuacct`, `name=systemd`, or empty for v2.
    pub name: String,
    /// Mount point, relative to [`Layout::root_path`]; empty if it is that directory.
    pub mount: String,
    /// The calling process's own cgroup as `/proc/self/cgroup` shows it.
    pub own: String,
    /// Root of the mount within the hierarchy, if it is known not to be `/`.
    mount_root: Option<String>,
}

/// The hierarchies of this host.
#[derive(Debug)]
pub struct Layout {
    root: OwnedFd,
    root_path: PathBuf,
    kind: LayoutKind,
    hierarchies: Vec<Hierarchy>,
    from_mountinfo: bool,
}

impl Layout {
    /// Finds the layout with few system calls: a v2 host needs two, a v1 or
    /// hybrid host with the customary mount points five. Mount points
    /// are guessed; [`Cgroup::create`](crate::Cgroup::create) notices wrong guesses
    /// and parses `/proc/self/mountinfo` then.
    pub fn detect() -> Result<Layout, LayoutError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(root) = rustix::fs::open(CGROUP_ROOT, flags, Mode::empty()) else {
            return Layout::from_mountinfo();
        };
        let magic = rustix::fs::fstatfs(&root).ok().and_then(|s| u64::try_from(s.f_type).ok());
        if magic == Some(CGROUP2_SUPER_MAGIC) {
            let unified = Hierarchy {
                controllers: Controllers::UNIFIED,
                name: String::new(),
                mount: String::new(),
                own: String::new(),
                mount_root: None,
            };
            return Ok(Layout {
                root,
                root_path: PathBuf::from(CGROUP_ROOT),
                kind: LayoutKind::Unified,
                hierarchies: vec![unified],
                from_mountinfo: false,
            });
        }
        let own = read_own_cgroups()?;
        let mut hierarchies = Vec::with_capacity(12);
        for (name, own) in own_cgroups(&own) {
            let mount = match name {
                // A directory of this name may be there without the mount.
                "" if !is_unified(UNIFIED_MOUNT) => continue,
                "" => "unified",
                named => named.strip_prefix("name=").unwrap_or(named),
            };
            hierarchies.push(Hierarchy {
                controllers: Controllers::from_list(name, ','),
                name: name.to_owned(),
                mount: mount.to_owned(),
                own: own.to_owned(),
                mount_root: None,
            });
        }
        if hierarchies.is_empty() {
            return Err(LayoutError::NotMounted);
        }
        // Whether each mount point is there shows when a directory is made in it.
        Ok(Layout::legacy(root, PathBuf::from(CGROUP_ROOT), hierarchies, false))
    }

    /// The layout as `/proc/self/mountinfo` describes it.
    pub fn from_mountinfo() -> Result<Layout, LayoutError> {
        let mounts = cgroup_mounts(&read_file("/proc/self/mountinfo")?);
        let own_text = read_own_cgroups()?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open("/", flags, Mode::empty()).map_err(|errno| FileError {
            action: "open",
            path: PathBuf::from("/"),
            value: None,
            errno,
        })?;
        let mut hierarchies = Vec::with_capacity(mounts.len());
        for (name, own) in own_cgroups(&own_text) {
            let wanted = Controllers::from_list(name, ',');
            let Some(mount) = mounts.iter().find(|m| m.carries(name, wanted)) else { continue };
            hierarchies.push(hierarchy_at(mount, name, wanted, own));
        }
        let v1 = hierarchies.iter().any(|h| !h.controllers.contains(Controllers::UNIFIED));
        match (v1, hierarchies.is_empty()) {
            (_, true) => Err(LayoutError::NotMounted),
            (true, _) => Ok(Layout::legacy(root, PathBuf::from("/"), hierarchies, true)),
            (false, _) => Ok(Layout {
                root,
                root_path: PathBuf::from("/"),
                kind: LayoutKind::Unified,
                hierarchies,
                from_mountinfo: true,
            }),
        }
    }

    fn legacy(
        root: OwnedFd,
        root_path: PathBuf,
        hierarchies: Vec<Hierarchy>,
        from_mountinfo: bool,
    ) -> Layout {
        let hybrid = hierarchies.iter().any(|h| h.controllers.contains(Controllers::UNIFIED));
        let kind = if hybrid { LayoutKind::Hybrid } else { LayoutKind::Legacy };
        Layout { root, root_path, kind, hierarchies, from_mountinfo }
    }

    /// A v2 layout at an arbitrary directory; for tests on a fake or nested tree.
    pub fn unified_at(path: &Path) -> Result<Layout, LayoutError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| FileError {
            action: "open",
            path: path.to_owned(),
            value: None,
            errno,
        })?;
        let unified = Hierarchy {
            controllers: Controllers::UNIFIED,
            name: String::new(),
            mount: String::new(),
            own: "/".to_owned(),
            mount_root: None,
        };
        Ok(Layout {
            root,
            root_path: path.to_owned(),
            kind: LayoutKind::Unified,
            hierarchies: vec![unified],
            from_mountinfo: false,
        })
    }

    /// Which of the three set-ups this is.
    #[must_use]
    pub fn kind(&self) -> LayoutKind {
        self.kind
    }

    /// The hierarchies, in the kernel's order (newest first).
    #[must_use]
    pub fn hierarchies(&self) -> &[Hierarchy] {
        &self.hierarchies
    }

    /// The directory that [`Hierarchy::mount`] is relative to.
    #[must_use]
    pub fn root_path(&self) -> &Path {
        &self.root_path
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub(crate) fn into_root(self) -> (OwnedFd, PathBuf) {
        (self.root, self.root_path)
    }

    /// Whether mount points were read, not guessed.
    pub(crate) fn is_exact(&self) -> bool {
        self.from_mountinfo
    }

    /// Whether the guessed mount point exists.
    pub(crate) fn has_mount(&self, hierarchy: &Hierarchy) -> bool {
        let path = mount_or_dot(&hierarchy.mount);
        rustix::fs::accessat(&self.root, path, rustix::fs::Access::EXISTS, AtFlags::empty()).is_ok()
    }

    /// The calling process's own cgroup, relative to the mount point, without a
    /// leading slash.
    ///
    /// In a container that shares the host's cgroup namespace the path of
    /// `/proc/self/cgroup` starts at the hierarchy's root, but the mount may
    /// show a part of the hierarchy only.
    pub(crate) fn own_cgroup(&self, hierarchy: &Hierarchy) -> Result<String, LayoutError> {
        let own;
        let own = if self.kind == LayoutKind::Unified && hierarchy.own.is_empty() {
            own = read_own_cgroups()?;
            own_cgroups(&own).find(|(name, _)| name.is_empty()).map_or("/", |(_, path)| path)
        } else {
            hierarchy.own.as_str()
        };
        self.below_mount(hierarchy, own)
    }

    /// A path that `/proc/PID/cgroup` shows, relative to the mount point,
    /// without a leading slash.
    pub(crate) fn below_mount(
        &self,
        hierarchy: &Hierarchy,
        path: &str,
    ) -> Result<String, LayoutError> {
        if path == "/" {
            return Ok(String::new());
        }
        let mount_root = match &hierarchy.mount_root {
            Some(root) => root.clone(),
            None if self.from_mountinfo || self.shows_whole(hierarchy)? => "/".to_owned(),
            None => {
                let mounts = cgroup_mounts(&read_file("/proc/self/mountinfo")?);
                mounts
                    .into_iter()
                    .find(|m| m.carries(&hierarchy.name, hierarchy.controllers))
                    .map_or_else(|| "/".to_owned(), |m| m.root)
            }
        };
        Ok(relative_to(path, &mount_root))
    }

    fn shows_whole(&self, hierarchy: &Hierarchy) -> Result<bool, LayoutError> {
        let path = mount_or_dot(&hierarchy.mount);
        match rustix::fs::statat(&self.root, path, AtFlags::empty()) {
            Ok(stat) => Ok(stat.st_ino == ROOT_INODE),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(LayoutError::Read(FileError {
                action: "stat",
                path: self.root_path.join(&hierarchy.mount),
                value: None,
                errno,
            })),
        }
    }
}

/// Whether cgroup v2 is mounted at `path`, or above it.
fn is_unified(path: &str) -> bool {
    let stat = rustix::fs::statfs(path).ok();
    stat.and_then(|stat| u64::try_from(stat.f_type).ok()) == Some(CGROUP2_SUPER_MAGIC)
}

fn mount_or_dot(mount: &str) -> &str {
    if mount.is_empty() { "." } else { mount }
}

fn hierarchy_at(mount: &CgroupMount, name: &str, controllers: Controllers, own: &str) -> Hierarchy {
    Hierarchy {
        controllers,
        name: name.to_owned(),
        mount: mount.point.trim_start_matches('/').to_owned(),
        own: own.to_owned(),
        mount_root: (mount.root != "/").then(|| mount.root.clone()),
    }
}

/// `(name, path)` of every line of `/proc/PID/cgroup` (cgroups(7)).
pub(crate) fn own_cgroups(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let _id = fields.next()?;
        Some((fields.next()?, fields.next()?))
    })
}

/// `path` seen from `root`; a path outside of it is taken as it is.
fn relative_to(path: &str, root: &str) -> String {
    let inside = if root == "/" { Some(path) } else { path.strip_prefix(root) };
    match inside {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest.trim_matches('/').to_owned(),
        _ if root.starts_with("/..") => String::new(),
        _ => path.trim_matches('/').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_self_cgroup() {
        let text = "4:memory:/a:b\n2:cpu,cpuacct:/\n1:name=systemd:/x\n0::/u\nbroken\n";
        let all: Vec<_> = own_cgroups(text).collect();
        assert_eq!(
            all,
            [("memory", "/a:b"), ("cpu,cpuacct", "/"), ("name=systemd", "/x"), ("", "/u")]
        );
    }

    #[test]
    fn own_path_seen_from_a_partial_mount() {
        assert_eq!(relative_to("/docker/abc/x", "/docker/abc"), "x");
        assert_eq!(relative_to("/docker/abc", "/docker/abc"), "");
        assert_eq!(relative_to("/docker/abcd", "/docker/abc"), "docker/abcd");
        assert_eq!(relative_to("/a/b", "/"), "a/b");
        assert_eq!(relative_to("/a", "/../.."), "");
    }

    #[test]
    fn this_host_is_detected_alike_by_both_ways() {
        let (quick, exact) = (Layout::detect().unwrap(), Layout::from_mountinfo().unwrap());
        assert_eq!(quick.kind(), exact.kind());
        let list = |layout: &Layout| {
            let mut list: Vec<_> = layout
                .hierarchies()
                .iter()
                .map(|h| (h.name.clone(), layout.root_path().join(&h.mount)))
                .collect();
            list.sort();
            list
        };
        assert_eq!(list(&quick), list(&exact));
        for hierarchy in quick.hierarchies() {
            assert!(quick.has_mount(hierarchy), "{hierarchy:?}");
        }
    }
}
