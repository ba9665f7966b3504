//! What bind mounts show: the host's mounts as they are when the container is
//! made.
//!
//! The supervisor's mount namespace is a copy from when it started. Where the
//! host's mounts are not shared, what the host has mounted since does not show in
//! it: a volume, say, that a kubelet mounts for a container of a running pod. So
//! sources are copied in the host's namespace, and attached in ours at places of
//! their own. A copy keeps its source's propagation.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use caisson_runtime_spec::mount_options::Extent;
use caisson_runtime_spec::{NamespaceKind, Spec};
use caisson_sys::mount_attr::{MountAttr, mount_setattr};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use rustix::process::{chdir, chroot, fchdir};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::rootfs;
use super::step::{Context as _, StepError};

/// A mount namespace, and the root directory of whoever opened it.
#[derive(Debug)]
pub(super) struct MountView {
    namespace: OwnedFd,
    root: OwnedFd,
}

impl MountView {
    /// The caller's own.
    pub(super) fn open() -> Result<Self, StepError> {
        let open = |path: &str, flags: OFlags| {
            let flags = flags | OFlags::CLOEXEC;
            openat(CWD, path, flags, Mode::empty()).context(|| format!("open {path}"))
        };
        let root = open("/", OFlags::PATH | OFlags::DIRECTORY)?;
        Ok(Self { namespace: open("/proc/self/ns/mnt", OFlags::RDONLY)?, root })
    }

    /// The namespace.
    pub(super) fn namespace(&self) -> &OwnedFd {
        &self.namespace
    }

    pub(super) fn try_clone(&self) -> Result<Self, StepError> {
        let clone = |fd: &OwnedFd| fd.try_clone().context(|| "keep the host's mount namespace");
        Ok(Self { namespace: clone(&self.namespace)?, root: clone(&self.root)? })
    }

    /// Makes it the caller's, who has a single thread.
    fn enter(&self) -> Result<(), Errno> {
        let kind = Some(LinkNameSpaceType::Mount);
        move_into_link_name_space(self.namespace.as_fd(), kind)?;
        fchdir(&self.root)?;
        chroot(".")?;
        chdir("/")
    }
}

