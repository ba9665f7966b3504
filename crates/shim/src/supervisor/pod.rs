//! What a supervisor has for as long as it lives.

use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use caisson_isolator::ContainerId;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, openat, renameat, statat, unlinkat};

use super::engine::Engine;
use super::host_mounts::MountView;
use super::job::Mounted;
use super::step::{Context as _, StepError};
use crate::{ContainerConfig, ExitRecord, NamespaceKind, PodConfig, names};

/// How often a directory is emptied in which others make files.
const REMOVALS: u32 = 16;

/// A pod's directory, open.
#[derive(Debug)]
pub(super) struct PodDir {
    pub(super) path: PathBuf,
    pub(super) fd: OwnedFd,
}

impl PodDir {
    pub(super) fn open(path: PathBuf) -> Result<Self, StepError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, &path, flags, Mode::empty())
            .context(|| format!("open the pod's directory {}", path.display()))?;
        Ok(Self { path, fd })
    }

    /// Takes the lock that shows that a supervisor lives; `None` if one does.
    pub(super) fn lock(&self) -> Result<Option<OwnedFd>, StepError> {
        let step = || format!("lock {}", self.path.join(names::LOCK).display());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file =
            openat(&self.fd, names::LOCK, flags, Mode::from_raw_mode(0o600)).context(step)?;
        let locked = caisson_sys::file_lock::try_lock(file.as_fd()).context(step)?;
        Ok(locked.then_some(file))
    }

    pub(super) fn config(&self) -> Result<PodConfig, StepError> {
        let path = self.path.join(names::CONFIG);
        let step = || format!("read {}", path.display());
        let text = std::fs::read(&path).context(step)?;
        serde_json::from_slice(&text).context(step)
    }

    pub(super) fn bundle(&self, container: &ContainerConfig) -> PathBuf {
        container.bundle.clone().unwrap_or_else(|| self.path.join(names::BUNDLE))
    }

    /// Where mounts for a container are.
    pub(super) fn mounted(&self, container: &ContainerConfig) -> Mounted {
        let rootfs = self.bundle(container).join("rootfs");
        Mounted { rootfs, sources: self.sources(container) }
    }

    /// Where the host's mounts are attached that its bind mounts show.
    pub(super) fn sources(&self, container: &ContainerConfig) -> PathBuf {
        self.path.join(names::MOUNTS).join(&container.id)
    }

    /// Forgets what an earlier supervisor has left there.
    pub(super) fn clear(&self) -> Result<(), StepError> {
        for name in [names::CONTAINERS, names::EXIT, names::MOUNTS] {
            let dir = self.path.join(name);
            let step = || format!("make {} anew", dir.display());
            match std::fs::remove_dir_all(&dir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).context(step);
                }
                _ => {}
            }
            std::fs::DirBuilder::new().mode(0o700).create(&dir).context(step)?;
        }
        Ok(())
    }

    /// Notes a container before anything is made of it.
    pub(super) fn remember(&self, container: &ContainerConfig) -> Result<(), StepError> {
        let id = &container.id;
        let step = || format!("note container {id} in {}", self.path.display());
        let text = serde_json::to_vec(container).context(step)?;
        self.replace(&format!("{}/{id}", names::CONTAINERS), &text).context(step)
    }

    /// The containers that were noted.
    pub(super) fn remembered(&self) -> Result<Vec<ContainerId>, StepError> {
        let dir = self.path.join(names::CONTAINERS);
        let step = || format!("list {}", dir.display());
        let entries = match std::fs::read_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.context(step)?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.context(step)?.file_name();
            found.extend(name.to_str().and_then(|name| name.parse().ok()));
        }
        Ok(found)
    }

    /// Takes back the notes of a container of which nothing is left.
    pub(super) fn forget(&self, id: &ContainerId) {
        for name in [names::EXIT, names::CONTAINERS] {
            let _ = unlinkat(&self.fd, format!("{name}/{id}"), AtFlags::empty());
        }
    }

    /// Writes a container's exit record, whole or not at all.
    pub(super) fn save_exit(&self, id: &ContainerId, record: &ExitRecord) -> Result<(), StepError> {
        let step = || format!("write the exit record of {id} in {}", self.path.display());
        let text = serde_json::to_vec(record).context(step)?;
        self.replace(&format!("{}/{id}", names::EXIT), &text).context(step)
    }

    /// All by the descriptor, whose mount may not be the path's.
    fn replace(&self, name: &str, text: &[u8]) -> std::io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = openat(&self.fd, "new", flags | OFlags::NOFOLLOW, Mode::from_raw_mode(0o600))?;
        std::fs::File::from(file).write_all(text)?;
        Ok(renameat(&self.fd, "new", &self.fd, name)?)
    }

    /// Whether its path still leads to it.
    pub(super) fn is_there(&self) -> bool {
        let here = statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW);
        let (Ok(here), Ok(own)) = (here, fstat(&self.fd)) else { return false };
        (here.st_dev, here.st_ino) == (own.st_dev, own.st_ino)
    }

    /// Removes the directory and all in it, unless another has come in its place.
    /// For who holds its lock.
    pub(super) fn remove(&self) -> Result<(), StepError> {
        if !self.is_there() {
            return Ok(());
        }
        let step = || format!("remove {}", self.path.display());
        // At once: another may come in its place.
        let gone = self.path.with_extension(names::GONE);
        let _ = std::fs::remove_dir_all(&gone);
        std::fs::rename(&self.path, &gone).context(step)?;
        // Who has opened it before may still make its lock in it, once.
        let mut removed = std::fs::remove_dir_all(&gone);
        for _ in 0..REMOVALS {
            match &removed {
                Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
                    removed = std::fs::remove_dir_all(&gone);
                }
                _ => break,
            }
        }
        removed.context(step)
    }

    pub(super) fn remove_task_socket(&self) {
        let _ = unlinkat(&self.fd, names::TASK_SOCKET, AtFlags::empty());
    }

    pub(super) fn remove_socket(&self) {
        for name in [names::SOCKET, names::TASK_SOCKET] {
            let _ = unlinkat(&self.fd, name, AtFlags::empty());
        }
    }
}

/// A pod, claimed and configured.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) dir: PodDir,
    pub(super) config: PodConfig,
    pub(super) engine: Engine,
    /// Our own program.
    pub(super) program: PathBuf,
    /// What containers are to have, if we have another.
    pub(super) oom_score: Option<String>,
    /// The mounts of whoever started us.
    pub(super) host: MountView,
    /// The pod's namespaces.
    pub(super) namespaces: Vec<(NamespaceKind, OwnedFd)>,
    /// What else is kept open, the lock among it.
    pub(super) _held: Vec<OwnedFd>,
}
