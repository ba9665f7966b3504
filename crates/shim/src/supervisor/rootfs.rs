//! The container's root file system, in a mount namespace of our own.

use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use caisson_sys::mount_attr::{MountAttr, mount_setattr};
use caisson_sys::unshare::{Unshare, unshare};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount,
    fsopen, mount, mount_change, move_mount, open_tree, unmount,
};

use super::rootfs_mounts;
use super::step::{Context as _, StepError};
use crate::{NamespaceKind, RootfsMount};

/// Longest string that fsconfig(2) takes.
const LONGEST_STRING: usize = 255;
const MOUNT_ATTR_RDONLY: u64 = 1;
/// So many may be mounted at one place.
const MOST_MOUNTS: usize = 16;
const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;

/// Enters a mount namespace of our own.
pub(super) fn enter_namespace() -> Result<(), StepError> {
    unshare(Unshare::Mount).context(|| "make a mount namespace")
}

/// Keeps mounts at `point` in this namespace; all others go on being shared with
/// the host as they were.
pub(super) fn isolate(point: &Path) -> Result<(), StepError> {
    // The mount that holds `point` is the nearest ancestor that is a mount
    // point. As a slave it still gets the host's mounts.
    for ancestor in point.ancestors() {
        match mount_change(ancestor, MountPropagationFlags::DOWNSTREAM) {
            Ok(()) => break,
            // `point` itself may have to be made yet.
            Err(Errno::INVAL | Errno::NOENT) => {}
            Err(error) => {
                let step = || format!("make mount {} a slave", ancestor.display());
                return Err(error).context(step);
            }
        }
    }
    Ok(())
}

/// As [`isolate`], for all that is going to be mounted below `dir`; but mount
/// namespaces that are made of this one get it, too: that of a foreign shim,
/// which lives longer than one container. To be called once.
pub(super) fn share(dir: &Path) -> Result<(), StepError> {
    isolate(dir)?;
    for ancestor in dir.ancestors() {
        match mount_change(ancestor, MountPropagationFlags::SHARED) {
            Ok(()) => break,
            Err(Errno::INVAL) => {}
            Err(error) => {
                return Err(error).context(|| format!("share mount {}", ancestor.display()));
            }
        }
    }
    Ok(())
}

/// Mounts the root file system at `point`, which is made if it is missing. With
/// `label`, an overlay's files have that SELinux label. Whoever is not to see it
/// has been kept away ([`isolate`], [`share`]).
pub(super) fn attach(
    rootfs: &RootfsMount,
    point: &Path,
    label: Option<&str>,
) -> Result<(), StepError> {
    if matches!(rootfs, RootfsMount::None) {
        return Ok(());
    }
    match mkdirat(CWD, point, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error).context(|| format!("make {}", point.display())),
    }
    match rootfs {
        RootfsMount::Mounts(mounts) => rootfs_mounts::attach(mounts, point),
        other => attach_overlay(other, point, label),
    }
}

/// Mounts an overlay; nothing else.
pub(super) fn attach_overlay(
    rootfs: &RootfsMount,
    point: &Path,
    label: Option<&str>,
) -> Result<(), StepError> {
    let RootfsMount::Overlay { lowers, upper, read_only, userxattr, volatile, mapped } = rootfs
    else {
        return Ok(());
    };
    let step = || format!("mount the root file system at {}", point.display());
    let mapping = if *mapped { Some(Mapping::open()?) } else { None };
    let open = |path: &PathBuf| match &mapping {
        Some(mapping) => mapping.layer(path),
        None => open_layer(path),
    };
    let layers = lowers.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let writable = match upper {
        Some((upper, work)) => Some((open_layer(upper)?, open_layer(work)?)),
        None => None,
    };
    let label = label.map(str::to_owned);
    let overlay = Overlay { layers, writable, userxattr: *userxattr, volatile: *volatile, label };
    let tree = match (overlay.layers.as_slice(), &overlay.writable) {
        ([], _) => return Err(StepError::new(step(), "it has no layers")),
        // Overlay wants two lower directories where there is no upper one.
        ([(_, only)], None) if overlay.label.is_none() => copy_of(only).context(step)?,
        _ if *mapped => overlay.mount_on_attached(point).context(step)?,
        _ => match overlay.mount(point).context(step)? {
            Some(tree) => tree,
            None => return finish(point, *read_only),
        },
    };
    move_mount(&tree, "", CWD, point, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).context(step)?;
    finish(point, *read_only || overlay.writable.is_none())
}

