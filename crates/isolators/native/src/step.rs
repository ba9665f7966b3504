//! Failures of single steps, worded as runc's callers expect them.

use std::io;

use caisson_isolator::SandboxError;
use caisson_rootpath::RootPathError;
use rustix::io::Errno;

/// A step that failed. Travels from the container's first process to the
/// runtime as text.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {cause}")]
pub(crate) struct StepError {
    step: String,
    cause: String,
}

impl StepError {
    pub(crate) fn new(step: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { step: step.into(), cause: cause.into() }
    }

    /// Step and cause in one text that [`crate::channel`] can take apart.
    pub(crate) fn wire(&self) -> String {
        format!("{}\x1f{}", self.step, self.cause)
    }
}

impl From<StepError> for SandboxError {
    fn from(error: StepError) -> Self {
        Self::Step { step: error.step, source: error.cause.into() }
    }
}

/// Why a step failed, in words.
pub(crate) trait Cause {
    /// Container engines look for the kernel's error texts in lower case.
    fn cause(self) -> String;
}

impl Cause for Errno {
    fn cause(self) -> String {
        io::Error::from(self).cause()
    }
}

impl Cause for io::Error {
    fn cause(self) -> String {
        let text = self.to_string();
        let Some(errno) = self.raw_os_error() else { return text };
        let plain = text.strip_suffix(&format!(" (os error {errno})")).unwrap_or(&text);
        let mut chars = plain.chars();
        chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
    }
}

impl Cause for RootPathError {
    fn cause(self) -> String {
        let text = self.to_string();
        match self.errno() {
            None => text,
            Some(errno) => {
                let long = io::Error::from(errno).to_string();
                text.replace(&long, &errno.cause())
            }
        }
    }
}

impl Cause for String {
    fn cause(self) -> String {
        self
    }
}

impl Cause for &str {
    fn cause(self) -> String {
        self.to_owned()
    }
}

impl Cause for StepError {
    fn cause(self) -> String {
        self.to_string()
    }
}

/// Names the step that a failure belongs to.
pub(crate) trait Context<T> {
    /// Wraps the failure of the step that `step` words.
    fn context<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T, StepError>;
}

impl<T, E: Cause> Context<T> for Result<T, E> {
    fn context<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T, StepError> {
        self.map_err(|error| StepError::new(step(), error.cause()))
    }
}

#[cfg(test)]
mod tests {
    use super::Context;
    use rustix::io::Errno;

    #[test]
    fn kernel_errors_read_as_engines_expect() {
        let error = Err::<(), _>(Errno::NOENT).context(|| "exec: \"/x\"").unwrap_err();
        assert_eq!(error.to_string(), "exec: \"/x\": no such file or directory");
    }
}
