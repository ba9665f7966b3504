//! The seam's first level.

use caisson_isolator::{ContainerId, Isolator, Overhead, Sandbox, SandboxError, SandboxRequest};
use caisson_runtime_spec::features::Features;

use crate::Settings;
use crate::sandbox::ShimSandbox;
use crate::state::{StateDir, containers};

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

    /// Empty: the protocol has no word for what a shim's runtime can do.
    fn features(&self) -> Features {
        Features::default()
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
