//! What can be wrong with a configuration.

use std::io;
use std::path::PathBuf;

/// Why a JSON document was refused; one line that names the document and the JSON path.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The document is larger than [`crate::SIZE_LIMIT`].
    #[error("{document}: larger than the limit of {limit} bytes")]
    TooLarge {
        /// Name of the document, such as `config.json`.
        document: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// Not JSON, or a value of the wrong type or out of its type's range.
    #[error("{document}: {}{reason}", prefix(path))]
    Parse {
        /// Name of the document.
        document: String,
        /// JSON path of the value; empty if it is the document itself.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A value that contradicts the specification, the kernel or another value.
    #[error("{document}: {}{reason}", prefix(path))]
    Invalid {
        /// Name of the document.
        document: String,
        /// JSON path of the value.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ConfigError {
    /// A [`ConfigError::Invalid`] about config.json, for checks that only the
    /// runtime can make.
    #[must_use]
    pub fn invalid(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid {
            document: "config.json".to_owned(),
            path: path.into(),
            reason: reason.into(),
        }
    }

    /// The JSON path of the value that was refused, if a value was.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Parse { path, .. } | Self::Invalid { path, .. } => Some(path),
            Self::Read { .. } | Self::TooLarge { .. } => None,
        }
    }
}

fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}
