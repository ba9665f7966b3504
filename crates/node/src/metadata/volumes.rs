//! The table of volumes.

use rusqlite::{OptionalExtension as _, Row, params};

use super::{Metadata, MetadataError, during, from_integer, to_integer};

/// A named volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeRecord {
    /// Its name.
    pub name: String,
    /// When it was made, nanoseconds since 1970.
    pub created: u64,
    /// Made for one container that named none.
    pub anonymous: bool,
    /// That container.
    pub owner: Option<String>,
}

fn record(row: &Row<'_>) -> rusqlite::Result<VolumeRecord> {
    Ok(VolumeRecord {
        name: row.get(0)?,
        created: from_integer(row.get(1)?),
        anonymous: row.get(2)?,
        owner: row.get(3)?,
    })
}

impl Metadata {
    /// The volume of that name.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn volume(&self, name: &str) -> Result<Option<VolumeRecord>, MetadataError> {
        self.connection
            .query_row(
                "SELECT name, created, anonymous, owner FROM node_volumes WHERE name = ?1",
                [name],
                record,
            )
            .optional()
            .map_err(during("look up a volume"))
    }

    /// Adds a volume, once its directory is complete; one that is there stays.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn add_volume(&mut self, volume: &VolumeRecord) -> Result<(), MetadataError> {
        self.connection
            .execute(
                "INSERT OR IGNORE INTO node_volumes (name, created, anonymous, owner)
                 VALUES (?1, ?2, ?3, ?4)",
                params![volume.name, to_integer(volume.created), volume.anonymous, volume.owner],
            )
            .map_err(during("add a volume"))?;
        Ok(())
    }

    /// All volumes, by name.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn volumes(&self) -> Result<Vec<VolumeRecord>, MetadataError> {
        let what = "list volumes";
        let mut statement = self
            .connection
            .prepare("SELECT name, created, anonymous, owner FROM node_volumes ORDER BY name")
            .map_err(during(what))?;
        let rows = statement.query_map([], record).map_err(during(what))?;
        rows.map(|row| row.map_err(during(what))).collect()
    }

    /// Forgets a volume.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn forget_volume(&mut self, name: &str) -> Result<(), MetadataError> {
        self.connection
            .execute("DELETE FROM node_volumes WHERE name = ?1", [name])
            .map_err(during("remove a volume"))?;
        Ok(())
    }
}
