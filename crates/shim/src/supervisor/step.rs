//! A failed step and its cause.

use std::fmt::Display;

use caisson_isolator::SandboxError;

use crate::{Fault, FaultKind};

/// What was tried and why it failed; or what the isolator said.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    /// A step of the supervisor's own.
    #[error("{step}: {cause}")]
    Step { step: String, cause: String },
    /// A step of the isolator's.
    #[error(transparent)]
    Isolator(#[from] SandboxError),
}

impl StepError {
    pub(super) fn new(step: impl Into<String>, cause: impl Display) -> Self {
        Self::Step { step: step.into(), cause: cause.to_string() }
    }
}

impl From<StepError> for Fault {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Step { .. } => Self::new(FaultKind::Failed, error.to_string()),
            StepError::Isolator(error) => Self::of_isolator(&error),
        }
    }
}

/// Says what was tried.
pub(super) trait Context<T> {
    fn context<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T, StepError>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn context<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T, StepError> {
        self.map_err(|cause| StepError::new(step(), cause))
    }
}

/// Says something on standard error, which is the pod's `shim.log`.
pub(super) fn warn(message: &dyn Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "warning: {message}");
}
