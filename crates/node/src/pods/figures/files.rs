//! What directories take.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::clock::now_nanos;
use crate::pods::table::locked;
use crate::pods::view::FilesystemUsage;
use crate::pods::{PodError, Pods};

/// How long a count holds: to walk a tree costs more than to know it exactly is
/// worth.
const FRESH: Duration = Duration::from_secs(10);

/// Deepest tree that is walked.
const DEPTH: u32 = 256;

/// Counts of directories, by container.
#[derive(Debug, Default)]
pub(in crate::pods) struct Files {
    counts: Mutex<BTreeMap<String, (Instant, u64, u64)>>,
}

impl Files {
    /// Bytes and inodes below `dir`, as they were a short time ago.
    fn count(&self, id: &str, dir: &Path) -> (u64, u64) {
        let known = locked(&self.counts).get(id).copied();
        if let Some((at, bytes, inodes)) = known
            && at.elapsed() < FRESH
        {
            return (bytes, inodes);
        }
        let mut sum = (0, 0);
        walk(dir, DEPTH, &mut sum);
        locked(&self.counts).insert(id.to_owned(), (Instant::now(), sum.0, sum.1));
        sum
    }

    pub(in crate::pods) fn forget(&self, id: &str) {
        locked(&self.counts).remove(id);
    }
}

/// Never follows a link. What vanishes meanwhile is not there.
fn walk(dir: &Path, depth: u32, sum: &mut (u64, u64)) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        sum.0 = sum.0.saturating_add(metadata.blocks().saturating_mul(512));
        sum.1 += 1;
        if metadata.is_dir() && depth > 0 {
            walk(&entry.path(), depth - 1, sum);
        }
    }
}

impl Pods {
    /// What a container has written.
    pub(super) fn writable_layer(&self, id: &str) -> FilesystemUsage {
        let dir = self.engine().paths.container(id).join("upper");
        let (used_bytes, inodes_used) = self.shared.files.count(id, &dir);
        FilesystemUsage {
            timestamp: now_nanos(),
            mountpoint: self.engine().paths.root().display().to_string(),
            used_bytes,
            inodes_used,
        }
    }

    /// What images take, and what containers have written: both are on one file
    /// system.
    ///
    /// # Errors
    /// [`PodError::Store`].
    pub fn image_filesystems(
        &self,
    ) -> Result<(Vec<FilesystemUsage>, Vec<FilesystemUsage>), PodError> {
        let root = self.engine().paths.root().to_owned();
        let one = |(used_bytes, inodes_used)| FilesystemUsage {
            timestamp: now_nanos(),
            mountpoint: root.display().to_string(),
            used_bytes,
            inodes_used,
        };
        let images = ["content", "snapshots"].map(|name| {
            // Each under a name that no container has.
            self.shared.files.count(name, &root.join(name))
        });
        let images = images.iter().fold((0, 0), |sum: (u64, u64), part| {
            (sum.0.saturating_add(part.0), sum.1.saturating_add(part.1))
        });
        let written = self.table().containers().iter().fold((0, 0), |sum: (u64, u64), c| {
            let own = self.writable_layer(&c.id);
            (sum.0.saturating_add(own.used_bytes), sum.1.saturating_add(own.inodes_used))
        });
        Ok((vec![one(images)], vec![one(written)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_counted_and_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("d")).unwrap();
        std::fs::write(temp.path().join("d/f"), vec![1; 100_000]).unwrap();
        std::os::unix::fs::symlink("/", temp.path().join("d/root")).unwrap();
        let files = Files::default();
        let (bytes, inodes) = files.count("c", temp.path());
        assert!(bytes >= 100_000 && inodes == 3, "{bytes} {inodes}");
        std::fs::write(temp.path().join("more"), "x").unwrap();
        assert_eq!(files.count("c", temp.path()).1, 3);
        files.forget("c");
        assert_eq!(files.count("c", temp.path()).1, 4);
    }
}