fn finish(point: &Path, read_only: bool) -> Result<(), StepError> {
    let step = || format!("prepare the mount at {}", point.display());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, point, flags, Mode::empty()).context(step)?;
    let attr = MountAttr {
        set: if read_only { MOUNT_ATTR_RDONLY } else { 0 },
        propagation: u64::from(MountPropagationFlags::PRIVATE.bits()),
        ..MountAttr::default()
    };
    mount_setattr(root.as_fd(), &attr, false).context(step)
}

/// Takes away what [`attach`] has mounted; nothing there is no error.
pub(super) fn detach(point: &Path) {
    // Several may lie one on the other.
    detach_most(point, MOST_MOUNTS);
}

fn detach_most(point: &Path, most: usize) {
    for _ in 0..most {
        match unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT) => return,
            Err(error) => {
                let step = format!("unmount {}", point.display());
                return super::step::warn(&StepError::new(step, error));
            }
        }
    }
}

fn open_layer(path: &Path) -> Result<(String, OwnedFd), StepError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = openat(CWD, path, flags, Mode::empty())
        .context(|| format!("open layer {}", path.display()))?;
    Ok((path.to_string_lossy().into_owned(), dir))
}

/// Copies of layers with mapped ids. They are attached nowhere.
struct Mapping {
    user: OwnedFd,
}

impl Mapping {
    /// By the pod's user namespace.
    fn open() -> Result<Self, StepError> {
        let path = NamespaceKind::User.path();
        let user = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .context(|| "open the pod's user namespace")?;
        Ok(Self { user })
    }

    /// Without a path: it has no other name than its descriptor.
    fn layer(&self, path: &Path) -> Result<(String, OwnedFd), StepError> {
        let step = || {
            format!(
                "map the ids of {} (its file system may not support idmapped mounts)",
                path.display()
            )
        };
        let (_, dir) = open_layer(path)?;
        let tree = copy_of(&dir).context(step)?;
        let attr = MountAttr {
            set: MOUNT_ATTR_IDMAP,
            userns: Some(self.user.as_fd()),
            ..MountAttr::default()
        };
        mount_setattr(tree.as_fd(), &attr, false).context(step)?;
        Ok((String::new(), tree))
    }
}

fn copy_of(dir: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(dir, "", flags)
}

/// Layers, each with its path and open.
struct Overlay {
    layers: Vec<(String, OwnedFd)>,
    writable: Option<((String, OwnedFd), (String, OwnedFd))>,
    userxattr: bool,
    volatile: bool,
    /// Of SELinux.
    label: Option<String>,
}

impl Overlay {
    /// A detached mount, or `None` where the kernel could only mount at `point`.
    fn mount(&self, point: &Path) -> Result<Option<OwnedFd>, Errno> {
        let tree = self.mount_new()?;
        if tree.is_none() {
            self.mount_old(point)?;
        }
        Ok(tree)
    }

    /// The same of layers that are attached nowhere: at `point` meanwhile, as
    /// Linux wants before 6.15. To try without first would spoil the work
    /// directory of a volatile overlay. Nothing stays there.
    fn mount_on_attached(&self, point: &Path) -> Result<OwnedFd, Errno> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        let mounted = (|| {
            for (_, layer) in &self.layers {
                move_mount(layer, "", CWD, point, flags)?;
            }
            match self.mount(point)? {
                Some(tree) => Ok(tree),
                None => {
                    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
                    open_tree(CWD, point, clone)
                }
            }
        })();
        detach_most(point, self.layers.len() + 1);
        mounted
    }

    /// A detached mount, by the new interface; `None` if the kernel does not
    /// know `lowerdir+` (Linux 6.7). Before 6.5 that shows only in the end.
    fn mount_new(&self) -> Result<Option<OwnedFd>, Errno> {
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", "overlay")?;
        for layer in &self.layers {
            match fsconfig_set_string(&context, "lowerdir+", name(layer)) {
                Err(Errno::INVAL) => return Ok(None),
                other => other?,
            }
        }
        if let Some((upper, work)) = &self.writable {
            fsconfig_set_string(&context, "upperdir", name(upper))?;
            fsconfig_set_string(&context, "workdir", name(work))?;
        }
        if self.userxattr {
            fsconfig_set_flag(&context, "userxattr")?;
        }
        if self.volatile && self.writable.is_some() {
            fsconfig_set_flag(&context, "volatile")?;
        }
        if let Some(label) = &self.label {
            fsconfig_set_string(&context, "context", label.as_str())?;
        }
        match fsconfig_create(&context) {
            Err(Errno::INVAL) => return Ok(None),
            other => other?,
        }
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).map(Some)
    }

    fn mount_old(&self, point: &Path) -> Result<(), Errno> {
        let options = std::ffi::CString::new(self.options()).map_err(|_| Errno::INVAL)?;
        mount("overlay", point, "overlay", MountFlags::empty(), options.as_c_str())
    }

    /// For mount(2), which takes a page of them: descriptors make for short
    /// names without a character that has a meaning.
    fn options(&self) -> String {
        let lowers: Vec<String> = self.layers.iter().map(|(_, dir)| by_descriptor(dir)).collect();
        let mut options = format!("lowerdir={}", lowers.join(":"));
        if let Some(((_, upper), (_, work))) = &self.writable {
            let (upper, work) = (by_descriptor(upper), by_descriptor(work));
            options += &format!(",upperdir={upper},workdir={work}");
        }
        if self.userxattr {
            options += ",userxattr";
        }
        if self.volatile && self.writable.is_some() {
            options += ",volatile";
        }
        if let Some(label) = &self.label {
            // Categories have commas between them.
            options += &format!(",context=\"{label}\"");
        }
        options
    }
}