/// Attaches the host's mounts that the bind mounts of `spec` show below `points`,
/// and has these show those. What the host has not got is left as it is, and so
/// is what lies in the bundle, where the supervisor's own mounts are. `isolate`:
/// nobody else is to see them ([`rootfs::isolate`]). For a process of its own.
pub(super) fn bring(
    spec: &mut Spec,
    host: &MountView,
    bundle: &Path,
    points: &Path,
    isolate: bool,
) -> Result<(), StepError> {
    let wanted = sources(spec, bundle);
    if wanted.is_empty() {
        return Ok(());
    }
    let own = MountView::open()?;
    match host.enter() {
        Ok(()) => {}
        // Root of a user namespace in the host's mount namespace: what it may see
        // of that it sees in its copy.
        Err(Errno::PERM) => return Ok(()),
        Err(error) => return Err(error).context(|| "enter the host's mount namespace"),
    }
    let copies: Vec<(usize, OwnedFd)> = wanted
        .into_iter()
        .filter_map(|(index, source, extent)| Some((index, copy(&source, extent).ok()?)))
        .collect();
    own.enter().context(|| "return from the host's mount namespace")?;
    if isolate {
        rootfs::isolate(points)?;
    }
    make_dir(points)?;
    // They go with it: each mount that is taken away for itself costs the kernel
    // a grace period.
    place(points, isolate).context(|| format!("make a mount at {}", points.display()))?;
    for (index, tree) in copies {
        let point = points.join(index.to_string());
        attach(&tree, &point)
            .context(|| format!("attach a mount source at {}", point.display()))?;
        if let Some(mount) = spec.mounts.get_mut(index) {
            mount.source = Some(point.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// A mount at `points`, of the directory that is there. As a copy of a shared
/// mount it is one of its peers: whatever is attached to the one would be attached
/// to the other, beneath, and stay there.
fn place(points: &Path, isolate: bool) -> Result<(), Errno> {
    let own = copy(points, Extent::Single)?;
    propagate(&own, MountPropagationFlags::PRIVATE, false)?;
    if !isolate {
        propagate(&own, MountPropagationFlags::SHARED, false)?;
    }
    move_mount(&own, "", CWD, points, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

fn propagate(mounted: &OwnedFd, how: MountPropagationFlags, recursive: bool) -> Result<(), Errno> {
    let attr = MountAttr { propagation: u64::from(how.bits()), ..MountAttr::default() };
    let set = mount_setattr(mounted.as_fd(), &attr, recursive);
    set.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Takes away what [`bring`] has attached; nothing there is no error.
pub(super) fn take_away(points: &Path) {
    match cut_off(points) {
        Ok(()) => rootfs::detach(points),
        Err(Errno::NOENT) => return,
        // No mount.
        Err(Errno::INVAL) => {}
        Err(error) => {
            let step = format!("cut off {}", points.display());
            return super::step::warn(&StepError::new(step, error));
        }
    }
    if let Err(error) = remove_places(points) {
        super::step::warn(&StepError::new(format!("remove {}", points.display()), error));
    }
}

/// Removes empty directories and files. Never more: what is mounted at one is the
/// host's, and keeps it from being removed.
fn remove_places(points: &Path) -> std::io::Result<()> {
    for place in std::fs::read_dir(points)? {
        let place = place?;
        if place.file_type()?.is_dir() {
            std::fs::remove_dir(place.path())?;
        } else {
            std::fs::remove_file(place.path())?;
        }
    }
    std::fs::remove_dir(points)
}

/// Else the host would lose what is mounted below its shared mounts with them.
fn cut_off(point: &Path) -> Result<(), Errno> {
    let mounted = openat(CWD, point, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    propagate(&mounted, MountPropagationFlags::PRIVATE, true)
}

/// Index, path and extent of what is to be copied.
fn sources(spec: &Spec, bundle: &Path) -> Vec<(usize, PathBuf, Extent)> {
    let namespaces = spec.linux.as_ref().map(|linux| linux.namespaces.as_slice());
    let own_mounts = namespaces
        .unwrap_or_default()
        .iter()
        .any(|namespace| namespace.kind == NamespaceKind::Mount && namespace.path.is_none());
    if !own_mounts {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (index, mount) in spec.mounts.iter().enumerate() {
        let options = mount.parsed_options();
        let (Some(extent), Some(source)) = (options.bind, mount.source.as_deref()) else {
            continue;
        };
        let source = Path::new(source);
        let is_ours = source.starts_with(bundle)
            || ["/proc/self", "/proc/thread-self"].iter().any(|ours| source.starts_with(ours));
        if source.is_absolute() && !is_ours && !options.copy_symlink {
            found.push((index, source.to_owned(), extent));
        }
    }
    found
}

/// A copy that is attached nowhere.
fn copy(source: &Path, extent: Extent) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if extent == Extent::Recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(CWD, source, flags)
}

fn attach(tree: &OwnedFd, point: &Path) -> Result<(), Errno> {
    if FileType::from_raw_mode(fstat(tree)?.st_mode) == FileType::Directory {
        mkdirat(CWD, point, Mode::from_raw_mode(0o755))?;
    } else {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        openat(CWD, point, flags, Mode::from_raw_mode(0o644))?;
    }
    move_mount(tree, "", CWD, point, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

fn make_dir(dir: &Path) -> Result<(), StepError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o711).create(dir);
    made.context(|| format!("make {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use rustix::mount::mount_change;

    use super::*;

    /// As for a shim of others, which sees what we mount.
    #[test]
    fn what_is_taken_away_among_shared_mounts_goes_and_its_sources_stay() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("left out: needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let [source, points] = ["source", "points"].map(|name| dir.path().join(name));
        std::fs::create_dir(&source).unwrap();
        std::fs::write(source.join("word"), "kept").unwrap();
        let test = || {
            rootfs::enter_namespace().unwrap();
            let change = |how| mount_change("/", how | MountPropagationFlags::REC).unwrap();
            change(MountPropagationFlags::PRIVATE);
            change(MountPropagationFlags::SHARED);
            for isolate in [false, true, false] {
                make_dir(&points).unwrap();
                place(&points, isolate).unwrap();
                attach(&copy(&source, Extent::Recursive).unwrap(), &points.join("0")).unwrap();
                attach(&copy(&source.join("word"), Extent::Single).unwrap(), &points.join("1"))
                    .unwrap();
                assert_eq!(std::fs::read(points.join("0/word")).unwrap(), b"kept");
                take_away(&points);
                assert_eq!(std::fs::read(source.join("word")).unwrap(), b"kept", "{isolate}");
                assert!(!points.exists(), "something is left ({isolate})");
            }
        };
        std::thread::scope(|scope| scope.spawn(test).join().unwrap());
    }

    #[test]
    fn sources_of_the_host_are_told_from_the_supervisors_own() {
        let spec = |namespace: &str| -> Spec {
            serde_json::from_str(&format!(
                r#"{{"ociVersion": "1.2.0", "linux": {{"namespaces": [{namespace}]}}, "mounts": [
                {{"destination": "/a", "source": "/host/a", "options": ["rbind"]}},
                {{"destination": "/b", "source": "/host/b", "options": ["bind", "copy-symlink"]}},
                {{"destination": "/c", "source": "relative", "options": ["bind"]}},
                {{"destination": "/d", "source": "/run/bundle/rootfs/d", "options": ["bind"]}},
                {{"destination": "/e", "source": "/proc/self/fd/7", "options": ["bind"]}},
                {{"destination": "/f", "source": "tmpfs", "type": "tmpfs"}},
                {{"destination": "/g", "source": "/host/g", "options": ["bind"]}}]}}"#
            ))
            .unwrap()
        };
        let found = sources(&spec(r#"{"type": "mount"}"#), Path::new("/run/bundle"));
        let expected = [
            (0, PathBuf::from("/host/a"), Extent::Recursive),
            (6, PathBuf::from("/host/g"), Extent::Single),
        ];
        assert_eq!(found, expected);
        let joined = r#"{"type": "mount", "path": "/proc/1/ns/mnt"}"#;
        assert!(sources(&spec(joined), Path::new("/run/bundle")).is_empty());
    }
}
