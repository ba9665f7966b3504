//! Containers and the images they were made from.

use std::time::SystemTime;

use rusqlite::params;

use super::record::seconds;
use super::{Meta, MetaError};

impl Meta {
    /// Notes that a container uses an image, and that it was used now;
    /// whether the image is still there.
    pub(crate) fn retain(&self, container: &str, image: i64) -> Result<bool, MetaError> {
        self.write("retain an image in", |t| {
            let on = |e| MetaError::on("retain an image in", self.path())(e);
            let now = seconds(SystemTime::now());
            let found = t
                .prepare("UPDATE image_records SET used_at = ?1 WHERE id = ?2")
                .and_then(|mut s| s.execute(params![now, image]))
                .map_err(on)?;
            if found == 0 {
                return Ok(false);
            }
            t.prepare("INSERT OR REPLACE INTO image_uses VALUES (?1, ?2)")
                .and_then(|mut s| s.execute(params![container, image]))
                .map_err(on)?;
            Ok(true)
        })
    }

    /// Forgets that a container uses an image; whether it did.
    pub(crate) fn release(&self, container: &str) -> Result<bool, MetaError> {
        self.read("release an image in", |c| {
            let count = c.execute("DELETE FROM image_uses WHERE container = ?1", [container])?;
            Ok(count > 0)
        })
    }

    /// Every container that uses an image.
    pub(crate) fn containers(&self) -> Result<Vec<String>, MetaError> {
        self.read("list the uses of images in", |c| {
            let mut statement = c.prepare("SELECT container FROM image_uses ORDER BY container")?;
            statement.query_map([], |row| row.get(0))?.collect()
        })
    }
}
