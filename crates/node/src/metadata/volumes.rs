//! The table of volumes.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::events::insert_event;
use super::{Event, EventKind, Metadata, MetadataError, during, from_integer, to_integer};

/// A named volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeRecord {
    /// Its name.
    pub name: String,
    /// When it was made, nanoseconds since 1970.
    pub created: u64,
    /// Nobody gave it a name.
    pub anonymous: bool,
    /// The container that it was made for, if it is anonymous.
    pub owner: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// What came of [`Metadata::forget_volume`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// It is forgotten.
    Yes,
    /// There is no such volume.
    Unknown,
    /// These containers, by name, use it. Nothing was changed.
    InUse(Vec<String>),
}

const COLUMNS: &str = "name, created, anonymous, owner, labels";

fn record(row: &Row<'_>) -> rusqlite::Result<VolumeRecord> {
    let labels: String = row.get(4)?;
    Ok(VolumeRecord {
        name: row.get(0)?,
        created: from_integer(row.get(1)?),
        anonymous: row.get(2)?,
        owner: row.get(3)?,
        labels: serde_json::from_str(&labels).unwrap_or_default(),
    })
}

/// Containers, by name, that have the volume or are about to: those being made
/// have asked for it before it is there.
fn users(connection: &Connection, volume: &str) -> Result<Vec<String>, MetadataError> {
    let what = "look for users of a volume";
    let mut statement = connection
        .prepare(
            "SELECT name FROM node_containers AS c WHERE phase <> 'removing' AND (
                 EXISTS (SELECT 1 FROM json_each(c.document, '$.mounts') AS m
                         WHERE m.value ->> '$.volume' = ?1)
                 OR EXISTS (SELECT 1 FROM json_each(c.document, '$.request.mounts') AS m
                            WHERE m.value ->> '$.type' = 'volume'
                            AND m.value ->> '$.source' = ?1)
                 OR id = (SELECT owner FROM node_volumes WHERE name = ?1)
             ) ORDER BY name",
        )
        .map_err(during(what))?;
    let rows = statement.query_map([volume], |row| row.get(0)).map_err(during(what))?;
    rows.map(|row| row.map_err(during(what))).collect()
}

impl Metadata {
    /// The volume of that name.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn volume(&self, name: &str) -> Result<Option<VolumeRecord>, MetadataError> {
        self.connection
            .query_row(
                &format!("SELECT {COLUMNS} FROM node_volumes WHERE name = ?1"),
                [name],
                record,
            )
            .optional()
            .map_err(during("look up a volume"))
    }

    /// Adds a volume, once its directory is complete; one that is there stays
    /// as it is.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn add_volume(&mut self, volume: &VolumeRecord) -> Result<(), MetadataError> {
        let what = "add a volume";
        let labels = serde_json::to_string(&volume.labels)
            .map_err(|source| MetadataError::Document { id: volume.name.clone(), source })?;
        let transaction = self.immediate(what)?;
        let added = transaction
            .execute(
                "INSERT OR IGNORE INTO node_volumes (name, created, anonymous, owner, labels)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    volume.name,
                    to_integer(volume.created),
                    volume.anonymous,
                    volume.owner,
                    labels
                ],
            )
            .map_err(during(what))?;
        if added > 0 {
            insert_event(&transaction, &Event::now(EventKind::Volume, "create", &volume.name))?;
        }
        transaction.commit().map_err(during(what))
    }

    /// All volumes, by name.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn volumes(&self) -> Result<Vec<VolumeRecord>, MetadataError> {
        let what = "list volumes";
        let mut statement = self
            .connection
            .prepare(&format!("SELECT {COLUMNS} FROM node_volumes ORDER BY name"))
            .map_err(during(what))?;
        let rows = statement.query_map([], record).map_err(during(what))?;
        rows.map(|row| row.map_err(during(what))).collect()
    }

    /// Names of the containers that use the volume, those that don't run too.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn volume_users(&self, name: &str) -> Result<Vec<String>, MetadataError> {
        users(&self.connection, name)
    }

    /// Forgets a volume that no container uses. `put_aside` takes its directory
    /// away from its name in the same transaction, so that a container that is
    /// made at this moment either keeps the volume or gets a new one.
    ///
    /// # Errors
    /// [`MetadataError::Statement`], [`MetadataError::PutAside`].
    pub fn forget_volume(
        &mut self,
        name: &str,
        put_aside: impl FnOnce() -> std::io::Result<()>,
    ) -> Result<Forgotten, MetadataError> {
        let what = "remove a volume";
        let transaction = self.immediate(what)?;
        let users = users(&transaction, name)?;
        if !users.is_empty() {
            return Ok(Forgotten::InUse(users));
        }
        let known = transaction
            .execute("DELETE FROM node_volumes WHERE name = ?1", [name])
            .map_err(during(what))?;
        if known == 0 {
            return Ok(Forgotten::Unknown);
        }
        put_aside().map_err(|source| MetadataError::PutAside { name: name.to_owned(), source })?;
        insert_event(&transaction, &Event::now(EventKind::Volume, "destroy", name))?;
        transaction.commit().map_err(during(what))?;
        Ok(Forgotten::Yes)
    }
}
