//! The seam's second level: a sandbox of one container with the same name. All
//! of a state root are in one shim.

use std::rc::Rc;

use caisson_isolator::{
    Container, ContainerId, ContainerRequest, ContainerStatus, Sandbox, SandboxError,
};

use crate::container::{ShimContainer, status_of, wrong};
use crate::pod::Pod;
use crate::state::StateDir;
use crate::{NAME, Settings, create, removal};

/// One container's place.
#[derive(Debug)]
pub(crate) struct ShimSandbox {
    settings: Rc<Settings>,
    id: ContainerId,
    dir: Rc<StateDir>,
}

impl ShimSandbox {
    pub(crate) fn new(settings: Settings, id: ContainerId, dir: StateDir) -> Self {
        Self { settings: Rc::new(settings), id, dir: Rc::new(dir) }
    }
}

impl Sandbox for ShimSandbox {
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
        Ok(Box::new(ShimContainer::new(
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
        let (settings, dir) = (Rc::clone(&self.settings), Rc::clone(&self.dir));
        Ok(Box::new(ShimContainer::new(settings, self.id.clone(), dir, None)))
    }

    fn containers(&self) -> Result<Vec<ContainerId>, SandboxError> {
        Ok(vec![self.id.clone()])
    }

    fn delete(&self, force: bool) -> Result<(), SandboxError> {
        if !force {
            match status_of(&self.settings, &self.id)?.0 {
                ContainerStatus::Created | ContainerStatus::Stopped => {}
                status => return Err(wrong(&self.id, "delete", status)),
            }
        }
        removal::remove(&self.settings, &Pod::lock(&self.settings)?, &self.id, &self.dir)
    }
}
