//! Mounting layers as one file system, by whichever interface the kernel has.
//!
//! Layers go by descriptor or by name, as many as there are: fsconfig(2)'s
//! `lowerdir+` (Linux 6.7) takes them one by one, mount(2) a page of options.

use std::ffi::CString;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount,
    move_mount, open_tree, unmount,
};

/// Longest string that fsconfig(2) takes.
const LONGEST_STRING: usize = 255;

/// A directory that becomes part of an overlay.
#[derive(Debug)]
pub struct Layer {
    /// `None`: it has no name but its descriptor.
    path: Option<PathBuf>,
    dir: OwnedFd,
}

impl Layer {
    /// The directory at `path`.
    ///
    /// # Errors
    /// What openat(2) says.
    pub fn open(path: &Path) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(CWD, path, flags, Mode::empty())?;
        Ok(Self { path: Some(path.to_owned()), dir })
    }

    /// A copy of the mount that the directory is in, from there on, attached nowhere.
    ///
    /// # Errors
    /// What open_tree(2) says.
    pub fn copy(&self) -> Result<OwnedFd, Errno> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        open_tree(&self.dir, "", flags)
    }

    /// The layer's own name, for whoever looks at the mount, if it fits. Those
    /// that mount(8) would have to escape are named by descriptor, too.
    fn name(&self) -> String {
        let plain = |byte: u8| byte.is_ascii_graphic() && !b",:\\".contains(&byte);
        match self.path.as_deref().and_then(Path::to_str) {
            Some(text) if text.len() <= LONGEST_STRING && text.bytes().all(plain) => {
                text.to_owned()
            }
            _ => self.by_descriptor(),
        }
    }

    /// For other threads too: all have the same descriptors.
    fn by_descriptor(&self) -> String {
        format!("/proc/self/fd/{}", self.dir.as_raw_fd())
    }
}

/// A mount that is attached nowhere.
impl From<OwnedFd> for Layer {
    fn from(dir: OwnedFd) -> Self {
        Self { path: None, dir }
    }
}

/// What is to be mounted.
#[derive(Debug, Default)]
pub struct Overlay {
    /// Read-only layers, the top one first. Without a writable one there are two at least.
    pub lowers: Vec<Layer>,
    /// The writable layer, and overlay's work directory.
    pub writable: Option<(Layer, Layer)>,
    /// Whether overlay's marks are `user.*` attributes: in a user namespace.
    pub userxattr: bool,
    /// Whether the writable layer need not outlast a crash of the machine.
    pub volatile: bool,
    /// The SELinux label of its files.
    pub label: Option<String>,
}

