//! What can go wrong while measuring.

use std::path::PathBuf;

/// A measurement that could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error(
        "{0}\nusage: caisson-bench native|memory-floor|churn|image|cri [options]; --help lists them"
    )]
    Usage(String),
    #[error("{action} {}: {source}", path.display())]
    Path { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{action}: {source}")]
    System { action: &'static str, source: std::io::Error },
    #[error("{command}: {reason}")]
    Runtime { command: String, reason: String },
    #[error("{}: {source}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("no static busybox at /bin/busybox: run conformance/peers/install.sh apt")]
    NoBusybox,
    #[error("{}: no such runtime; build it, or name one with --runtime", .0.display())]
    NoRuntime(PathBuf),
    #[error("the measurer said {0:?}, which is not a measurement")]
    Measurer(String),
}

impl BenchError {
    /// Wraps an I/O error with what was tried on which path.
    pub(crate) fn path(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Path { action, path, source }
    }

    /// Wraps an I/O error with what was tried.
    pub(crate) fn system<E: Into<std::io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System { action, source: source.into() }
    }
}
