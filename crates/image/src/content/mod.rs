//! The content store: blobs by digest, in the form of an OCI image layout.
//!
//! `<root>/oci-layout`, `<root>/blobs/<algorithm>/<hex>` (mode 0444) and
//! `<root>/ingest/`, where blobs grow until their digest has matched. A blob
//! appears by rename, so it is complete or not there. What is being ingested
//! is locked by its holder; see [`Ingest`].

mod error;
mod hasher;
mod ingest;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

pub use error::ContentError;
pub(crate) use hasher::{Hasher, digest_of};
pub use ingest::{Claim, Ingest, NewIngest};

use crate::locked_file::{Claimed, StoreIoError, make_dirs, names, try_claim};
use crate::{Algorithm, Digest};

/// The first line of `oci-layout`.
const LAYOUT: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";

/// Blobs below one directory. Several processes may use it at once.
#[derive(Clone, Debug)]
pub struct ContentStore {
    root: PathBuf,
}

impl ContentStore {
    /// The store at `root`, made if it is not there.
    pub fn open(root: &Path) -> Result<Self, ContentError> {
        let layout = root.join("oci-layout");
        if !layout.exists() {
            make_dirs(&root.join("blobs/sha256"), 0o700)?;
            make_dirs(&root.join("blobs/sha512"), 0o700)?;
            make_dirs(&root.join("ingest"), 0o700)?;
            let temporary = root.join(format!("ingest/layout-{}", std::process::id()));
            std::fs::write(&temporary, LAYOUT).map_err(StoreIoError::on("write", &temporary))?;
            std::fs::rename(&temporary, &layout).map_err(StoreIoError::on("make", &layout))?;
        }
        Ok(Self { root: root.to_owned() })
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the blob is, or would be.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
    }

    fn ingest_path(&self, digest: &Digest) -> PathBuf {
        let name = format!("{}-{}", digest.algorithm().as_str(), digest.hex());
        self.root.join("ingest").join(name)
    }

    /// The blob's size; `None` when it is not there.
    pub fn size(&self, digest: &Digest) -> Result<Option<u64>, ContentError> {
        let path = self.path(digest);
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => Ok(Some(found.len())),
            Ok(_) => Ok(None),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreIoError::on("stat", &path)(e).into()),
        }
    }

    /// The blob, opened to read. It is not hashed again.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, ContentError> {
        let path = self.path(digest);
        File::open(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => ContentError::Missing(digest.clone()),
            _ => StoreIoError::on("open", &path)(e).into(),
        })
    }

    /// The whole blob, hashed again. `limit` caps its size.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, ContentError> {
        let path = self.path(digest);
        let file = self.open_blob(digest)?;
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(StoreIoError::on("read", &path))?;
        let size = bytes.len() as u64;
        if size > limit {
            return Err(ContentError::TooLarge { digest: digest.clone(), size, limit });
        }
        let found = digest_of(digest.algorithm(), &bytes);
        if found == *digest {
            Ok(bytes)
        } else {
            Err(ContentError::WrongDigest { expected: digest.clone(), found })
        }
    }

    /// Stores `bytes`, which must hash to `digest`.
    pub fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), ContentError> {
        let found = digest_of(digest.algorithm(), bytes);
        if found != *digest {
            return Err(ContentError::WrongDigest { expected: digest.clone(), found });
        }
        match self.ingest(digest, bytes.len() as u64)? {
            Claim::Present => Ok(()),
            Claim::Mine(mut ingest) => {
                ingest.restart()?;
                ingest.write(bytes)?;
                ingest.commit()
            }
        }
    }

    /// Claims the right to bring in a blob. Waits while another thread or
    /// process does the same, and then mostly finds it present.
    pub fn ingest(&self, digest: &Digest, size: u64) -> Result<Claim, ContentError> {
        ingest::claim_blob(self, digest, size)
    }

    /// A blob whose digest is not known before it has come.
    pub fn ingest_new(&self) -> Result<NewIngest, ContentError> {
        NewIngest::start(self)
    }

    /// Every blob with its size, in no order.
    pub fn list(&self) -> Result<Vec<(Digest, u64)>, ContentError> {
        let mut found = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let dir = self.root.join("blobs").join(algorithm.as_str());
            for name in names(&dir)? {
                let Ok(digest) = format!("{}:{name}", algorithm.as_str()).parse::<Digest>() else {
                    continue;
                };
                if let Some(size) = self.size(&digest)? {
                    found.push((digest, size));
                }
            }
        }
        Ok(found)
    }

    /// Removes a blob; whether it was there. Only for the collector, which
    /// knows that nothing refers to it.
    pub(crate) fn remove(&self, digest: &Digest) -> Result<bool, ContentError> {
        let path = self.path(digest);
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(StoreIoError::on("remove", &path)(e).into()),
        }
    }

    /// Removes what was being ingested by processes that have ended, where it
    /// has not been written to for `age`; `None` for any age. Returns the bytes.
    pub(crate) fn collect_ingests(
        &self,
        age: Option<std::time::Duration>,
    ) -> Result<u64, ContentError> {
        let dir = self.root.join("ingest");
        let mut freed = 0;
        for name in names(&dir)? {
            let path = dir.join(name);
            let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
            if !metadata.is_file() {
                continue;
            }
            let idle = metadata.modified().ok().and_then(|m| m.elapsed().ok()).unwrap_or_default();
            if age.is_some_and(|age| idle < age) {
                continue;
            }
            if let Some(_held) = try_claim(&path, Claimed::File, false)? {
                std::fs::remove_file(&path).map_err(StoreIoError::on("remove", &path))?;
                freed += metadata.len();
            }
        }
        Ok(freed)
    }

    /// Removes what has come of blobs that nobody is at.
    pub(crate) fn discard_ingests<'d>(
        &self,
        digests: impl IntoIterator<Item = &'d Digest>,
    ) -> Result<(), ContentError> {
        for digest in digests {
            let path = self.ingest_path(digest);
            if let Some(_held) = try_claim(&path, Claimed::File, false)? {
                std::fs::remove_file(&path).map_err(StoreIoError::on("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Writes everything of this file system to its disk (syncfs(2)), so that
    /// what is said next of the content holds after a power failure too.
    pub fn sync(&self) -> Result<(), ContentError> {
        let dir = File::open(&self.root).map_err(StoreIoError::on("open", &self.root))?;
        rustix::fs::syncfs(&dir).map_err(StoreIoError::on("sync", &self.root))?;
        Ok(())
    }
}

/// Writes all of `bytes` to a file of the store.
fn write_all(file: &mut File, path: &Path, bytes: &[u8]) -> Result<(), ContentError> {
    file.write_all(bytes).map_err(|e| StoreIoError::on("write", path)(e).into())
}
