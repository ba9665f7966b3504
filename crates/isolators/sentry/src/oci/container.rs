//! The seam's third level.

use std::path::PathBuf;

use caisson_isolator::{
    Container, ContainerInfo, ContainerStatus, ExecRequest, Resources, SandboxError, SpawnedProcess,
};

use super::exec::exec;

/// One container: a native one, whose first process is the sentry.
pub(super) struct SentryContainer {
    native: Box<dyn Container>,
    dir: PathBuf,
}

impl SentryContainer {
    pub(super) fn new(native: Box<dyn Container>, dir: PathBuf) -> Self {
        Self { native, dir }
    }
}

impl Container for SentryContainer {
    fn info(&self) -> Result<ContainerInfo, SandboxError> {
        self.native.info()
    }

    fn start(&self) -> Result<(), SandboxError> {
        self.native.start()
    }

    fn exec(&self, request: ExecRequest) -> Result<SpawnedProcess, SandboxError> {
        let info = self.native.info()?;
        match info.status {
            ContainerStatus::Running => exec(&self.dir, &request),
            // It could not hear of it.
            status => Err(SandboxError::WrongStatus {
                id: info.id.to_string(),
                operation: "exec in",
                status,
            }),
        }
    }

    fn signal(&self, signal: i32, all: bool) -> Result<(), SandboxError> {
        self.native.signal(signal, all)
    }

    fn first_process(&self) -> Option<&SpawnedProcess> {
        self.native.first_process()
    }

    fn resources(&self) -> &dyn Resources {
        self.native.resources()
    }
}