/// The layer's own name, for whoever looks at the mount, if it fits. Those
/// that mount(8) would have to escape are named by descriptor, too.
fn name((path, dir): &(String, OwnedFd)) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b",:\\".contains(&byte);
    if !path.is_empty() && path.len() <= LONGEST_STRING && path.bytes().all(plain) {
        path.clone()
    } else {
        by_descriptor(dir)
    }
}

fn by_descriptor(dir: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", dir.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn both_ways_to_mount_take_any_name_and_many_layers() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("left out: needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let odd = "a:b,c\\d e=".repeat(20);
        let layer = |number: u32| dir.path().join(format!("{odd}{number}"));
        for number in 0..60 {
            fs::create_dir(layer(number)).unwrap();
            fs::write(layer(number).join(number.to_string()), "x").unwrap();
        }
        let [upper, work, point] = ["upper", "work", "point"].map(|name| dir.path().join(name));
        for path in [&upper, &work, &point] {
            fs::create_dir(path).unwrap();
        }
        // In a thread: the namespace is its own.
        let test = || {
            enter_namespace().unwrap();
            isolate(&point).unwrap();
            let layers = (0..60).map(|number| open_layer(&layer(number)).unwrap()).collect();
            let writable = Some((open_layer(&upper).unwrap(), open_layer(&work).unwrap()));
            let overlay =
                Overlay { layers, writable, userxattr: false, volatile: false, label: None };
            let shows_all = || {
                let found = fs::read_dir(&point).unwrap().count();
                detach(&point);
                assert_eq!(found, 60);
            };
            assert!(!overlay.options().contains("context"));
            let label = Some("system_u:object_r:container_file_t:s0:c1,c2".to_owned());
            let labelled = Overlay {
                layers: Vec::new(),
                writable: None,
                userxattr: false,
                volatile: false,
                label,
            };
            let context = ",context=\"system_u:object_r:container_file_t:s0:c1,c2\"";
            assert!(labelled.options().ends_with(context), "{}", labelled.options());
            overlay.mount_old(&point).unwrap();
            shows_all();
            if let Some(tree) = overlay.mount_new().unwrap() {
                let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
                move_mount(&tree, "", CWD, &point, flags).unwrap();
                shows_all();
            }
            let layers = (0..60).map(|number| open_layer(&layer(number)).unwrap());
            let copies = layers.map(|(_, dir)| (String::new(), copy_of(&dir).unwrap())).collect();
            let writable = Some((open_layer(&upper).unwrap(), open_layer(&work).unwrap()));
            let overlay = Overlay {
                layers: copies,
                writable,
                userxattr: false,
                volatile: false,
                label: None,
            };
            let tree = overlay.mount_on_attached(&point).unwrap();
            assert_eq!(fs::read_dir(&point).unwrap().count(), 0, "layers stay attached");
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            move_mount(&tree, "", CWD, &point, flags).unwrap();
            shows_all();
            assert_eq!(fs::read_dir(&point).unwrap().count(), 0);
        };
        std::thread::scope(|scope| scope.spawn(test).join().unwrap());
    }
}
