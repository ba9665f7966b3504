//! Blobs on their way in.
//!
//! One file per digest, `ingest/<algorithm>-<hex>`, locked by whoever writes
//! it. When the content has matched, the file itself becomes the blob; whoever
//! waited for the lock finds its name gone and the blob present. A holder that
//! dies leaves the file, and the next one goes on where it ended.

use std::fs::{File, Permissions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{ContentError, ContentStore, Hasher, write_all};
use crate::locked_file::{Claimed, StoreIoError, claim, try_claim};
use crate::{Algorithm, Digest};

/// What [`ContentStore::ingest`] found.
#[derive(Debug)]
pub enum Claim {
    /// The blob is in the store.
    Present,
    /// It is the caller's to bring in; nobody else does as long as this lives.
    Mine(Box<Ingest>),
}

pub(super) fn claim_blob(
    store: &ContentStore,
    digest: &Digest,
    size: u64,
) -> Result<Claim, ContentError> {
    let present = || -> Result<bool, ContentError> {
        match store.size(digest)? {
            None => Ok(false),
            Some(found) if found == size => Ok(true),
            Some(found) => {
                Err(ContentError::WrongSize { digest: digest.clone(), expected: size, found })
            }
        }
    };
    if present()? {
        return Ok(Claim::Present);
    }
    let path = store.ingest_path(digest);
    let file = claim(&path, Claimed::File)?;
    if present()? {
        // Another one finished, and we made a new file for nothing.
        std::fs::remove_file(&path).map_err(StoreIoError::on("remove", &path))?;
        return Ok(Claim::Present);
    }
    let existing = file.metadata().map_err(StoreIoError::on("stat", &path))?.len();
    let mut ingest = Ingest {
        file,
        path,
        target: store.path(digest),
        digest: digest.clone(),
        size,
        existing,
        written: 0,
        hasher: Hasher::new(digest.algorithm()),
    };
    if existing > size {
        ingest.restart()?;
    }
    Ok(Claim::Mine(Box::new(ingest)))
}

/// A blob that is being brought in. First the part that is there already is
/// read with [`Ingest::next_existing`] until it is used up (or dropped with
/// [`Ingest::restart`]), then the rest is written, then [`Ingest::commit`].
/// Dropped before that, what was written stays for the next attempt.
#[derive(Debug)]
pub struct Ingest {
    file: File,
    path: PathBuf,
    target: PathBuf,
    digest: Digest,
    size: u64,
    existing: u64,
    written: u64,
    hasher: Hasher,
}

impl Ingest {
    /// Bytes of an earlier attempt.
    #[must_use]
    pub fn existing(&self) -> u64 {
        self.existing
    }

    /// Bytes hashed so far: where the next ones belong.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.written
    }

    /// The announced size.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads the next bytes of an earlier attempt into `buffer`, and hashes
    /// them. The number is 0 when there are no more.
    pub fn next_existing(&mut self, buffer: &mut [u8]) -> Result<usize, ContentError> {
        let left = usize::try_from(self.existing - self.written).unwrap_or(usize::MAX);
        let take = left.min(buffer.len());
        let part = buffer.get_mut(..take).unwrap_or_default();
        if part.is_empty() {
            return Ok(0);
        }
        let count = loop {
            match self.file.read(part) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other.map_err(StoreIoError::on("read", &self.path))?,
            }
        };
        if count == 0 {
            self.existing = self.written;
            return Ok(0);
        }
        self.hasher.update(part.get(..count).unwrap_or_default());
        self.written += count as u64;
        Ok(count)
    }

    /// Forgets everything that was written.
    pub fn restart(&mut self) -> Result<(), ContentError> {
        self.file.set_len(0).map_err(StoreIoError::on("truncate", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(StoreIoError::on("rewind", &self.path))?;
        self.hasher = Hasher::new(self.digest.algorithm());
        (self.existing, self.written) = (0, 0);
        Ok(())
    }

    /// Adds the next bytes. More than announced are refused.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ContentError> {
        let after = self.written + bytes.len() as u64;
        if after > self.size {
            let (digest, expected) = (self.digest.clone(), self.size);
            return Err(ContentError::WrongSize { digest, expected, found: after });
        }
        write_all(&mut self.file, &self.path, bytes)?;
        self.hasher.update(bytes);
        self.written = after;
        Ok(())
    }

    /// Makes it a blob, if size and digest are the announced ones. If the
    /// digest is another one, what was written is removed.
    pub fn commit(self) -> Result<(), ContentError> {
        if self.written != self.size {
            let (digest, expected, found) = (self.digest, self.size, self.written);
            return Err(ContentError::WrongSize { digest, expected, found });
        }
        let found = self.hasher.finish();
        if found != self.digest {
            std::fs::remove_file(&self.path).map_err(StoreIoError::on("remove", &self.path))?;
            return Err(ContentError::WrongDigest { expected: self.digest, found });
        }
        publish(&self.file, &self.path, &self.target)
    }

    /// Removes what was written.
    pub fn discard(self) -> Result<(), ContentError> {
        std::fs::remove_file(&self.path).map_err(StoreIoError::on("remove", &self.path))?;
        Ok(())
    }
}

