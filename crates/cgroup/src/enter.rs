//! Moving the calling process to a cgroup that it shares with others.

use crate::cgroup::Cgroup;
use crate::config::{CgroupConfig, Driver};
use crate::create::CreateError;
use crate::error::{FileError, LimitError};
use crate::join::JoinError;
use crate::layout::Layout;

/// Why a process could not move itself.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The path is not one from a hierarchy's root.
    #[error("cgroup {0:?}: an absolute path of a cgroup is needed, such as /caisson/supervisors")]
    Path(String),
    /// The cgroup could not be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// Its CPUs or memory nodes could not be set.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// It can't be opened.
    #[error("can't join cgroup {path}: {source}")]
    Open {
        /// The cgroup.
        path: String,
        /// The file and the errno.
        source: FileError,
    },
    /// The kernel refused.
    #[error("cgroup {path}: {source}")]
    Join {
        /// The cgroup.
        path: String,
        /// The hierarchy that refused.
        source: JoinError,
    },
}

impl Cgroup {
    /// Moves the calling process, which must have one thread only, to the cgroup
    /// of this absolute path in every hierarchy. Makes it, without limits, where
    /// it is missing; others may be in it.
    ///
    /// # Errors
    /// [`EnterError`]. The process may have moved in some hierarchies.
    pub fn enter(path: &str) -> Result<(), EnterError> {
        if !path.starts_with('/') {
            return Err(EnterError::Path(path.to_owned()));
        }
        let config = CgroupConfig {
            id: "",
            cgroups_path: Some(path),
            driver: Driver::Cgroupfs,
            rootless: false,
            scope_prefix: "",
        };
        let layout = Layout::detect().map_err(CreateError::from)?;
        let (cgroup, _) = Cgroup::make_in(layout, &config, None)?;
        crate::v1::cpuset::inherit(&cgroup, None)?;
        let open = |source| EnterError::Open { path: path.to_owned(), source };
        let joiner = cgroup.joiner_by_write().map_err(open)?;
        joiner.join_self().map_err(|source| EnterError::Join { path: path.to_owned(), source })
    }
}
