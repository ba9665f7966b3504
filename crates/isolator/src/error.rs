//! What can go wrong at the seam.

use caisson_runtime_spec::ConfigError;

use crate::{ContainerStatus, InvalidId};

/// Why an isolator could not do what was asked. The message is one line for
/// the user, naming the container and what was tried.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The name is no name.
    #[error(transparent)]
    InvalidId(#[from] InvalidId),
    /// The name is taken.
    #[error("container with id {0:?} already exists")]
    Exists(String),
    /// There is no such container.
    #[error("container {0:?} does not exist")]
    NotFound(String),
    /// The operation does not fit the container's state.
    #[error("cannot {operation} container {id:?}: it is {status}")]
    WrongStatus {
        /// The container.
        id: String,
        /// What was asked.
        operation: &'static str,
        /// What it is.
        status: ContainerStatus,
    },
    /// The configuration is malformed or contradicts itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// This isolator can't do that.
    #[error("{isolator} cannot {operation}")]
    Unsupported {
        /// The isolator's name.
        isolator: &'static str,
        /// What was asked.
        operation: String,
    },
    /// A step failed on the host or inside the container.
    #[error("{step}: {source}")]
    Step {
        /// What was tried, on what.
        step: String,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl SandboxError {
    /// Wraps `source` as the failure of `step`.
    pub fn step(
        step: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Step { step: step.into(), source: source.into() }
    }
}
