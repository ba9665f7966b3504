//! Making a container: everything but starting it.

use std::path::Path;

use caisson_image::ImageRecord;
use caisson_net::{NetworkMode, PortMapping};

use super::error::CreateError;
use crate::clock::now_nanos;
use crate::container_lock::ContainerLock;
use crate::engine::Engine;
use crate::identity::{is_name, new_id, new_name};
use crate::metadata::{ContainerRecord, Document, Event, EventKind, MetadataError, Outcome, Phase};
use crate::oci_spec;
use crate::request::{ContainerRequest, NamespaceMode, RestartPolicy};
use crate::rootfs::Layers;

/// How often another made-up name is tried.
const NAME_TRIES: u32 = 20;

/// A container that was just made, and its lock.
#[derive(Debug)]
pub struct NewContainer {
    /// What it is.
    pub record: ContainerRecord,
    pub(super) lock: ContainerLock,
}

impl Engine {
    /// Makes a container of `image`. It keeps the image; its name is taken from
    /// here on.
    ///
    /// If `run` is set, it is not complete before it has been started: should
    /// the caller die until then, and the container be one that removes itself,
    /// then nothing of it stays.
    ///
    /// # Errors
    /// [`CreateError`]; then nothing is left.
    pub fn create(
        &self,
        request: ContainerRequest,
        image: &ImageRecord,
        run: bool,
    ) -> Result<NewContainer, CreateError> {
        self.check(&request)?;
        let handler = self.handlers().get(request.handler.as_deref())?;
        handler.isolator()?;
        let program = oci_spec::program(&request, &image.config)?;
        let id = new_id()?;
        let dir = self.paths.container(&id);
        let lock = ContainerLock::create(&dir)?;
        let unfinished = run && request.auto_remove;
        let mut record = ContainerRecord {
            name: request.name.clone().unwrap_or_default(),
            phase: Phase::Creating,
            created: now_nanos(),
            document: Document {
                request,
                handler: handler.name,
                image: image.id.clone(),
                program,
                mounts: Vec::new(),
            },
            outcome: Outcome::default(),
            id,
        };
        let made = self.make(&mut record, &dir, image, unfinished);
        match made {
            Ok(()) => Ok(NewContainer { record, lock }),
            Err(error) => {
                // What can't be undone now, collect does.
                let _ = self.remove_locked(&record, &lock, true);
                Err(error)
            }
        }
    }

    fn make(
        &self,
        record: &mut ContainerRecord,
        dir: &Path,
        image: &ImageRecord,
        unfinished: bool,
    ) -> Result<(), CreateError> {
        self.insert_named(record)?;
        self.store()?.retain(&record.id, image)?;
        for name in ["upper", "work"] {
            let path = dir.join(name);
            std::fs::create_dir(&path)
                .map_err(|source| CreateError::Directory { path: path.clone(), source })?;
        }
        let upper = dir.join("upper");
        std::fs::set_permissions(&upper, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .map_err(|source| CreateError::Directory { path: upper.clone(), source })?;
        let layers = self.layers(&record.id, image)?;
        record.document.mounts = self.resolve_mounts(record, image, &layers)?;
        let mut metadata = self.metadata();
        if !record.document.mounts.is_empty() {
            metadata.amend(record)?;
        }
        if !unfinished {
            record.phase = Phase::Created;
        }
        let event = event("create", record);
        metadata.advance(&record.id, record.phase, &record.outcome, &[event])?;
        Ok(())
    }

    /// The layers of a container of `image`.
    pub(crate) fn layers(&self, id: &str, image: &ImageRecord) -> Result<Layers, CreateError> {
        let dir = self.paths.container(id);
        let mut lowers = self.store()?.rootfs(image)?.lowers;
        if lowers.is_empty() {
            // Overlay wants one, and an image may have none.
            let empty = dir.join("empty");
            match std::fs::create_dir(&empty) {
                Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(CreateError::Directory { path: empty, source });
                }
                _ => lowers.push(empty),
            }
        }
        Ok(Layers {
            lowers,
            upper: dir.join("upper"),
            work: dir.join("work"),
            userxattr: self.rootless,
        })
    }

    /// Adds the record under its name, or under a made-up one.
    fn insert_named(&self, record: &mut ContainerRecord) -> Result<(), CreateError> {
        if !record.name.is_empty() {
            // Not in the match: the database would stay locked for all of it.
            let inserted = self.metadata().insert(record);
            return match inserted {
                Err(MetadataError::NameTaken { name, holder }) => {
                    // Perhaps its holder died half made.
                    if self.collect_one(&holder) {
                        return Ok(self.metadata().insert(record)?);
                    }
                    Err(MetadataError::NameTaken { name, holder }.into())
                }
                other => Ok(other?),
            };
        }
        for retry in 0.. {
            record.name = new_name(retry)?;
            let inserted = self.metadata().insert(record);
            match inserted {
                Err(MetadataError::NameTaken { .. }) if retry < NAME_TRIES => {}
                other => return Ok(other?),
            }
        }
        Ok(())
    }

    /// What can be known to be wrong before anything is made.
    fn check(&self, request: &ContainerRequest) -> Result<(), CreateError> {
        if let Some(name) = &request.name
            && !is_name(name)
        {
            return Err(CreateError::Name(name.clone()));
        }
        if request.auto_remove && request.restart != RestartPolicy::No {
            return Err(CreateError::Conflict(
                "--rm and --restart contradict each other: leave one out",
            ));
        }
        if !matches!(request.namespaces.user, NamespaceMode::Default | NamespaceMode::Host) {
            return Err(CreateError::Unsupported("a user namespace for one container (--userns)"));
        }
        oci_spec::bounding_set(&request.security, &oci_spec::all_capabilities())?;
        let mode = match request.network.mode.as_deref() {
            None => NetworkMode::Bridge,
            Some(text) => text.parse().map_err(CreateError::Network)?,
        };
        let publishes = !request.network.publish.is_empty() || request.network.publish_all;
        for text in &request.network.publish {
            PortMapping::parse(text)?;
        }
        match mode {
            NetworkMode::Container(_) if publishes => Err(CreateError::Conflict(
                "ports are published by the container whose network this one shares",
            )),
            NetworkMode::Container(_) if request.hostname.is_some() => Err(CreateError::Conflict(
                "the host name is that of the container whose network this one shares",
            )),
            _ => Ok(()),
        }?;
        for rule in &request.device_cgroup_rules {
            crate::request::parse_device_rule(rule)
                .map_err(|source| CreateError::Option { what: "device rule", source })?;
        }
        Ok(())
    }
}

/// An event about a container.
pub(super) fn event(action: &str, record: &ContainerRecord) -> Event {
    Event::now(EventKind::Container, action, &record.id)
        .with("name", record.name.as_str())
        .with("image", record.document.request.image.as_str())
}
