//! The seam's first level.

use std::path::PathBuf;
use std::rc::Rc;

use caisson_isolator::{ContainerId, Isolator, Overhead, Sandbox, SandboxError, SandboxRequest};
use caisson_runtime_spec::features::Features;

use crate::guest::GuestKernel;
use crate::sandbox::NativeSandbox;
use crate::state::StateRoot;

/// The name that handlers use.
pub const NAME: &str = "native";

/// How to make containers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where state is kept, one directory for each container.
    pub root: PathBuf,
    /// Have systemd make the cgroups.
    pub systemd_cgroup: bool,
    /// Tolerate what a user without root can't have; `None`: find out.
    pub rootless: Option<bool>,
    /// What runs the program in place of the host's kernel; `None`: execve(2).
    pub kernel: Option<Rc<dyn GuestKernel>>,
}

impl Settings {
    /// Whether the caller lacks root of the host: no uid 0, or uid 0 of a
    /// user namespace.
    pub(crate) fn is_rootless(&self) -> bool {
        self.rootless.unwrap_or_else(|| {
            !rustix::process::geteuid().is_root() || !crate::sources::is_initial_userns()
        })
    }
}

/// See the crate's documentation.
#[derive(Debug)]
pub struct NativeIsolator {
    settings: Settings,
}

impl NativeIsolator {
    /// An isolator that keeps its state under `settings.root`.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    fn states(&self) -> StateRoot {
        StateRoot(self.settings.root.clone())
    }
}

impl Isolator for NativeIsolator {
    fn name(&self) -> &'static str {
        NAME
    }

    fn features(&self) -> Features {
        crate::features::features()
    }

    fn version(&self) -> Option<String> {
        Some(env!("CARGO_PKG_VERSION").to_owned())
    }

    fn overhead(&self) -> Overhead {
        // No process stays: what waits before `start` becomes the program.
        Overhead::default()
    }

    fn create_sandbox(
        &self,
        request: &SandboxRequest<'_>,
    ) -> Result<Box<dyn Sandbox>, SandboxError> {
        let dir = self.states().create(request.id)?;
        Ok(Box::new(NativeSandbox::new(self.settings.clone(), request.id.clone(), dir)))
    }

    fn open_sandbox(&self, id: &ContainerId) -> Result<Box<dyn Sandbox>, SandboxError> {
        let dir = self.states().open(id)?;
        Ok(Box::new(NativeSandbox::new(self.settings.clone(), id.clone(), dir)))
    }

    fn sandboxes(&self) -> Result<Vec<ContainerId>, SandboxError> {
        self.states().ids()
    }
}
