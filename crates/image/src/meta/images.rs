//! Records of images and their names.

use std::collections::BTreeSet;
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::record::{COLUMNS, complete, from_row, seconds, signed, unsigned};
use super::{ImageRecord, Meta, MetaError, SnapshotFormat};
use crate::{Descriptor, Digest, Platform, Reference};

/// An image that is complete on the disk and becomes known.
#[derive(Debug)]
pub(crate) struct NewImage<'a> {
    pub(crate) manifest: &'a Descriptor,
    pub(crate) platform: &'a Platform,
    pub(crate) format: SnapshotFormat,
    pub(crate) config_descriptor: &'a Descriptor,
    /// The configuration as it came.
    pub(crate) config: &'a str,
    pub(crate) created: Option<SystemTime>,
    pub(crate) layers: &'a [Descriptor],
    pub(crate) chain: &'a [Digest],
    /// Blobs that are kept with the image beside manifest, config and layers.
    pub(crate) extra: &'a [Descriptor],
    /// Names with tags that lead to it from now on.
    pub(crate) names: &'a [Reference],
    /// Repositories and the digest by which they offer it.
    pub(crate) digests: &'a [(Reference, Digest)],
}

/// What [`Meta::remove_record`] did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    /// The record is gone.
    Yes,
    /// It was gone before.
    Absent,
    /// Containers keep it.
    Kept,
}

impl Meta {
    /// Adds or renews a record; its row.
    pub(crate) fn add(&self, new: &NewImage<'_>) -> Result<i64, MetaError> {
        self.write("record an image in", |t| {
            insert(t, new).map_err(MetaError::on("record an image in", self.path()))
        })
    }

    /// All records, the newest first.
    pub(crate) fn all(&self) -> Result<Vec<ImageRecord>, MetaError> {
        self.read("list the images of", |c| {
            select(c, "ORDER BY COALESCE(created_at, pulled_at) DESC, id DESC", &[])
        })
    }

    /// The record of a row.
    pub(crate) fn by_row(&self, row: i64) -> Result<Option<ImageRecord>, MetaError> {
        self.read("read an image of", |c| {
            Ok(select(c, "WHERE id = ?1", &[&row])?.into_iter().next())
        })
    }

    /// Records that `name`, which has a tag, leads to: one per platform.
    pub(crate) fn by_name(&self, name: &str) -> Result<Vec<ImageRecord>, MetaError> {
        self.read("look up a name in", |c| {
            select(c, "WHERE id IN (SELECT image FROM image_names WHERE name = ?1)", &[&name])
        })
    }

    /// Records that the repository offers by `digest`.
    pub(crate) fn by_digest(
        &self,
        repository: &str,
        digest: &str,
    ) -> Result<Vec<ImageRecord>, MetaError> {
        self.read("look up a digest in", |c| {
            let matching = "WHERE id IN (SELECT image FROM image_digests \
                            WHERE repository = ?1 AND digest = ?2)";
            select(c, matching, &[&repository, &digest])
        })
    }

    /// Records whose manifest has this digest: one per platform and format.
    pub(crate) fn by_manifest(&self, digest: &Digest) -> Result<Vec<ImageRecord>, MetaError> {
        let digest = digest.to_string();
        self.read("look up a manifest in", |c| select(c, "WHERE manifest = ?1", &[&digest]))
    }

    /// Lets `name` lead to the image; what it led to before loses it.
    pub(crate) fn set_name(&self, image: &ImageRecord, name: &Reference) -> Result<(), MetaError> {
        self.read("name an image in", |c| put_name(c, name, &image.platform, image.row))
    }

    /// Takes `name` off, for one platform or all; whether there was one.
    pub(crate) fn remove_name(
        &self,
        name: &Reference,
        platform: Option<&Platform>,
    ) -> Result<bool, MetaError> {
        let platform = platform.map(ToString::to_string);
        self.read("take a name off in", |c| {
            let count = c.execute(
                "DELETE FROM image_names WHERE name = ?1 AND (?2 IS NULL OR platform = ?2)",
                params![name.to_string(), platform],
            )?;
            Ok(count > 0)
        })
    }

    /// Notes that a repository offers the image by `digest`.
    pub(crate) fn add_digest(
        &self,
        image: i64,
        repository: &str,
        digest: &Digest,
    ) -> Result<(), MetaError> {
        self.read("note a repository in", |c| put_digest(c, image, repository, digest))
    }

    /// Removes the record and all its names, unless a container keeps it. On
    /// the disk when it returns.
    pub(crate) fn remove_record(&self, row: i64) -> Result<Removed, MetaError> {
        self.write_durably("remove an image of", |t| {
            remove(t, row).map_err(MetaError::on("remove an image of", self.path()))
        })
    }

