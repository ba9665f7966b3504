//! What can go wrong between a client and a supervisor.

use std::path::PathBuf;

use crate::Fault;
use crate::wire::WireError;

/// Why a supervisor did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens. Whether a supervisor lives, only its lock tells.
    #[error("no supervisor listens in {pod_dir}: {cause}")]
    NotListening {
        /// The pod's directory.
        pod_dir: PathBuf,
        /// What connecting said.
        cause: std::io::Error,
    },
    /// The supervisor refused, or failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The conversation broke off.
    #[error("{request}: the supervisor in {pod_dir} did not answer: {cause}")]
    Broken {
        /// The pod's directory.
        pod_dir: PathBuf,
        /// What was asked.
        request: &'static str,
        /// Why.
        cause: String,
    },
}

impl ClientError {
    /// The supervisor's own answer, if it gave one.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Fault(fault) => Some(fault),
            _ => None,
        }
    }
}

/// Text of a [`WireError`] for a client with a time limit.
pub(super) fn cause(error: &WireError) -> String {
    match error {
        WireError::Socket(rustix::io::Errno::AGAIN) => "it takes too long".to_owned(),
        other => other.to_string(),
    }
}
