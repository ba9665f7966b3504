//! Failures of single steps.

use std::fmt::Display;

use caisson_isolator::SandboxError;

/// Names the step that a failure belongs to.
pub trait Context<T> {
    /// Wraps the failure of the step that `step` words.
    fn context<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T, SandboxError>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn context<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T, SandboxError> {
        self.map_err(|cause| SandboxError::step(step(), cause.to_string()))
    }
}

/// Says something on standard error that is no reason to fail.
pub fn warn(message: &dyn Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "warning: {message}");
}