    /// Repositories of `registry` that hold the blob, as far as is known.
    pub(crate) fn repositories_with(&self, blob: &Digest) -> Result<Vec<String>, MetaError> {
        self.read("look up the origins of a blob in", |c| {
            let mut statement = c.prepare(
                "SELECT DISTINCT repository FROM image_digests JOIN image_blobs USING (image) \
                 WHERE image_blobs.digest = ?1 ORDER BY repository",
            )?;
            statement.query_map([blob.to_string()], |row| row.get(0))?.collect()
        })
    }

    /// Notes what a snapshot holds.
    pub(crate) fn add_snapshot(
        &self,
        chain: &Digest,
        bytes: u64,
        entries: u64,
    ) -> Result<(), MetaError> {
        self.read("note a snapshot in", |c| {
            c.execute(
                "INSERT OR REPLACE INTO image_snapshots VALUES (?1, ?2, ?3)",
                params![chain.to_string(), signed(bytes), signed(entries)],
            )?;
            Ok(())
        })
    }

    /// Each known snapshot with the bytes of its files.
    pub(crate) fn snapshot_sizes(&self) -> Result<Vec<(String, u64)>, MetaError> {
        self.read("list the snapshots of", |c| {
            let mut statement = c.prepare("SELECT chain, bytes FROM image_snapshots")?;
            statement.query_map([], |row| Ok((row.get(0)?, unsigned(row, 1)?)))?.collect()
        })
    }
}

fn insert(t: &Transaction<'_>, new: &NewImage<'_>) -> Result<i64, rusqlite::Error> {
    let text = |value: Result<String, serde_json::Error>| {
        value.map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
    };
    let (manifest, platform) = (new.manifest.digest.to_string(), new.platform.to_string());
    let now = seconds(SystemTime::now());
    let blobs: BTreeSet<(&Digest, u64)> = new
        .layers
        .iter()
        .chain(new.extra)
        .chain([new.manifest, new.config_descriptor])
        .map(|d| (&d.digest, d.size))
        .collect();
    let size = blobs.iter().fold(0_u64, |sum, (_, size)| sum.saturating_add(*size));
    let mut statement = t.prepare(
        "INSERT INTO image_records (manifest, platform, format, descriptor, config_descriptor, \
         config, layers, chain, size, created_at, pulled_at, used_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11) \
         ON CONFLICT (manifest, platform, format) DO UPDATE SET pulled_at = excluded.pulled_at \
         RETURNING id",
    )?;
    let image: i64 = statement.query_row(
        params![
            manifest,
            platform,
            new.format.as_str(),
            text(serde_json::to_string(new.manifest))?,
            text(serde_json::to_string(new.config_descriptor))?,
            new.config,
            text(serde_json::to_string(new.layers))?,
            text(serde_json::to_string(new.chain))?,
            signed(size),
            new.created.map(seconds),
            now
        ],
        |row| row.get(0),
    )?;
    for (digest, _) in blobs {
        t.prepare("INSERT OR IGNORE INTO image_blobs VALUES (?1, ?2)")?
            .execute(params![image, digest.to_string()])?;
    }
    for chain in new.chain {
        t.prepare("INSERT OR IGNORE INTO image_chains VALUES (?1, ?2)")?
            .execute(params![image, chain.to_string()])?;
    }
    for name in new.names {
        put_name(t, name, new.platform, image)?;
    }
    for (repository, digest) in new.digests {
        put_digest(t, image, &repository.name(), digest)?;
    }
    Ok(image)
}

fn put_name(
    c: &Connection,
    name: &Reference,
    platform: &Platform,
    image: i64,
) -> Result<(), rusqlite::Error> {
    c.prepare("INSERT OR REPLACE INTO image_names VALUES (?1, ?2, ?3)")?.execute(params![
        name.to_string(),
        platform.to_string(),
        image
    ])?;
    Ok(())
}

fn put_digest(
    c: &Connection,
    image: i64,
    repository: &str,
    digest: &Digest,
) -> Result<(), rusqlite::Error> {
    c.prepare("INSERT OR IGNORE INTO image_digests VALUES (?1, ?2, ?3)")?.execute(params![
        image,
        repository,
        digest.to_string()
    ])?;
    Ok(())
}

fn remove(t: &Transaction<'_>, row: i64) -> Result<Removed, rusqlite::Error> {
    let used =
        t.query_row("SELECT 1 FROM image_uses WHERE image = ?1", [row], |_| Ok(())).optional()?;
    if used.is_some() {
        return Ok(Removed::Kept);
    }
    let count = t.execute("DELETE FROM image_records WHERE id = ?1", [row])?;
    Ok(if count > 0 { Removed::Yes } else { Removed::Absent })
}

fn select(
    c: &Connection,
    rest: &str,
    parameters: &[&dyn rusqlite::ToSql],
) -> Result<Vec<ImageRecord>, rusqlite::Error> {
    let mut statement = c.prepare(&format!("SELECT {COLUMNS} FROM image_records {rest}"))?;
    let mut records: Vec<ImageRecord> =
        statement.query_map(parameters, from_row)?.collect::<Result<_, _>>()?;
    for record in &mut records {
        complete(c, record)?;
    }
    Ok(records)
}