impl Overlay {
    /// A detached mount, or `None` where the kernel could only mount it at `point`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn mount(&self, point: &Path) -> Result<Option<OwnedFd>, Errno> {
        let tree = self.mount_detached()?;
        if tree.is_none() {
            self.mount_at(point)?;
        }
        Ok(tree)
    }

    /// [`Self::mount`] of lower layers that are attached nowhere: they are at `point`
    /// meanwhile, as Linux wants before 6.15. To try without first would spoil the
    /// work directory of a volatile overlay. Nothing stays at `point`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn mount_on_attached(&self, point: &Path) -> Result<OwnedFd, Errno> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        let mounted = (|| {
            for layer in &self.lowers {
                move_mount(&layer.dir, "", CWD, point, flags)?;
            }
            match self.mount(point)? {
                Some(tree) => Ok(tree),
                None => {
                    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
                    open_tree(CWD, point, clone)
                }
            }
        })();
        let detach = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        for _ in 0..=self.lowers.len() {
            match unmount(point, detach) {
                Ok(()) => {}
                Err(Errno::INVAL | Errno::NOENT) => break,
                // A layer that stays in the way is worse than no mount.
                Err(error) => return Err(error),
            }
        }
        mounted
    }

    /// By fsopen(2); `None` if the kernel does not know `lowerdir+` (Linux 6.7),
    /// which before 6.5 shows only in the end.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn mount_detached(&self) -> Result<Option<OwnedFd>, Errno> {
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", "overlay")?;
        for layer in &self.lowers {
            match fsconfig_set_string(&context, "lowerdir+", layer.name()) {
                Err(Errno::INVAL) => return Ok(None),
                other => other?,
            }
        }
        if let Some((upper, work)) = &self.writable {
            fsconfig_set_string(&context, "upperdir", upper.name())?;
            fsconfig_set_string(&context, "workdir", work.name())?;
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

    /// By mount(2), at `point`.
    ///
    /// # Errors
    /// What the kernel says; `EINVAL` also if the options have a NUL in them.
    pub fn mount_at(&self, point: &Path) -> Result<(), Errno> {
        let options = CString::new(self.options()).map_err(|_| Errno::INVAL)?;
        mount("overlay", point, "overlay", MountFlags::empty(), options.as_c_str())
    }

    /// mount(2) takes a page of them: descriptors make for short names without a
    /// character that has a meaning.
    fn options(&self) -> String {
        let lowers: Vec<String> = self.lowers.iter().map(Layer::by_descriptor).collect();
        let mut options = format!("lowerdir={}", lowers.join(":"));
        if let Some((upper, work)) = &self.writable {
            let (upper, work) = (upper.by_descriptor(), work.by_descriptor());
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

#[cfg(test)]
mod tests {
    use std::fs;

    use caisson_sys::unshare::{Unshare, unshare};
    use rustix::mount::{MountPropagationFlags, mount_change};

    use super::*;

    #[test]
    fn options_name_descriptors_and_quote_labels() {
        let label = Some("system_u:object_r:container_file_t:s0:c1,c2".to_owned());
        let labelled = Overlay { label, ..Overlay::default() };
        let context = ",context=\"system_u:object_r:container_file_t:s0:c1,c2\"";
        assert!(labelled.options().ends_with(context), "{}", labelled.options());
        assert!(!Overlay::default().options().contains("context"));
    }

    #[test]
    fn each_way_to_mount_takes_any_name_and_many_layers() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("left out: needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let odd = "a:b,c\\d e=".repeat(20);
        let path = |number: u32| dir.path().join(format!("{odd}{number}"));
        for number in 0..60 {
            fs::create_dir(path(number)).unwrap();
            fs::write(path(number).join(number.to_string()), "x").unwrap();
        }
        let [upper, work, point] = ["upper", "work", "point"].map(|name| dir.path().join(name));
        for path in [&upper, &work, &point] {
            fs::create_dir(path).unwrap();
        }
        let attach = |tree: OwnedFd| {
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            move_mount(&tree, "", CWD, &point, flags).unwrap();
        };
        let shows = |count| {
            assert_eq!(fs::read_dir(&point).unwrap().count(), count);
        };
        let shows_all = || {
            shows(60);
            unmount(&point, UnmountFlags::DETACH).unwrap();
        };
        // In a thread: the namespace is its own.
        let test = || {
            unshare(Unshare::Mount).unwrap();
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private).unwrap();
            let writable = || Some((Layer::open(&upper).unwrap(), Layer::open(&work).unwrap()));
            let lowers = || (0..60).map(|number| Layer::open(&path(number)).unwrap());
            let overlay =
                Overlay { lowers: lowers().collect(), writable: writable(), ..Overlay::default() };
            overlay.mount_at(&point).unwrap();
            shows_all();
            if let Some(tree) = overlay.mount_detached().unwrap() {
                attach(tree);
                shows_all();
            }
            let copies = lowers().map(|layer| layer.copy().unwrap().into()).collect();
            let overlay = Overlay { lowers: copies, writable: writable(), ..Overlay::default() };
            let tree = overlay.mount_on_attached(&point).unwrap();
            shows(0);
            attach(tree);
            shows_all();
            shows(0);
        };
        std::thread::scope(|scope| scope.spawn(test).join().unwrap());
    }
}
