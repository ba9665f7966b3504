//! The image tables of `meta.db` (SQLite in WAL mode, several processes).
//!
//! Writing transactions are IMMEDIATE, so that two writers wait for each other
//! and never fail half-way. `caisson-node` keeps its own tables in the same
//! file, by its own connection.

mod error;
mod images;
mod leases;
mod record;
mod uses;
mod wal;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

pub use error::MetaError;
pub(crate) use images::{NewImage, Removed};
pub(crate) use leases::{Kind, delete_lease, leases, needed};
pub use record::{ImageRecord, SnapshotFormat};
pub use wal::use_write_ahead_log;

const SCHEMA: &str = include_str!("schema.sql");
/// The version of `schema.sql`.
const VERSION: i64 = 1;
/// How long a writer waits for another one.
const BUSY: Duration = Duration::from_secs(60);

/// A connection to the tables.
#[derive(Debug)]
pub(crate) struct Meta {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Meta {
    /// Opens the database, made if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self, MetaError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(path, flags).map_err(MetaError::on("open", path))?;
        let meta = Self { path: path.to_owned(), connection: Mutex::new(connection) };
        meta.prepare()?;
        Ok(meta)
    }

    fn prepare(&self) -> Result<(), MetaError> {
        let on = |action| MetaError::on(action, &self.path);
        let mut connection = self.lock();
        connection.busy_timeout(BUSY).map_err(on("configure"))?;
        // Emptying the log when the last one closes would cost every short
        // command two fsyncs.
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(on("configure"))?;
        connection
            .execute_batch("PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;")
            .map_err(on("configure"))?;
        if let Some(version) = version(&connection).map_err(on("read the version of"))? {
            return check(version, &self.path);
        }
        use_write_ahead_log(&connection).map_err(on("set the journal mode of"))?;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(on("lock"))?;
        // Another process may have made the tables by now.
        if let Some(version) = version(&transaction).map_err(on("read the version of"))? {
            return check(version, &self.path);
        }
        transaction.execute_batch(SCHEMA).map_err(on("make tables in"))?;
        transaction.commit().map_err(on("commit to"))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A thread that panicked has rolled back its transaction.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads.
    pub(crate) fn read<T>(
        &self,
        what: &'static str,
        body: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, MetaError> {
        body(&self.lock()).map_err(MetaError::on(what, &self.path))
    }

    /// Writes in one transaction, which nothing else writes beside. An error
    /// of `body` rolls back.
    pub(crate) fn write<T, E: From<MetaError>>(
        &self,
        what: &'static str,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.transact(what, false, body)
    }

    /// The same, on the disk when it returns: for what has to hold before
    /// files are removed.
    pub(crate) fn write_durably<T, E: From<MetaError>>(
        &self,
        what: &'static str,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.transact(what, true, body)
    }

    fn transact<T, E: From<MetaError>>(
        &self,
        what: &'static str,
        durable: bool,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let on = |e| MetaError::on(what, &self.path)(e);
        let mut connection = self.lock();
        let level = |connection: &Connection, level: &str| {
            connection.execute_batch(&format!("PRAGMA synchronous={level};")).map_err(on)
        };
        if durable {
            level(&connection, "FULL")?;
        }
        let result = (|| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(on)?;
            let value = body(&transaction)?;
            transaction.commit().map_err(on)?;
            Ok(value)
        })();
        if durable {
            level(&connection, "NORMAL")?;
        }
        result
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves what the log holds into the database, so that the next to open it
    /// has less to read. Left out while others are at work.
    pub(crate) fn checkpoint(&self) {
        let _ = self.lock().execute_batch("PRAGMA wal_checkpoint(TRUNCATE);");
    }
}

fn version(connection: &Connection) -> Result<Option<i64>, rusqlite::Error> {
    match connection.query_row("SELECT version FROM image_schema", [], |row| row.get(0)) {
        Ok(version) => Ok(Some(version)),
        Err(rusqlite::Error::SqliteFailure(_, Some(message)))
            if message.starts_with("no such table") =>
        {
            Ok(None)
        }
        Err(rusqlite::Error::SqlInputError { msg, .. }) if msg.starts_with("no such table") => {
            Ok(None)
        }
        Err(other) => Err(other),
    }
}

fn check(version: i64, path: &Path) -> Result<(), MetaError> {
    if version == VERSION {
        Ok(())
    } else {
        Err(MetaError::Version { path: path.to_owned(), found: version, known: VERSION })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_twice_and_refuses_another_version() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("meta.db");
        let openers: Vec<_> = (0..4)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || Meta::open(&path).map(drop))
            })
            .collect();
        for opener in openers {
            opener.join().unwrap().unwrap();
        }
        let meta = Meta::open(&path).unwrap();
        meta.write::<_, MetaError>("spoil", |t| {
            t.execute("UPDATE image_schema SET version = 99", [])
                .map_err(MetaError::on("spoil", &path))
        })
        .unwrap();
        assert!(matches!(Meta::open(&path), Err(MetaError::Version { found: 99, .. })));
    }
}
