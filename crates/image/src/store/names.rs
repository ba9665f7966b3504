//! Names on and off, and images away.

use super::{FindImageError, Store, StoreError};
use crate::gc::KEEP;
use crate::meta::{ImageRecord, Removed};
use crate::{Platform, Reference};

/// Why an image was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveImageError {
    /// There is none.
    #[error(transparent)]
    Find(#[from] FindImageError),
    /// Containers were made from it.
    #[error(
        "image {image} is used by {}: remove {} first, or use --force to take only its names off",
        containers.join(", "), if containers.len() == 1 { "it" } else { "them" }
    )]
    InUse {
        /// The image.
        image: String,
        /// The containers.
        containers: Vec<String>,
    },
    /// An id was given, and the image has several names.
    #[error(
        "image {image} has several names ({}): remove them one by one, or use --force",
        names.join(", ")
    )]
    SeveralNames {
        /// The image.
        image: String,
        /// Its names.
        names: Vec<String>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovedImage {
    /// Names that were taken off.
    pub untagged: Vec<Reference>,
    /// The id of the image, if the image itself is gone.
    pub deleted: Option<crate::Digest>,
    /// Bytes of blobs and snapshots that are free now.
    pub reclaimed: u64,
}

impl Store {
    /// Gives the image another name. The name is taken off the image of the same
    /// platform that had it before.
    pub fn tag(&self, image: &ImageRecord, name: &Reference) -> Result<(), StoreError> {
        Ok(self.meta.set_name(image, &canonical(name))?)
    }

    /// Takes a name off; the image stays. Whether there was such a name.
    pub fn untag(&self, name: &Reference, platform: Option<&Platform>) -> Result<bool, StoreError> {
        Ok(self.meta.remove_name(&canonical(name), platform)?)
    }

    /// What `caisson rmi` does. By a name: takes it off, and removes the image
    /// when it was the last one. By an id: removes the image, if it has at most
    /// one name or `force` is given. An image that containers were made from is
    /// kept until they are gone; `force` then takes its names off only.
    pub fn remove(&self, query: &str, force: bool) -> Result<RemovedImage, RemoveImageError> {
        let image = self.find(query)?;
        let by_name = query
            .parse::<Reference>()
            .ok()
            .map(|r| canonical(&r))
            .filter(|r| image.names.contains(r));
        if let Some(name) = by_name {
            if image.names.len() > 1 {
                self.untag(&name, Some(&image.platform))?;
                return Ok(RemovedImage { untagged: vec![name], ..RemovedImage::default() });
            }
            return self.remove_record(image, query, force);
        }
        // The id may be that of one image in several compressions.
        let mut same = self.images()?;
        same.retain(|other| other.id == image.id && other.platform == image.platform);
        let names: Vec<_> = same.iter().flat_map(|i| &i.names).map(Reference::familiar).collect();
        if names.len() > 1 && !force {
            let image = image.short_id().to_owned();
            return Err(RemoveImageError::SeveralNames { image, names });
        }
        let mut removed = RemovedImage::default();
        for image in same {
            let one = self.remove_record(image, query, force)?;
            removed.untagged.extend(one.untagged);
            removed.deleted = one.deleted.or(removed.deleted);
            removed.reclaimed += one.reclaimed;
        }
        Ok(removed)
    }

    fn remove_record(
        &self,
        image: ImageRecord,
        query: &str,
        force: bool,
    ) -> Result<RemovedImage, RemoveImageError> {
        let mut removed = RemovedImage::default();
        if !image.containers.is_empty() && !force {
            let (image, containers) = (image.title(), image.containers);
            return Err(RemoveImageError::InUse { image, containers });
        }
        if self.meta.remove_record(image.row).map_err(StoreError::from)? == Removed::Kept {
            if !force {
                // A container has been made since we looked.
                let containers = self.find(query)?.containers;
                let image = image.title();
                return Err(RemoveImageError::InUse { image, containers });
            }
            for name in &image.names {
                self.untag(name, Some(&image.platform))?;
            }
        } else {
            removed.deleted = Some(image.id);
            removed.reclaimed = self.collect_garbage(KEEP)?.reclaimed;
        }
        removed.untagged = image.names;
        Ok(removed)
    }
}

/// A name by digest or by tag, not both.
pub(crate) fn canonical(name: &Reference) -> Reference {
    match name.digest() {
        Some(digest) => name.with_digest(digest.clone()),
        None => name.clone(),
    }
}
