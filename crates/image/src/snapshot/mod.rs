//! Unpacked layers: one read-only directory for each chain id.
//!
//! `<root>/<chain hex>/fs` is a committed one. `<root>/tmp-<chain hex>` is
//! being made by whoever holds the lock on that directory; it is committed by
//! rename, so a snapshot is complete or not there. `<root>/del-…` is on its
//! way out.

mod remove;

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

use crate::Digest;
use crate::locked_file::{Claimed, StoreIoError, claim, make_dirs, names, try_claim};
pub(crate) use remove::remove_tree;

/// The chain ids of layers, lowest first (OCI image-spec, config.md).
#[must_use]
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let next = match chain.last() {
            None => diff_id.clone(),
            Some(below) => Digest::sha256(format!("{below} {diff_id}").as_bytes()),
        };
        chain.push(next);
    }
    chain
}

/// Snapshots below one directory. Several processes may use it at once.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotStore {
    root: PathBuf,
}

/// What [`SnapshotStore::claim`] found.
#[derive(Debug)]
pub(crate) enum SnapshotClaim {
    Present,
    Mine(Building),
}

/// A snapshot that is being made; nobody else makes it as long as this lives.
/// Dropped before it is committed, it is removed.
#[derive(Debug)]
pub(crate) struct Building {
    path: PathBuf,
    target: PathBuf,
    committed: bool,
    _lock: File,
}

impl SnapshotStore {
    pub(crate) fn open(root: &Path) -> Result<Self, StoreIoError> {
        if !root.exists() {
            // Overlay mounts are made by other users of a user namespace too.
            make_dirs(root, 0o711)?;
        }
        Ok(Self { root: root.to_owned() })
    }

    fn dir(&self, chain: &Digest) -> PathBuf {
        self.root.join(chain.hex())
    }

    /// The files of the snapshot, whether it is there or not.
    pub(crate) fn path(&self, chain: &Digest) -> PathBuf {
        self.dir(chain).join("fs")
    }

    pub(crate) fn exists(&self, chain: &Digest) -> bool {
        self.path(chain).is_dir()
    }

    /// Claims the right to make a snapshot. Waits while another thread or
    /// process does; then it is mostly present.
    pub(crate) fn claim(&self, chain: &Digest) -> Result<SnapshotClaim, StoreIoError> {
        if self.exists(chain) {
            return Ok(SnapshotClaim::Present);
        }
        let path = self.root.join(format!("tmp-{}", chain.hex()));
        let lock = claim(&path, Claimed::Directory)?;
        if self.exists(chain) {
            std::fs::remove_dir(&path).map_err(StoreIoError::on("remove", &path))?;
            return Ok(SnapshotClaim::Present);
        }
        // What a holder that died has left.
        fill_anew(&path.join("fs"))?;
        let target = self.dir(chain);
        Ok(SnapshotClaim::Mine(Building { path, target, committed: false, _lock: lock }))
    }

    /// Chain ids (hex) of what is committed.
    pub(crate) fn list(&self) -> Result<Vec<Digest>, StoreIoError> {
        let parse = |name: &String| format!("sha256:{name}").parse().ok();
        Ok(names(&self.root)?.iter().filter_map(parse).collect())
    }

    /// Takes a snapshot out of use at once; its files are removed by
    /// [`SnapshotStore::collect`]. Only for the collector.
    pub(crate) fn retire(&self, chain: &Digest) -> Result<(), StoreIoError> {
        let from = self.dir(chain);
        for number in 0_u64.. {
            let name = format!("del-{}-{}-{number}", chain.hex(), std::process::id());
            let to = self.root.join(name);
            if to.symlink_metadata().is_ok() {
                continue;
            }
            match std::fs::rename(&from, &to) {
                Ok(()) => return Ok(()),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                Err(e) => return Err(StoreIoError::on("retire", &from)(e)),
            }
        }
        Ok(())
    }

    /// Removes retired snapshots, and unfinished ones whose maker has ended.
    pub(crate) fn collect(&self) -> Result<(), StoreIoError> {
        for name in names(&self.root)? {
            if !name.starts_with("del-") && !name.starts_with("tmp-") {
                continue;
            }
            let path = self.root.join(name);
            if let Some(_held) = try_claim(&path, Claimed::Directory, false)? {
                remove_tree(&path)?;
            }
        }
        Ok(())
    }
}

/// An empty directory instead of whatever is at `files`.
fn fill_anew(files: &Path) -> Result<(), StoreIoError> {
    remove_tree(files)?;
    std::fs::create_dir(files).map_err(StoreIoError::on("make", files))?;
    rustix::fs::chmod(files, Mode::from_raw_mode(0o755))
        .map_err(StoreIoError::on("set the mode of", files))
}

impl Building {
    /// The directory to fill.
    pub(crate) fn path(&self) -> PathBuf {
        self.path.join("fs")
    }

    /// Removes what is in it.
    pub(crate) fn empty(&mut self) -> Result<(), StoreIoError> {
        fill_anew(&self.path())
    }

    /// Makes it a snapshot.
    pub(crate) fn commit(mut self) -> Result<(), StoreIoError> {
        rustix::fs::chmod(&self.path, Mode::from_raw_mode(0o711))
            .map_err(StoreIoError::on("set the mode of", &self.path))?;
        std::fs::rename(&self.path, &self.target)
            .map_err(StoreIoError::on("commit", &self.target))?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if !self.committed {
            // What can't be removed now is collected later.
            let _ = remove_tree(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Digest {
        Digest::sha256(b"x")
    }

    #[test]
    fn chain_ids_are_those_of_the_specification() {
        let (a, b) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        let ids = chain_ids(&[a.clone(), b.clone()]);
        assert_eq!(ids, [a.clone(), Digest::sha256(format!("{a} {b}").as_bytes())]);
    }

    #[test]
    fn a_snapshot_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = SnapshotStore::open(dir.path()).unwrap();
        let SnapshotClaim::Mine(building) = store.claim(&chain()).unwrap() else { panic!() };
        let waiter = std::thread::spawn({
            let store = store.clone();
            move || matches!(store.claim(&chain()).unwrap(), SnapshotClaim::Present)
        });
        std::fs::write(building.path().join("file"), "x").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(30));
        store.collect().unwrap();
        building.commit().unwrap();
        assert!(waiter.join().unwrap());
        assert!(store.path(&chain()).join("file").exists());
        assert_eq!(store.list().unwrap(), [chain()]);
        store.retire(&chain()).unwrap();
        store.collect().unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_unfinished_one_is_collected() {
        let dir = tempfile::tempdir().unwrap();
        let store = SnapshotStore::open(dir.path()).unwrap();
        std::fs::create_dir_all(dir.path().join("tmp-a/fs/b")).unwrap();
        store.collect().unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let SnapshotClaim::Mine(building) = store.claim(&chain()).unwrap() else { panic!() };
        std::fs::write(building.path().join("file"), "x").unwrap();
        drop(building);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
