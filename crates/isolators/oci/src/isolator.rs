//! The seam's first level.

use caisson_isolator::{ContainerId, Isolator, Overhead, Sandbox, SandboxError, SandboxRequest};
use caisson_runtime_spec::features::Features;

use crate::Settings;
use crate::sandbox::OciSandbox;
use crate::state::StateRoot;

/// The name that configurations of supervisors use.
pub const NAME: &str = "oci";

/// See the crate's documentation.
#[derive(Debug)]
pub struct OciIsolator {
    settings: Settings,
}

impl OciIsolator {
    /// An isolator that calls `settings.program`.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    fn states(&self) -> StateRoot {
        StateRoot::new(self.settings.state_root.clone())
    }
}

impl Isolator for OciIsolator {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Empty where the runtime does not say, or can't be asked.
    fn features(&self) -> Features {
        self.settings.features().ok().flatten().unwrap_or_default()
    }

    fn version(&self) -> Option<String> {
        self.settings.version().ok()
    }

    /// Of runtimes that leave no process behind; of others nothing is known.
    fn overhead(&self) -> Overhead {
        Overhead::default()
    }

    fn create_sandbox(
        &self,
        request: &SandboxRequest<'_>,
    ) -> Result<Box<dyn Sandbox>, SandboxError> {
        let dir = self.states().create(request.id)?;
        Ok(Box::new(OciSandbox::new(self.settings.clone(), request.id.clone(), dir)))
    }

    fn open_sandbox(&self, id: &ContainerId) -> Result<Box<dyn Sandbox>, SandboxError> {
        let dir = self.states().open(id)?;
        Ok(Box::new(OciSandbox::new(self.settings.clone(), id.clone(), dir)))
    }

    fn sandboxes(&self) -> Result<Vec<ContainerId>, SandboxError> {
        self.states().ids()
    }
}
