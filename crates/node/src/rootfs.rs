//! A container's root file system, seen by the engine and by nobody else.
//!
//! Users are looked up in it, volumes are filled from it, `cp` reads and writes
//! it while the container does not run. The mount is attached nowhere: it goes
//! with its descriptor, whatever becomes of us.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use caisson_overlay::{Layer, Overlay};
use caisson_rootpath::{Root, RootPathError};
use caisson_sys::unshare::{Unshare, unshare, unshare_fs_attributes};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};

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
        let writable =
            if writable { Some((layer(&self.upper)?, layer(&self.work)?)) } else { None };
        // Overlay wants a second directory beside a single lower one.
        if let (None, [only]) = (&writable, lowers.as_slice()) {
            return Ok(Root::from_fd(only.copy().map_err(RootfsError::Mount)?)?);
        }
        let overlay = Overlay { lowers, writable, userxattr: self.userxattr, ..Overlay::default() };
        let tree = match overlay.mount_detached().map_err(RootfsError::Mount)? {
            Some(tree) => tree,
            None => self.mount_aside(&overlay)?,
        };
        Ok(Root::from_fd(tree)?)
    }

    /// In the mount namespace of a thread that ends at once. What is mounted there
    /// lives on by its descriptor.
    fn mount_aside(&self, overlay: &Overlay) -> Result<OwnedFd, RootfsError> {
        let work = || -> Result<OwnedFd, Errno> {
            let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
            unshare_fs_attributes().map_err(errno)?;
            unshare(Unshare::Mount).map_err(errno)?;
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private)?;
            overlay.mount_at(&self.upper)?;
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

fn layer(path: &Path) -> Result<Layer, RootfsError> {
    Layer::open(path).map_err(|source| RootfsError::Layer { path: path.to_owned(), source })
}
