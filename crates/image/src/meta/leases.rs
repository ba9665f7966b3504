//! What processes at work need.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::{Meta, MetaError};
use crate::Digest;

/// What a lease holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Blob,
    Snapshot,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Snapshot => "snapshot",
        }
    }
}

/// Digests as text: all blobs and all chain ids that something needs.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    pub(crate) blobs: BTreeSet<String>,
    pub(crate) chains: BTreeSet<String>,
}

impl Meta {
    /// Adds to what a lease holds.
    pub(crate) fn hold<'d>(
        &self,
        lease: &str,
        kind: Kind,
        digests: impl IntoIterator<Item = &'d Digest>,
    ) -> Result<(), MetaError> {
        self.write("lease content in", |t| {
            let on = |e| MetaError::on("lease content in", self.path())(e);
            let mut statement =
                t.prepare("INSERT OR IGNORE INTO image_leases VALUES (?1, ?2, ?3)").map_err(on)?;
            for digest in digests {
                let row = params![lease, kind.as_str(), digest.to_string()];
                statement.execute(row).map_err(on)?;
            }
            Ok(())
        })
    }

    /// Ends a lease.
    pub(crate) fn end_lease(&self, lease: &str) -> Result<(), MetaError> {
        self.read("end a lease in", |c| delete_lease(c, lease))
    }
}

/// The names of all leases that hold something.
pub(crate) fn leases(c: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    let mut statement = c.prepare("SELECT DISTINCT lease FROM image_leases")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// Forgets what a lease held.
pub(crate) fn delete_lease(c: &Connection, lease: &str) -> Result<(), rusqlite::Error> {
    c.execute("DELETE FROM image_leases WHERE lease = ?1", [lease])?;
    Ok(())
}

/// Everything that a record or a lease holds.
pub(crate) fn needed(c: &Connection) -> Result<Needed, rusqlite::Error> {
    let strings = |sql: &str| -> Result<BTreeSet<String>, rusqlite::Error> {
        let mut statement = c.prepare(sql)?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    Ok(Needed {
        blobs: strings(
            "SELECT digest FROM image_blobs \
             UNION SELECT digest FROM image_leases WHERE kind = 'blob'",
        )?,
        chains: strings(
            "SELECT chain FROM image_chains \
             UNION SELECT digest FROM image_leases WHERE kind = 'snapshot'",
        )?,
    })
}
