//! The isolators that this program holds.

use caisson_isolator::{Container, ContainerId, Isolator, SandboxError};
use caisson_native::{NativeIsolator, Settings};
use caisson_oci_runtime::OciIsolator;

use super::step::StepError;
use crate::PodConfig;

/// One of them.
#[derive(Debug)]
pub(super) enum Engine {
    Native(NativeIsolator),
    Oci(OciIsolator),
}

impl Engine {
    /// The one that the configuration names.
    pub(super) fn open(config: &PodConfig) -> Result<Self, StepError> {
        match config.isolator.as_str() {
            caisson_native::NAME => Ok(Self::Native(NativeIsolator::new(Settings {
                root: config.state_root.clone(),
                systemd_cgroup: config.systemd_cgroup,
                rootless: config.rootless,
            }))),
            caisson_oci_runtime::NAME => {
                let lacking = || StepError::new("shim.json: oci", "the isolator oci needs it");
                let runtime = config.oci.clone().ok_or_else(lacking)?;
                Ok(Self::Oci(OciIsolator::new(caisson_oci_runtime::Settings {
                    program: runtime.program,
                    args: runtime.args,
                    runtime_root: runtime.root,
                    state_root: config.state_root.clone(),
                    systemd_cgroup: config.systemd_cgroup,
                    rootless: config.rootless,
                })))
            }
            other => Err(StepError::new(
                "shim.json: isolator",
                format!(
                    "{other:?} is unknown; this program has: {}, {}",
                    caisson_native::NAME,
                    caisson_oci_runtime::NAME
                ),
            )),
        }
    }

    pub(super) fn isolator(&self) -> &dyn Isolator {
        match self {
            Self::Native(isolator) => isolator,
            Self::Oci(isolator) => isolator,
        }
    }

    /// The container that was made.
    pub(super) fn container(&self, id: &ContainerId) -> Result<Box<dyn Container>, SandboxError> {
        self.isolator().open_sandbox(id)?.container(id)
    }

    /// Removes the container with all that it has; kills what runs. It is no
    /// error if there is none.
    pub(super) fn delete(&self, id: &ContainerId) -> Result<(), SandboxError> {
        match self.isolator().open_sandbox(id) {
            Ok(sandbox) => match sandbox.delete(true) {
                Err(SandboxError::NotFound(_)) => Ok(()),
                other => other,
            },
            Err(SandboxError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
