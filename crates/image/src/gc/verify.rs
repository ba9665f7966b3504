//! Looking whether everything is what it should be.

use std::collections::BTreeSet;
use std::io::Read as _;

use crate::Digest;
use crate::content::Hasher;
use crate::locked_file::StoreIoError;
use crate::store::{Store, StoreError};

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A blob's content has changed.
    #[error("blob {digest} is damaged: its content hashes to {found}")]
    DamagedBlob {
        /// Its name.
        digest: Digest,
        /// What it hashes to.
        found: Digest,
    },
    /// A blob can't be read.
    #[error("blob {digest} can't be read: {reason}")]
    UnreadableBlob {
        /// Its name.
        digest: Digest,
        /// Why.
        reason: String,
    },
    /// A blob of an image is not there, or has another size.
    #[error("blob {digest} of image {image} is not there")]
    MissingBlob {
        /// The image.
        image: String,
        /// The blob.
        digest: Digest,
    },
    /// An unpacked layer of an image is not there.
    #[error("the unpacked layer {chain} of image {image} is not there")]
    MissingSnapshot {
        /// The image.
        image: String,
        /// Its chain id.
        chain: Digest,
    },
}

/// What [`Store::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Images that were looked at.
    pub images: usize,
    /// Blobs that were hashed.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

impl Store {
    /// Hashes every blob, and looks whether the blobs and unpacked layers of
    /// every image are there.
    pub fn verify(&self) -> Result<VerifyReport, StoreError> {
        let mut report = VerifyReport::default();
        let mut seen = BTreeSet::new();
        for (digest, _) in self.content.list()? {
            match self.hash_blob(&digest) {
                Ok((found, bytes)) => {
                    report.blobs += 1;
                    report.bytes += bytes;
                    if found != digest {
                        let digest = digest.clone();
                        report.problems.push(Problem::DamagedBlob { digest, found });
                    }
                }
                // Collected since it was listed.
                Err(_) if self.content.size(&digest)?.is_none() => continue,
                Err(error) => {
                    let (digest, reason) = (digest.clone(), error.to_string());
                    report.problems.push(Problem::UnreadableBlob { digest, reason });
                }
            }
            seen.insert(digest);
        }
        for image in self.meta.all()? {
            report.images += 1;
            let blobs = image.layers.iter().chain([&image.manifest, &image.config_descriptor]);
            let mut wanted = BTreeSet::new();
            for blob in blobs {
                if wanted.insert(&blob.digest)
                    && self.content.size(&blob.digest)? != Some(blob.size)
                    && self.meta.by_row(image.row)?.is_some()
                {
                    let (image, digest) = (image.title(), blob.digest.clone());
                    report.problems.push(Problem::MissingBlob { image, digest });
                }
            }
            for chain in &image.chain {
                if !self.snapshots.exists(chain) && self.meta.by_row(image.row)?.is_some() {
                    let (image, chain) = (image.title(), chain.clone());
                    report.problems.push(Problem::MissingSnapshot { image, chain });
                }
            }
        }
        Ok(report)
    }

    fn hash_blob(&self, digest: &Digest) -> Result<(Digest, u64), StoreError> {
        let mut file = self.content.open_blob(digest)?;
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = vec![0; 256 << 10];
        let mut bytes = 0;
        loop {
            let count = file
                .read(&mut buffer)
                .map_err(StoreIoError::on("read", &self.content.path(digest)))?;
            if count == 0 {
                return Ok((hasher.finish(), bytes));
            }
            hasher.update(buffer.get(..count).unwrap_or_default());
            bytes += count as u64;
        }
    }
}
