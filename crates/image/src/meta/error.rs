//! What can be wrong with the database.

use std::path::{Path, PathBuf};

/// Why the database of images could not be used.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// SQLite answered so.
    #[error("{action} {}: {source}", path.display())]
    Sqlite {
        /// What was tried.
        action: &'static str,
        /// The database.
        path: PathBuf,
        /// Why it failed.
        source: rusqlite::Error,
    },
    /// It was written by another version of Caisson.
    #[error(
        "{} has tables of version {found}, this program knows version {known}: \
         use the program that made it, or another --root", path.display()
    )]
    Version {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
}

impl MetaError {
    /// A closure for `map_err`.
    pub(crate) fn on(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(rusqlite::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Sqlite { action, path, source }
    }
}
