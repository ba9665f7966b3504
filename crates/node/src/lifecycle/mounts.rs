//! What a new container is mounted with: volumes made, sources checked.

use std::collections::BTreeMap;
use std::path::Path;

use caisson_image::ImageRecord;

use super::error::CreateError;
use crate::clock::now_nanos;
use crate::engine::Engine;
use crate::identity::new_id;
use crate::metadata::{ContainerRecord, MountRecord, VolumeRecord};
use crate::request::{MountRequest, MountSource, OptionError};
use crate::rootfs::Layers;
use crate::volumes::{Filling, ensure};

impl Engine {
    /// Mounts of the request, of containers that it takes volumes from, and
    /// volumes that the image wants where the request has nothing.
    pub(super) fn resolve_mounts(
        &self,
        record: &ContainerRecord,
        image: &ImageRecord,
        layers: &Layers,
    ) -> Result<Vec<MountRecord>, CreateError> {
        let request = &record.document.request;
        let mut mounts: Vec<MountRecord> = Vec::new();
        let mut view = None;
        for text in &request.volumes_from {
            let (name, access) = text.split_once(':').unwrap_or((text, ""));
            if !matches!(access, "" | "ro" | "rw") {
                let source = OptionError::new(text, "it is NAME[:ro|:rw]");
                return Err(CreateError::Option { what: "--volumes-from", source });
            }
            let lender = self.metadata().find(name)?;
            let lent = lender.document.mounts.into_iter().filter(|m| m.kind != "tmpfs");
            for mut mount in lent {
                mount.writable &= access != "ro";
                put(&mut mounts, mount);
            }
        }
        for asked in &request.mounts {
            let mount = self.resolve_mount(record, asked, layers, &mut view)?;
            put(&mut mounts, mount);
        }
        for path in &image.config.config.volumes {
            // A stranger's text: only a plain absolute path counts.
            let there = |mount: &MountRecord| Path::new(&mount.destination) == Path::new(path);
            if !is_plain(path) || mounts.iter().any(there) {
                continue;
            }
            let asked = MountRequest {
                source: MountSource::Volume(None),
                destination: path.clone(),
                read_only: false,
                options: Vec::new(),
                create_source: false,
                no_copy: false,
            };
            mounts.push(self.resolve_mount(record, &asked, layers, &mut view)?);
        }
        Ok(mounts)
    }

    fn resolve_mount(
        &self,
        record: &ContainerRecord,
        asked: &MountRequest,
        layers: &Layers,
        view: &mut Option<caisson_rootpath::Root>,
    ) -> Result<MountRecord, CreateError> {
        let mut mount = MountRecord {
            kind: String::new(),
            volume: None,
            source: String::new(),
            destination: asked.destination.clone(),
            writable: !asked.read_only,
            options: asked.options.clone(),
        };
        match &asked.source {
            MountSource::Tmpfs => mount.kind = "tmpfs".to_owned(),
            MountSource::Bind(path) => {
                mount.kind = "bind".to_owned();
                mount.source = bind_source(path, asked.create_source)?;
            }
            MountSource::Volume(name) => {
                mount.kind = "volume".to_owned();
                let anonymous = name.is_none();
                let name = match name {
                    Some(name) => name.clone(),
                    None => new_id()?,
                };
                if view.is_none() && !asked.no_copy {
                    *view = Some(layers.view_image()?);
                }
                let filling = view
                    .as_ref()
                    .filter(|_| !asked.no_copy)
                    .map(|root| Filling { root, path: &asked.destination });
                let volume = VolumeRecord {
                    name: name.clone(),
                    created: now_nanos(),
                    anonymous,
                    owner: anonymous.then(|| record.id.clone()),
                    labels: BTreeMap::new(),
                };
                let data = ensure(&self.paths.volumes(), &mut self.metadata(), &volume, filling)?;
                mount.source = data.to_string_lossy().into_owned();
                mount.volume = Some(name);
            }
        }
        Ok(mount)
    }
}

/// A later mount at the same place replaces an earlier one.
fn put(mounts: &mut Vec<MountRecord>, mount: MountRecord) {
    mounts.retain(|old| Path::new(&old.destination) != Path::new(&mount.destination));
    mounts.push(mount);
}

fn bind_source(path: &str, create: bool) -> Result<String, CreateError> {
    let fail = |source| CreateError::Source { path: path.to_owned(), source };
    if create && !Path::new(path).exists() {
        std::fs::create_dir_all(path).map_err(fail)?;
    }
    let real = std::fs::canonicalize(path).map_err(fail)?;
    real.into_os_string().into_string().map_err(|_| {
        fail(std::io::Error::new(std::io::ErrorKind::InvalidInput, "the path is no UTF-8"))
    })
}

fn is_plain(path: &str) -> bool {
    let mut components = Path::new(path).components();
    components.next() == Some(std::path::Component::RootDir)
        && components.clone().next().is_some()
        && components.all(|part| matches!(part, std::path::Component::Normal(_)))
        && !path.contains('\0')
        && path.len() < 4096
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_images_volumes_are_plain_paths() {
        for good in ["/data", "/var/lib/x"] {
            assert!(is_plain(good));
        }
        for bad in ["", "/", "data", "/../x", "/a/../../b", "/a\0b", &"/x".repeat(3000)] {
            assert!(!is_plain(bad), "{bad}");
        }
    }

    #[test]
    fn sources_are_real_paths() {
        let temp = tempfile::tempdir().unwrap();
        let missing = temp.path().join("a/b");
        let text = missing.to_str().unwrap();
        assert!(bind_source(text, false).is_err());
        assert_eq!(
            bind_source(text, true).unwrap(),
            missing.canonicalize().unwrap().to_str().unwrap()
        );
    }
}
