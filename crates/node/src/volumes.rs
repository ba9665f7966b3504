//! Named volumes: directories below the state directory.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use caisson_rootpath::Root;
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, openat, renameat_with};
use rustix::io::Errno;

use crate::clock::now_nanos;
use crate::metadata::{Metadata, MetadataError, VolumeRecord};
use crate::tree_copy::{CopyTreeError, Owner, copy_tree};

/// Why a volume can't be used.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Its directory can't be made or removed.
    #[error("cannot {what} volume {name}: {source}")]
    Directory {
        /// What was tried.
        what: &'static str,
        /// The volume.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// The image's content can't be copied into it.
    #[error("cannot fill volume {name} from the image: {source}")]
    Fill {
        /// The volume.
        name: String,
        /// Why.
        source: CopyTreeError,
    },
    /// The database.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

/// Where a volume's content is.
#[must_use]
pub fn data_dir(volumes: &Path, name: &str) -> PathBuf {
    volumes.join(name).join("_data")
}

/// What a new volume is filled with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filling<'a> {
    /// The image's root file system.
    pub(crate) root: &'a Root,
    /// The directory in it.
    pub(crate) path: &'a str,
}

/// Makes the volume if it is not there: complete under another name first, so
/// that a half-filled one is never used.
pub(crate) fn ensure(
    volumes: &Path,
    metadata: &mut Metadata,
    name: &str,
    owner: Option<&str>,
    filling: Option<Filling<'_>>,
) -> Result<PathBuf, VolumeError> {
    let data = data_dir(volumes, name);
    let directory = |what: &'static str| {
        move |source: std::io::Error| VolumeError::Directory { what, name: name.to_owned(), source }
    };
    if !data.is_dir() {
        let temporary = volumes.join(format!(".new-{}-{name}", std::process::id()));
        let inner = temporary.join("_data");
        if temporary.exists() {
            std::fs::remove_dir_all(&temporary).map_err(directory("remove what is left of"))?;
        }
        std::fs::create_dir_all(&inner).map_err(directory("make"))?;
        if let Some(filling) = filling {
            fill(&inner, name, filling)?;
        }
        let to = volumes.join(name);
        match renameat_with(CWD, &temporary, CWD, &to, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            // Somebody else was faster: theirs counts.
            Err(Errno::EXIST) => {
                std::fs::remove_dir_all(&temporary).map_err(directory("remove a copy of"))?;
            }
            Err(error) => return Err(directory("make")(error.into())),
        }
    }
    metadata.add_volume(&VolumeRecord {
        name: name.to_owned(),
        created: now_nanos(),
        anonymous: owner.is_some(),
        owner: owner.map(str::to_owned),
    })?;
    Ok(data)
}

/// Only a directory can fill a volume; where the image has none, it is empty.
fn fill(data: &Path, name: &str, filling: Filling<'_>) -> Result<(), VolumeError> {
    let Ok(source) = filling.root.resolve_dir(Path::new(filling.path)) else {
        return Ok(());
    };
    let failed = |source| VolumeError::Fill { name: name.to_owned(), source };
    let open =
        |dir| openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let target =
        rustix::fs::open(data, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let step = |source| {
        failed(CopyTreeError::Step { what: "open", name: filling.path.to_owned(), source })
    };
    let (source, target) = (open(source.as_fd()).map_err(step)?, target.map_err(step)?);
    copy_tree(source.as_fd(), target.as_fd(), Owner::Keep).map_err(failed)
}

/// Removes a volume and all that is in it.
pub(crate) fn remove(
    volumes: &Path,
    metadata: &mut Metadata,
    name: &str,
) -> Result<(), VolumeError> {
    let fail = |source| VolumeError::Directory { what: "remove", name: name.to_owned(), source };
    match std::fs::remove_dir_all(volumes.join(name)) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail(error)),
    }
    metadata.forget_volume(name)?;
    Ok(())
}
