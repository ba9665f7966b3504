//! Errors of the command line, in the words that runc's callers look for.

use std::io;

use caisson_isolator::SandboxError;
use caisson_runtime_spec::ConfigError;

/// Why a command did not do what was asked; displays as one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// `--help` after a command; not an error for the user.
    #[error("help requested")]
    HelpAsked,
    /// The command line is malformed.
    #[error("{0}")]
    Usage(String),
    /// There is no such command.
    #[error("No help topic for '{0}'")]
    UnknownCommand(String),
    /// Well-formed, but it can't be done.
    #[error("{0}")]
    Refused(String),
    /// containerd and CRI-O look for "container does not exist".
    #[error("container does not exist: {0:?}")]
    NotFound(String),
    /// Callers look for "already exists".
    #[error("container with given ID already exists: {0:?}")]
    Exists(String),
    /// What the engine said.
    #[error("{0}")]
    Sandbox(SandboxError),
    /// What the configuration's reader said.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A system call failed.
    #[error("{step}: {source}")]
    Io {
        /// What was tried, on what.
        step: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A command that says which one it was.
    #[error("{heading}: {source}")]
    Within {
        /// What failed as a whole.
        heading: String,
        /// The exit code.
        code: u8,
        /// Why it failed.
        source: Box<CliError>,
    },
}

impl CliError {
    pub(crate) fn io(step: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { step: step.into(), source: source.into() }
    }

    pub(crate) fn within(self, heading: impl Into<String>, code: u8) -> Self {
        Self::Within { heading: heading.into(), code, source: Box::new(self) }
    }

    /// The program's exit code for this error.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Within { code, .. } => *code,
            Self::UnknownCommand(_) => 3,
            _ => 1,
        }
    }
}

impl From<SandboxError> for CliError {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::NotFound(id) => Self::NotFound(id),
            SandboxError::Exists(id) => Self::Exists(id),
            SandboxError::Config(error) => Self::Config(error),
            other => Self::Sandbox(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CliError;
    use caisson_isolator::SandboxError;

    #[test]
    fn callers_find_the_words_they_look_for() {
        let text = |error: SandboxError| CliError::from(error).to_string();
        let absent = text(SandboxError::NotFound("c1".into()));
        assert!(absent.contains("container does not exist") && absent.contains("c1"), "{absent}");
        let taken = text(SandboxError::Exists("c1".into()));
        assert!(taken.contains("already exists") && taken.contains("c1"), "{taken}");
    }

    #[test]
    fn exit_codes_are_runcs() {
        let refused = || CliError::Refused("no".into());
        assert_eq!(refused().exit_code(), 1);
        assert_eq!(CliError::UnknownCommand("x".into()).exit_code(), 3);
        let exec = refused().within("exec failed", 255);
        assert_eq!((exec.exit_code(), exec.to_string().as_str()), (255, "exec failed: no"));
    }
}
