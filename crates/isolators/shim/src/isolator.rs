//! The seam's first level.

use caisson_isolator::{ContainerId, Isolator, Overhead, Sandbox, SandboxError, SandboxRequest};
use caisson_runtime_spec::features::Features;

use crate::sandbox::ShimSandbox;
use crate::state::{StateDir, containers};
use crate::{Settings, launch};

/// The name that configurations of supervisors use.
pub const NAME: &str = "shim";

/// See the crate's documentation.
#[derive(Debug)]
pub struct ShimIsolator {
    settings: Settings,
}

impl ShimIsolator {
    /// An isolator that runs `settings.program`.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

impl Isolator for ShimIsolator {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Empty where the shim does not say, as those before containerd 2.0.
    fn features(&self) -> Features {
        launch::features(&self.settings).unwrap_or_default()
    }

    fn version(&self) -> Option<String> {
        launch::version(&self.settings)
    }

    /// Nothing is known of it beforehand.
    fn overhead(&self) -> Overhead {
        Overhead::default()
    }

    fn create_sandbox(
        &self,
        request: &SandboxRequest<'_>,
    ) -> Result<Box<dyn Sandbox>, SandboxError> {
        let dir = StateDir(containers(&self.settings).create(request.id)?);
        Ok(Box::new(ShimSandbox::new(self.settings.clone(), request.id.clone(), dir)))
    }

    fn open_sandbox(&self, id: &ContainerId) -> Result<Box<dyn Sandbox>, SandboxError> {
        let dir = StateDir::open(&self.settings, id)?;
        Ok(Box::new(ShimSandbox::new(self.settings.clone(), id.clone(), dir)))
    }

    fn sandboxes(&self) -> Result<Vec<ContainerId>, SandboxError> {
        containers(&self.settings).ids()
    }
}
