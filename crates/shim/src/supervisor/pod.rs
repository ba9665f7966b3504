//! What a supervisor has for as long as it lives.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use caisson_isolator::ContainerId;
use caisson_runtime_spec::Spec;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, renameat, unlinkat};

use super::engine::Engine;
use super::step::{Context as _, StepError};
use crate::{ContainerConfig, ExitRecord, PodConfig, names};

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

    pub(super) fn bundle(&self) -> PathBuf {
        self.path.join(names::BUNDLE)
    }

    /// Where the root file system is mounted.
    pub(super) fn rootfs(&self) -> PathBuf {
        self.bundle().join("rootfs")
    }

    /// Writes a container's exit record, whole or not at all.
    pub(super) fn save_exit(&self, id: &ContainerId, record: &ExitRecord) -> Result<(), StepError> {
        let step = || format!("write the exit record of {id} in {}", self.path.display());
        let dir = self.path.join(names::EXIT);
        let text = serde_json::to_vec(record).context(step)?;
        std::fs::create_dir_all(&dir).context(step)?;
        std::fs::write(self.path.join("exit.new"), text).context(step)?;
        // Both by the descriptor, whose mount may not be the path's.
        let name = format!("{}/{id}", names::EXIT);
        renameat(&self.fd, "exit.new", &self.fd, name).context(step)
    }

    pub(super) fn remove_socket(&self) {
        let _ = unlinkat(&self.fd, names::SOCKET, AtFlags::empty());
    }
}

/// A pod, claimed and configured.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) dir: PodDir,
    pub(super) config: PodConfig,
    pub(super) container: ContainerConfig,
    pub(super) id: ContainerId,
    pub(super) spec: Spec,
    pub(super) engine: Engine,
    /// What the container is to have, if we have another.
    pub(super) oom_score: Option<String>,
    /// Streams that the launcher gave the container, for its first run.
    pub(super) given_streams: Option<[OwnedFd; 3]>,
    /// The network namespace and what else is kept open.
    pub(super) _held: Vec<OwnedFd>,
}

impl Pod {
    pub(super) fn has_terminal(&self) -> bool {
        self.spec.process.as_ref().is_some_and(|process| process.terminal)
    }
}
