//! An image as the store knows it.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::types::Type;
use rusqlite::{Connection, Row};
use serde::de::DeserializeOwned;

use crate::manifest::ImageConfig;
use crate::{Descriptor, Digest, Platform, Reference};

/// In which form an image's file system lies on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotFormat {
    /// A directory per layer, for overlayfs.
    Overlay,
}

impl SnapshotFormat {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
        }
    }
}

impl fmt::Display for SnapshotFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An image in the store: unpacked, and its blobs present.
#[derive(Clone, Debug)]
pub struct ImageRecord {
    pub(crate) row: i64,
    /// What people call the image's id: the digest of its configuration.
    pub id: Digest,
    /// Its manifest.
    pub manifest: Descriptor,
    /// What it runs on.
    pub platform: Platform,
    /// Names with tags that lead to it, sorted. An image without is dangling.
    pub names: Vec<Reference>,
    /// `repository@digest` for each repository it was pulled from or pushed
    /// to, sorted; the digest may be an index's.
    pub digests: Vec<Reference>,
    /// Its configuration: data of whoever made the image.
    pub config: ImageConfig,
    /// The blob of the configuration.
    pub config_descriptor: Descriptor,
    /// The blobs of its layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// The snapshots of its layers, lowest first: chain ids (OCI image-spec,
    /// config.md, "Layer ChainID").
    pub chain: Vec<Digest>,
    /// Bytes of its blobs.
    pub size: u64,
    /// When it was built, if its configuration says so.
    pub created: Option<SystemTime>,
    /// When it came into the store.
    pub pulled: SystemTime,
    /// When a container was last made from it.
    pub used: SystemTime,
    /// Containers that were made from it, sorted.
    pub containers: Vec<String>,
}

impl ImageRecord {
    /// The first twelve digits of the id.
    #[must_use]
    pub fn short_id(&self) -> &str {
        self.id.hex().get(..12).unwrap_or_default()
    }

    /// A name to call it by in messages: its first name, or its short id.
    #[must_use]
    pub fn title(&self) -> String {
        self.names.first().map_or_else(|| self.short_id().to_owned(), Reference::familiar)
    }
}

pub(super) const COLUMNS: &str = "id, descriptor, platform, config_descriptor, config, layers, \
                                  chain, size, created_at, pulled_at, used_at";

/// The record of a row of [`COLUMNS`], without what other tables hold.
pub(super) fn from_row(row: &Row<'_>) -> Result<ImageRecord, rusqlite::Error> {
    let manifest: Descriptor = json(row, 1)?;
    let platform: String = row.get(2)?;
    let config_descriptor: Descriptor = json(row, 3)?;
    Ok(ImageRecord {
        row: row.get(0)?,
        id: config_descriptor.digest.clone(),
        manifest,
        platform: platform.parse().map_err(|e| invalid(2, e))?,
        names: Vec::new(),
        digests: Vec::new(),
        config: json(row, 4)?,
        config_descriptor,
        layers: json(row, 5)?,
        chain: json(row, 6)?,
        size: unsigned(row, 7)?,
        created: row.get::<_, Option<i64>>(8)?.map(time),
        pulled: time(row.get(9)?),
        used: time(row.get(10)?),
        containers: Vec::new(),
    })
}

/// Fills in names, digests and containers.
pub(super) fn complete(
    connection: &Connection,
    record: &mut ImageRecord,
) -> Result<(), rusqlite::Error> {
    let strings = |sql: &str| -> Result<Vec<String>, rusqlite::Error> {
        let mut statement = connection.prepare(sql)?;
        statement.query_map([record.row], |row| row.get(0))?.collect()
    };
    let references = |texts: Vec<String>| -> Vec<Reference> {
        let mut found: Vec<Reference> = texts.iter().filter_map(|t| t.parse().ok()).collect();
        found.sort();
        found
    };
    let names = references(strings("SELECT name FROM image_names WHERE image = ?1")?);
    let digests = references(strings(
        "SELECT repository || '@' || digest FROM image_digests WHERE image = ?1",
    )?);
    let containers =
        strings("SELECT container FROM image_uses WHERE image = ?1 ORDER BY container")?;
    (record.names, record.digests, record.containers) = (names, digests, containers);
    Ok(())
}

fn json<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> Result<T, rusqlite::Error> {
    let text: String = row.get(index)?;
    serde_json::from_str(&text).map_err(|e| invalid(index, e))
}

fn invalid(index: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error))
}

pub(super) fn unsigned(row: &Row<'_>, index: usize) -> Result<u64, rusqlite::Error> {
    let value: i64 = row.get(index)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, value))
}

/// A number for a column; what is beyond the range of one is capped.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn time(seconds: i64) -> SystemTime {
    let offset = Duration::from_secs(seconds.unsigned_abs());
    let time =
        if seconds < 0 { UNIX_EPOCH.checked_sub(offset) } else { UNIX_EPOCH.checked_add(offset) };
    time.unwrap_or(UNIX_EPOCH)
}

/// Seconds since 1970; negative before.
pub(super) fn seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => signed(after.as_secs()),
        Err(before) => -signed(before.duration().as_secs()),
    }
}
