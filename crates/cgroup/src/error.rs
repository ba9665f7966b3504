//! Errors shared by the modules of this crate.

use rustix::io::Errno;
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// One operation on one file or directory of a cgroup hierarchy failed.
#[derive(Debug, Clone, thiserror::Error)]
pub struct FileError {
    /// What was tried: `write`, `read`, `mkdir`, `rmdir`, `open` …
    pub action: &'static str,
    /// On which file or directory.
    pub path: PathBuf,
    /// The value that was to be written.
    pub value: Option<String>,
    /// The kernel's answer.
    pub errno: Errno,
}

impl FileError {
    /// Whether the kernel or the mount refuses on grounds of permission; also
    /// true for a read-only mount, which is what a container sees.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        matches!(self.errno, Errno::PERM | Errno::ACCESS | Errno::ROFS)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.action)?;
        if let Some(value) = &self.value {
            write!(f, "{value:?} to ")?;
        }
        write!(f, "{}: {}", self.path.display(), self.errno)
    }
}

/// A value of `linux.resources` can't be applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LimitError {
    /// The value makes no sense, whatever the kernel.
    #[error("{field}: {reason}")]
    Invalid {
        /// JSON path in `config.json`.
        field: Cow<'static, str>,
        /// What is wrong, with the value.
        reason: String,
    },
    /// The kernel refused the value.
    #[error("{field}: {source}")]
    Refused {
        /// JSON path in `config.json`.
        field: Cow<'static, str>,
        /// The file, the value and the errno.
        source: FileError,
    },
    /// The controller is not there, or the container could not get a cgroup of it.
    #[error("{field}: {reason}")]
    Unavailable {
        /// JSON path in `config.json`.
        field: Cow<'static, str>,
        /// Which controller, and why.
        reason: String,
    },
}

impl LimitError {
    pub(crate) fn invalid(
        field: impl Into<Cow<'static, str>>,
        reason: impl Into<String>,
    ) -> LimitError {
        LimitError::Invalid { field: field.into(), reason: reason.into() }
    }

    pub(crate) fn no_controller(field: impl Into<Cow<'static, str>>, name: &str) -> LimitError {
        LimitError::Unavailable {
            field: field.into(),
            reason: format!("the container has no cgroup of the controller `{name}`"),
        }
    }
}

/// Attaches the JSON path of a limit to a failed write.
pub(crate) trait InField<T> {
    fn in_field(self, field: &'static str) -> Result<T, LimitError>;
}

impl<T> InField<T> for Result<T, FileError> {
    fn in_field(self, field: &'static str) -> Result<T, LimitError> {
        self.map_err(|source| LimitError::Refused { field: Cow::Borrowed(field), source })
    }
}
