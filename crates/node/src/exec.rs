//! Further programs in a container that runs.

use std::path::{Path, PathBuf};

use caisson_rootpath::{Root, RootPathError};
use caisson_runtime_spec::{ConfigError, Process, Spec};
use caisson_shim::names;

use crate::engine::Engine;
use crate::lifecycle::ContainerView;
use crate::oci_spec::user::{UserError, look_up};
use crate::oci_spec::{ExecProcess, exec_process};

/// Why a program can't be run.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The container's configuration can't be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It has no process.
    #[error("{0} has no process to follow")]
    NoProcess(PathBuf),
    /// The working directory is not absolute.
    #[error("working directory {0:?} is not absolute")]
    WorkingDir(String),
    /// A variable has no name.
    #[error("{0:?} is no variable: NAME=VALUE is needed")]
    Variable(String),
    /// The container's root file system.
    #[error(transparent)]
    Root(#[from] RootPathError),
    /// There is no such user.
    #[error(transparent)]
    User(#[from] UserError),
    /// It has no first process at the moment.
    #[error("container {0} has no process at the moment")]
    Gone(String),
}

impl Engine {
    /// What the supervisor is to run for `exec`, as `user` if that is not the
    /// container's own.
    ///
    /// # Errors
    /// [`ExecError`].
    pub fn exec_process(
        &self,
        view: &ContainerView,
        exec: &ExecProcess,
        user: Option<&str>,
    ) -> Result<Process, ExecError> {
        let id = &view.record.id;
        let path = self.paths.pod(id).join(names::BUNDLE).join("config.json");
        let first = Spec::load(&path)?.process.ok_or(ExecError::NoProcess(path))?;
        if let Some(directory) = &exec.working_dir
            && !directory.starts_with('/')
        {
            return Err(ExecError::WorkingDir(directory.clone()));
        }
        if let Some(bad) =
            exec.env.iter().find(|variable| variable.find('=').is_none_or(|at| at == 0))
        {
            return Err(ExecError::Variable(bad.clone()));
        }
        let identity = match user {
            Some(user) => {
                let root = self.live_root(view)?;
                Some(look_up(&root, user, &view.record.document.request.group_add)?)
            }
            None => None,
        };
        Ok(exec_process(&first, &view.record.document.program, exec, identity.as_ref()))
    }

    /// The root file system of a container that runs: mounts included, as its first
    /// process sees it, or without them, as its supervisor does, if that process has no
    /// root itself (its kernel is the container's own).
    pub(crate) fn live_root(&self, view: &ContainerView) -> Result<Root, ExecError> {
        let gone = || ExecError::Gone(view.record.name.clone());
        let live = view.live.as_ref().ok_or_else(gone)?;
        let pid = live.pid.ok_or_else(gone)?;
        let own = PathBuf::from(format!("/proc/{pid}/root"));
        let is_empty = std::fs::read_dir(&own).is_ok_and(|mut names| names.next().is_none());
        if !is_empty {
            return Ok(Root::open(&own)?);
        }
        let bundle = self.paths.pod(&view.record.id).join(names::BUNDLE).join("rootfs");
        let below = bundle.strip_prefix("/").unwrap_or(&bundle);
        Ok(Root::open(
            &Path::new("/proc").join(live.shim_pid.to_string()).join("root").join(below),
        )?)
    }
}
