//! What is kept of containers, volumes and events, in SQLite.
//!
//! The database holds configuration and what was last known. What a container
//! does now is asked of its supervisor.

mod containers;
mod events;
mod pod_record;
mod pods;
mod record;
mod volumes;

pub use events::{Event, EventFilter, EventKind};
pub use pod_record::{
    ContainerDocument, ContainerOutcome, PodContainerRecord, PodDocument, PodOutcome, PodPhase,
    PodRecord,
};
pub use pods::Listed;
pub use record::{ContainerRecord, Document, MountRecord, NetworkRecord, Outcome, Phase, Program};
pub use volumes::{Forgotten, VolumeRecord};

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};

/// Why the database did not answer.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// It can't be opened.
    #[error("cannot open the database {path}: {}{source}", if_full(source))]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A statement failed.
    #[error("cannot {what} in the database: {source}")]
    Statement {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// A row holds what this version does not know.
    #[error("the database's entry of {id} cannot be read: {source}")]
    Document {
        /// The container.
        id: String,
        /// Why.
        source: serde_json::Error,
    },
    /// It was made by a later version.
    #[error(
        "the database is of version {found}, this program knows {known}: use a newer caisson, or another --root"
    )]
    Newer {
        /// What the file says.
        found: i64,
        /// What we know.
        known: i64,
    },
    /// The name is another container's.
    #[error(
        "the name {name:?} is in use by container {}: remove or rename that one, or take another name",
        crate::identity::short(holder)
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The id of who has it.
        holder: String,
    },
    /// The directory of a volume can't be moved away.
    #[error("cannot move the directory of volume {name} away: {source}")]
    PutAside {
        /// The volume.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing fits the name.
    #[error("no container is called {0:?}, and no id starts so (caisson ps -a lists them)")]
    NotFound(String),
    /// Several ids start so.
    #[error("{prefix:?} is the start of several ids: {}", ids.join(", "))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// Short ids that fit.
        ids: Vec<String>,
    },
}

/// A word before what SQLite says if no space is left: of its index of the log, which
/// whoever opens a database first makes anew, it says "disk I/O error".
fn if_full(error: &rusqlite::Error) -> &'static str {
    // SQLITE_FULL, SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_SHMMAP
    const FULL: [i32; 3] = [13, 10 | 19 << 8, 10 | 21 << 8];
    match error.sqlite_extended_error_code() {
        Some(code) if FULL.contains(&code) => "its file system is full, make room: ",
        _ => "",
    }
}

/// What failed, for [`MetadataError::Statement`].
fn during(what: &'static str) -> impl Fn(rusqlite::Error) -> MetadataError {
    move |source| MetadataError::Statement { what, source }
}

/// The database, by a connection of its own.
#[derive(Debug)]
pub struct Metadata {
    connection: Connection,
}

/// Of the tables whose names begin with `node_`.
const VERSION: i64 = 3;

/// What leads from each version to the next one, the first from 1 to 2.
const STEPS: [&str; 2] =
    ["ALTER TABLE node_volumes ADD COLUMN labels TEXT NOT NULL DEFAULT '{}'", PODS];

