//! What containers are doing now.

use caisson_shim::client::{ClientError, Container, connect, is_alive};
use caisson_shim::{State, Status as ShimStatus};

use super::error::ContainerError;
use crate::engine::Engine;
use crate::metadata::{ContainerRecord, MetadataError, Phase};

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, never started.
    Created,
    /// It runs.
    Running,
    /// It is frozen.
    Paused,
    /// It has ended and waits to be started again.
    Restarting,
    /// It has ended.
    Exited,
}

impl Status {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
        }
    }
}

/// A container as it is now.
#[derive(Clone, Debug)]
pub struct ContainerView {
    /// What is kept of it.
    pub record: ContainerRecord,
    /// What it does.
    pub status: Status,
    /// What its supervisor says, while it has one.
    pub live: Option<State>,
}

impl Engine {
    /// A container that runs, as its supervisor offers it.
    ///
    /// # Errors
    /// [`ClientError::NotListening`].
    pub fn shim(&self, id: &str) -> Result<Container, ClientError> {
        connect(&self.paths.pod(id)).map(|shim| shim.container(id))
    }

    /// The container of that name, or whose id starts so, as it is now.
    ///
    /// # Errors
    /// [`MetadataError::NotFound`], [`MetadataError::Ambiguous`].
    pub fn container(&self, name: &str) -> Result<ContainerView, ContainerError> {
        let record = self.metadata().find(name)?;
        self.look(record)?.ok_or_else(|| MetadataError::NotFound(name.to_owned()).into())
    }

    /// All containers, the newest first. What is being made or removed is left
    /// out.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn containers(&self) -> Result<Vec<ContainerView>, ContainerError> {
        let records = self.metadata().list()?;
        let mut views = Vec::with_capacity(records.len());
        for record in records {
            if matches!(record.phase, Phase::Creating | Phase::Removing) {
                continue;
            }
            views.extend(self.look(record)?);
        }
        Ok(views)
    }

    /// Asks the supervisor, and settles a container whose supervisor is gone.
    /// `None` if that removed it.
    fn look(&self, record: ContainerRecord) -> Result<Option<ContainerView>, ContainerError> {
        let plain = |record: ContainerRecord| {
            let status = match record.phase {
                Phase::Created | Phase::Creating => Status::Created,
                _ => Status::Exited,
            };
            ContainerView { record, status, live: None }
        };
        if record.phase != Phase::Running {
            return Ok(Some(plain(record)));
        }
        let state = self.shim(&record.id).and_then(|shim| shim.state());
        if let Ok(state) = state {
            let status = match state.status {
                ShimStatus::Creating | ShimStatus::Created | ShimStatus::Running => Status::Running,
                ShimStatus::Paused => Status::Paused,
                ShimStatus::Restarting => Status::Restarting,
                ShimStatus::Stopped => Status::Exited,
            };
            return Ok(Some(ContainerView { record, status, live: Some(state) }));
        }
        let pod = self.paths.pod(&record.id);
        if is_alive(&pod).unwrap_or(true) {
            // It is just coming up, or going.
            return Ok(Some(ContainerView { record, status: Status::Running, live: None }));
        }
        match self.settle(&record.id) {
            Ok(Some(settled)) if self.metadata().knows(&record.id)? => Ok(Some(plain(settled))),
            Ok(_) => Ok(None),
            // To look at a container must not fail because it can't be tidied up.
            Err(_) => Ok(Some(ContainerView { record, status: Status::Exited, live: None })),
        }
    }
}
