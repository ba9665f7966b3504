//! A container's root file system, seen by the engine and by nobody else.
//!
//! Users are looked up in it, volumes are filled from it, `cp` reads and writes
//! it while the container does not run. The mount is attached nowhere: it goes
//! with its descriptor, whatever becomes of us.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use caisson_rootpath::{Root, RootPathError};
use caisson_sys::unshare::{Unshare, unshare, unshare_fs_attributes};
use rustix::fs::{CWD, Mode, OFlags, open, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, mount_change,
    open_tree,
};

/// The layers of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    /// Read-only ones, the top one first.
    pub lowers: Vec<PathBuf>,
    /// The writable one.
    pub upper: PathBuf,
    /// Overlay's work directory.
    pub work: PathBuf,
    /// Whether overlay's marks are `user.*` attributes: in a user namespace.
    pub userxattr: bool,
}

/// Why a root file system can't be looked into.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// A layer can't be opened.
    #[error("cannot open layer {path}: {source}")]
    Layer {
        /// The layer.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
    /// The overlay can't be mounted.
    #[error("cannot mount the container's layers: {0}")]
    Mount(Errno),
    /// No thread for it.
    #[error("cannot start a thread to mount the container's layers: {0}")]
    Thread(std::io::Error),
    /// What was mounted is no root.
    #[error(transparent)]
    Root(#[from] RootPathError),
}

/// Longest string that fsconfig(2) takes.
const LONGEST: usize = 255;

impl Layers {
    /// What the image alone holds.
    ///
    /// # Errors
    /// [`RootfsError`].
    pub fn view_image(&self) -> Result<Root, RootfsError> {
        self.view(false)
    }

    /// What the container holds, writable. Not while it runs: two overlays on
    /// one writable layer do not get on.
    ///
    /// # Errors
    /// [`RootfsError`].
    pub fn view_container(&self) -> Result<Root, RootfsError> {
        self.view(true)
    }

    fn view(&self, writable: bool) -> Result<Root, RootfsError> {
        let lowers = self.lowers.iter().map(|path| layer(path)).collect::<Result<Vec<_>, _>>()?;
        let upper = if writable { Some((layer(&self.upper)?, layer(&self.work)?)) } else { None };
        // Overlay wants a second directory beside a single lower one.
        if let (None, [only]) = (&upper, lowers.as_slice()) {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_EMPTY_PATH;
            let tree = open_tree(only, "", flags).map_err(RootfsError::Mount)?;
            return Ok(Root::from_fd(tree)?);
        }
        if let Some(tree) = self.mount_new(&lowers, upper.as_ref())? {
            return Ok(Root::from_fd(tree)?);
        }
        Ok(Root::from_fd(self.mount_old(&lowers, upper.as_ref())?)?)
    }

    /// By the new interface; `None` if the kernel lacks `lowerdir+` (Linux 6.7),
    /// which shows only in the end before 6.5.
    fn mount_new(
        &self,
        lowers: &[OwnedFd],
        upper: Option<&(OwnedFd, OwnedFd)>,
    ) -> Result<Option<OwnedFd>, RootfsError> {
        let fail = RootfsError::Mount;
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(fail)?;
        for (path, fd) in self.lowers.iter().zip(lowers) {
            match fsconfig_set_string(&context, "lowerdir+", name(path, fd)) {
                Err(Errno::INVAL) => return Ok(None),
                other => other.map_err(fail)?,
            }
        }
        if let Some((dir, work)) = upper {
            fsconfig_set_string(&context, "upperdir", name(&self.upper, dir)).map_err(fail)?;
            fsconfig_set_string(&context, "workdir", name(&self.work, work)).map_err(fail)?;
        }
        if self.userxattr {
            fsconfig_set_flag(&context, "userxattr").map_err(fail)?;
        }
        match fsconfig_create(&context) {
            Err(Errno::INVAL) => return Ok(None),
            other => other.map_err(fail)?,
        }
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
            .map(Some)
            .map_err(fail)
    }

    /// By mount(2), in the mount namespace of a thread that ends at once. What
    /// is mounted there lives on by its descriptor.
    fn mount_old(
        &self,
        lowers: &[OwnedFd],
        upper: Option<&(OwnedFd, OwnedFd)>,
    ) -> Result<OwnedFd, RootfsError> {
        // A page of options: short names by descriptor, without a character
        // that has a meaning there.
        let list: Vec<String> = lowers.iter().map(by_descriptor).collect();
        let mut options = format!("lowerdir={}", list.join(":"));
        if let Some((dir, work)) = upper {
            options += &format!(",upperdir={},workdir={}", by_descriptor(dir), by_descriptor(work));
        }
        if self.userxattr {
            options += ",userxattr";
        }
        let options =
            std::ffi::CString::new(options).map_err(|_| RootfsError::Mount(Errno::INVAL))?;
        let work = || -> Result<OwnedFd, Errno> {
            let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
            unshare_fs_attributes().map_err(errno)?;
            unshare(Unshare::Mount).map_err(errno)?;
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private)?;
            mount("overlay", &self.upper, "overlay", MountFlags::empty(), options.as_c_str())?;
            open(&self.upper, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .spawn_scoped(scope, work)
                .map_err(RootfsError::Thread)?;
            let ended = || RootfsError::Thread(std::io::Error::other("it ended early"));
            thread.join().map_err(|_| ended())?.map_err(RootfsError::Mount)
        })
    }
}

fn layer(path: &Path) -> Result<OwnedFd, RootfsError> {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|source| RootfsError::Layer { path: path.to_owned(), source })
}

/// The path, or where that is too long a name of the descriptor.
fn name(path: &Path, fd: &OwnedFd) -> String {
    match path.to_str() {
        Some(text) if text.len() < LONGEST => text.to_owned(),
        _ => by_descriptor(fd),
    }
}

/// For the thread's own mounts too: all threads have the same descriptors.
fn by_descriptor(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}