fn publish(file: &File, path: &PathBuf, target: &PathBuf) -> Result<(), ContentError> {
    file.set_permissions(Permissions::from_mode(0o444))
        .map_err(StoreIoError::on("protect", path))?;
    std::fs::rename(path, target).map_err(StoreIoError::on("commit", target))?;
    Ok(())
}

/// A blob that is named when it has come. Dropped before it is committed, it
/// is gone.
#[derive(Debug)]
pub struct NewIngest {
    store: ContentStore,
    file: File,
    path: PathBuf,
    hasher: Hasher,
    written: u64,
    done: bool,
}

impl NewIngest {
    pub(super) fn start(store: &ContentStore) -> Result<Self, ContentError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("new-{}-{number}", std::process::id());
            let path = store.root().join("ingest").join(name);
            // Somebody else's of the same number, from another PID namespace.
            let Some(file) = try_claim(&path, Claimed::File, true)? else { continue };
            file.set_len(0).map_err(StoreIoError::on("truncate", &path))?;
            let hasher = Hasher::new(Algorithm::Sha256);
            return Ok(Self { store: store.clone(), file, path, hasher, written: 0, done: false });
        }
    }

    /// Adds the next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ContentError> {
        write_all(&mut self.file, &self.path, bytes)?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// The SHA-256 digest and the size of what has come.
    #[must_use]
    pub fn digest(&self) -> (Digest, u64) {
        (self.hasher.clone().finish(), self.written)
    }

    /// Makes it a blob. The caller has leased the digest before.
    pub fn commit(mut self) -> Result<(Digest, u64), ContentError> {
        let (digest, size) = self.digest();
        if self.store.size(&digest)?.is_none() {
            publish(&self.file, &self.path, &self.store.path(&digest))?;
            self.done = true;
        }
        Ok((digest, size))
    }
}

impl NewIngest {
    /// Makes it a blob by the name of another algorithm's digest, which is
    /// compared; its size. The caller has leased the digest before.
    pub(crate) fn commit_as(mut self, digest: &Digest) -> Result<u64, ContentError> {
        let failed = || StoreIoError::on::<std::io::Error>("read", &self.path);
        let mut hasher = Hasher::new(digest.algorithm());
        let mut file = File::open(&self.path).map_err(failed())?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = file.read(&mut buffer).map_err(failed())?;
            if count == 0 {
                break;
            }
            hasher.update(buffer.get(..count).unwrap_or_default());
        }
        let found = hasher.finish();
        if found != *digest {
            return Err(ContentError::WrongDigest { expected: digest.clone(), found });
        }
        publish(&self.file, &self.path, &self.store.path(digest))?;
        self.done = true;
        Ok(self.written)
    }
}

impl Drop for NewIngest {
    fn drop(&mut self) {
        if !self.done {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