const PODS: &str = "
CREATE TABLE IF NOT EXISTS node_pods (
    id TEXT PRIMARY KEY NOT NULL,
    phase TEXT NOT NULL,
    created INTEGER NOT NULL,
    document TEXT NOT NULL,
    outcome TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS node_pod_containers (
    id TEXT PRIMARY KEY NOT NULL,
    pod TEXT NOT NULL,
    phase TEXT NOT NULL,
    created INTEGER NOT NULL,
    document TEXT NOT NULL,
    outcome TEXT NOT NULL
) WITHOUT ROWID;
";

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS node_version (version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS node_containers (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    phase TEXT NOT NULL,
    created INTEGER NOT NULL,
    document TEXT NOT NULL,
    outcome TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS node_volumes (
    name TEXT PRIMARY KEY NOT NULL,
    created INTEGER NOT NULL,
    anonymous INTEGER NOT NULL,
    owner TEXT,
    labels TEXT NOT NULL DEFAULT '{}'
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS node_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    kind TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    attributes TEXT NOT NULL
);
";

impl Metadata {
    /// Opens the database, and makes its tables if they are missing.
    ///
    /// # Errors
    /// [`MetadataError::Open`], [`MetadataError::Newer`].
    pub fn open(path: &Path) -> Result<Self, MetadataError> {
        let fail = |source| MetadataError::Open { path: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(fail)?;
        connection.busy_timeout(Duration::from_secs(30)).map_err(fail)?;
        // Closing must not wait for the disk; the next writer tidies up.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(fail)?;
        caisson_image::use_write_ahead_log(&connection).map_err(fail)?;
        connection.execute_batch("PRAGMA synchronous=NORMAL;").map_err(fail)?;
        match version(&connection) {
            Some(VERSION) => {}
            Some(found) if found > VERSION => {
                return Err(MetadataError::Newer { found, known: VERSION });
            }
            Some(_) => upgrade(&mut connection).map_err(fail)?,
            None => {
                let transaction = connection
                    .transaction_with_behavior(TransactionBehavior::Immediate)
                    .map_err(fail)?;
                transaction.execute_batch(TABLES).map_err(fail)?;
                transaction.execute_batch(PODS).map_err(fail)?;
                if version(&transaction).is_none() {
                    transaction
                        .execute("INSERT INTO node_version (version) VALUES (?1)", [VERSION])
                        .map_err(fail)?;
                }
                transaction.commit().map_err(fail)?;
            }
        }
        Ok(Self { connection })
    }

    /// A number that changes when another connection has written.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn data_version(&self) -> Result<i64, MetadataError> {
        self.connection
            .query_row("PRAGMA data_version", [], |row| row.get(0))
            .map_err(during("look for changes"))
    }

    fn immediate(
        &mut self,
        what: &'static str,
    ) -> Result<rusqlite::Transaction<'_>, MetadataError> {
        self.connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(during(what))
    }
}

/// Brings the tables to [`VERSION`], unless somebody else was faster.
fn upgrade(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction).unwrap_or(VERSION);
    for step in STEPS.iter().skip(usize::try_from(found - 1).unwrap_or_default()) {
        transaction.execute_batch(step)?;
    }
    transaction.execute("UPDATE node_version SET version = ?1", [VERSION])?;
    transaction.commit()
}

fn version(connection: &Connection) -> Option<i64> {
    connection.query_row("SELECT version FROM node_version", [], |row| row.get(0)).ok()
}

/// Nanoseconds since 1970 as SQLite's integer.
fn to_integer(nanos: u64) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

fn from_integer(nanos: i64) -> u64 {
    u64::try_from(nanos).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_system_is_told_in_plain_words() {
        let told = |code| {
            let source = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            MetadataError::Open { path: "/state/meta.db".into(), source }.to_string()
        };
        for full in [13, 4874] {
            assert!(told(full).contains("is full"), "{}", told(full));
        }
        assert!(!told(14).contains("is full"), "{}", told(14));
    }

    #[test]
    fn an_older_database_is_brought_up_and_a_newer_one_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("meta.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(
            "CREATE TABLE node_version (version INTEGER NOT NULL);
             INSERT INTO node_version (version) VALUES (1);
             CREATE TABLE node_volumes (name TEXT PRIMARY KEY NOT NULL, created INTEGER NOT NULL,
                 anonymous INTEGER NOT NULL, owner TEXT) WITHOUT ROWID;
             INSERT INTO node_volumes VALUES ('kept', 1, 0, NULL);",
        )
        .unwrap();
        for _ in 0..2 {
            let metadata = Metadata::open(&path).unwrap();
            assert_eq!(metadata.volume("kept").unwrap().unwrap().labels.len(), 0);
        }
        old.execute("UPDATE node_version SET version = ?1", [VERSION + 1]).unwrap();
        assert!(matches!(Metadata::open(&path), Err(MetadataError::Newer { .. })));
    }
}
