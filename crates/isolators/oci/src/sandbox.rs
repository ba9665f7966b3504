//! The seam's second level: a sandbox of one container with the same name.

use std::rc::Rc;

use caisson_isolator::{
    Container, ContainerId, ContainerRequest, ContainerStatus, Sandbox, SandboxError,
};

use crate::container::OciContainer;
use crate::state::StateDir;
use crate::{NAME, Settings, create, removal};

/// One container's place.
#[derive(Debug)]
pub(crate) struct OciSandbox {
    settings: Rc<Settings>,
    id: ContainerId,
    dir: Rc<StateDir>,
}

impl OciSandbox {
    pub(crate) fn new(settings: Settings, id: ContainerId, dir: StateDir) -> Self {
        Self { settings: Rc::new(settings), id, dir: Rc::new(dir) }
    }

    fn open(&self) -> OciContainer {
        OciContainer::new(Rc::clone(&self.settings), self.id.clone(), Rc::clone(&self.dir), None)
    }
}

impl Sandbox for OciSandbox {
    fn create_container(
        &self,
        request: ContainerRequest,
    ) -> Result<Box<dyn Container>, SandboxError> {
        if request.id != self.id {
            return Err(SandboxError::Unsupported {
                isolator: NAME,
                operation: format!("put container {} into sandbox {}", request.id, self.id),
            });
        }
        let process = create::create(&self.settings, &self.dir, request)?;
        Ok(Box::new(OciContainer::new(
            Rc::clone(&self.settings),
            self.id.clone(),
            Rc::clone(&self.dir),
            Some(process),
        )))
    }

    fn container(&self, id: &ContainerId) -> Result<Box<dyn Container>, SandboxError> {
        if *id != self.id || self.dir.record()?.is_none() {
            return Err(SandboxError::NotFound(id.to_string()));
        }
        Ok(Box::new(self.open()))
    }

    fn containers(&self) -> Result<Vec<ContainerId>, SandboxError> {
        Ok(vec![self.id.clone()])
    }

    fn delete(&self, force: bool) -> Result<(), SandboxError> {
        let status = self.open().status()?;
        match status {
            ContainerStatus::Created | ContainerStatus::Stopped => {}
            _ if force => {}
            status => {
                return Err(SandboxError::WrongStatus {
                    id: self.id.to_string(),
                    operation: "delete",
                    status,
                });
            }
        }
        removal::remove(&self.settings, &self.id, &self.dir)
    }
}
