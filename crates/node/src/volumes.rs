//! Named volumes: directories below the state directory.

mod size;

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use caisson_rootpath::Root;
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, openat, renameat_with};
use rustix::io::Errno;

use crate::clock::now_nanos;
use crate::engine::Engine;
use crate::identity::{RandomError, new_id};
use crate::metadata::{Forgotten, Metadata, MetadataError, VolumeRecord};
use crate::request::is_volume_name;
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
    /// The name is no name.
    #[error(
        "{0:?} is no name of a volume: two or more of A-Z a-z 0-9 _ . -, a letter or digit first"
    )]
    Name(String),
    /// There is none of that name.
    #[error("no volume is called {0:?} (caisson volume ls lists them)")]
    NotFound(String),
    /// Containers use it.
    #[error(
        "volume {name} is in use by {}: remove {} first",
        users(containers),
        if containers.len() == 1 { "that container" } else { "those containers" }
    )]
    InUse {
        /// The volume.
        name: String,
        /// Their names.
        containers: Vec<String>,
    },
    /// How much is in it can't be counted.
    #[error("cannot look through volume {name}: {source}")]
    Walk {
        /// The volume.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// No random bytes for a name.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The database.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

fn users(containers: &[String]) -> String {
    let word = if containers.len() == 1 { "container" } else { "containers" };
    format!("{word} {}", containers.join(", "))
}

/// A volume and who uses it.
#[derive(Clone, Debug)]
pub struct VolumeView {
    /// What is kept of it.
    pub record: VolumeRecord,
    /// Where its content is on the host.
    pub path: PathBuf,
    /// Names of the containers that use it, those that don't run too.
    pub containers: Vec<String>,
}

impl Engine {
    /// All volumes, by name.
    ///
    /// # Errors
    /// [`VolumeError::Metadata`].
    pub fn volumes(&self) -> Result<Vec<VolumeView>, VolumeError> {
        let metadata = self.metadata();
        metadata.volumes()?.into_iter().map(|record| self.view(&metadata, record)).collect()
    }

    /// The volume of that name.
    ///
    /// # Errors
    /// [`VolumeError::NotFound`].
    pub fn volume(&self, name: &str) -> Result<VolumeView, VolumeError> {
        let metadata = self.metadata();
        let record = metadata.volume(name)?;
        self.view(&metadata, record.ok_or_else(|| VolumeError::NotFound(name.to_owned()))?)
    }

    fn view(&self, metadata: &Metadata, record: VolumeRecord) -> Result<VolumeView, VolumeError> {
        let containers = metadata.volume_users(&record.name)?;
        Ok(VolumeView { path: data_dir(&self.paths.volumes(), &record.name), containers, record })
    }

    /// Makes an empty volume, one without a name under a made-up one, and
    /// returns its name. A volume of that name that is there stays as it is.
    ///
    /// # Errors
    /// [`VolumeError::Name`].
    pub fn create_volume(
        &self,
        name: Option<&str>,
        labels: BTreeMap<String, String>,
    ) -> Result<String, VolumeError> {
        let record = VolumeRecord {
            name: match name {
                Some(name) if is_volume_name(name) => name.to_owned(),
                Some(name) => return Err(VolumeError::Name(name.to_owned())),
                None => new_id()?,
            },
            created: now_nanos(),
            anonymous: name.is_none(),
            owner: None,
            labels,
        };
        ensure(&self.paths.volumes(), &mut self.metadata(), &record, None)?;
        Ok(record.name)
    }

    /// Removes a volume that no container uses, and all that is in it.
    ///
    /// # Errors
    /// [`VolumeError::NotFound`], [`VolumeError::InUse`].
    pub fn remove_volume(&self, name: &str) -> Result<(), VolumeError> {
        let not_found = || VolumeError::NotFound(name.to_owned());
        if !is_volume_name(name) {
            return Err(not_found());
        }
        let volumes = self.paths.volumes();
        let forgotten = forget(&volumes, &mut self.metadata(), name)?;
        match forgotten {
            Forgotten::Yes => sweep(&volumes),
            Forgotten::Unknown => Err(not_found()),
            Forgotten::InUse(containers) => {
                Err(VolumeError::InUse { name: name.to_owned(), containers })
            }
        }
    }

    /// Bytes that the files of a volume take.
    ///
    /// # Errors
    /// [`VolumeError::Walk`].
    pub fn volume_size(&self, name: &str) -> Result<u64, VolumeError> {
        size::of(&data_dir(&self.paths.volumes(), name))
            .map_err(|source| VolumeError::Walk { name: name.to_owned(), source })
    }
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
    record: &VolumeRecord,
    filling: Option<Filling<'_>>,
) -> Result<PathBuf, VolumeError> {
    let name = record.name.as_str();
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
    metadata.add_volume(record)?;
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

/// What removals put aside is called, before the volume's name.
const ASIDE: &str = ".removed-";

/// Forgets a volume that nobody uses and puts its directory aside; what is in
/// it goes with [`sweep`].
pub(crate) fn forget(
    volumes: &Path,
    metadata: &mut Metadata,
    name: &str,
) -> Result<Forgotten, MetadataError> {
    metadata.forget_volume(name, || {
        let aside = volumes.join(format!("{ASIDE}{}", new_id().map_err(std::io::Error::other)?));
        missing_is_fine(std::fs::rename(volumes.join(name), aside))
    })
}

/// Removes what was put aside, also by those who were killed before they could
/// remove it themselves.
pub(crate) fn sweep(volumes: &Path) -> Result<(), VolumeError> {
    let fail = |name: &str| {
        let name = name.to_owned();
        move |source| VolumeError::Directory { what: "remove", name, source }
    };
    for entry in std::fs::read_dir(volumes).map_err(fail("directories"))?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(ASIDE) {
            // Another remover may be at it too.
            missing_is_fine(std::fs::remove_dir_all(entry.path())).map_err(fail(&name))?;
        }
    }
    Ok(())
}

fn missing_is_fine(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
