//! The isolators that this program holds.

use caisson_isolator::{Container, ContainerId, Isolator, SandboxError};
use std::path::Path;

use caisson_foreign_shim::ShimIsolator;
use caisson_native::{NativeIsolator, Settings};
use caisson_oci_runtime::OciIsolator;
use caisson_sentry::oci::{self as sentry, SentryIsolator};

use super::step::StepError;
use crate::PodConfig;

/// One of them.
#[derive(Debug)]
pub(super) enum Engine {
    Native(NativeIsolator),
    Sentry(SentryIsolator),
    Oci(OciIsolator),
    Shim(ShimIsolator),
}

impl Engine {
    /// The one that the configuration names. `program` is the supervisor's own.
    pub(super) fn open(config: &PodConfig, program: &Path) -> Result<Self, StepError> {
        match config.isolator.as_str() {
            caisson_native::NAME => Ok(Self::Native(NativeIsolator::new(Settings {
                root: config.state_root.clone(),
                systemd_cgroup: config.systemd_cgroup,
                rootless: config.rootless,
                kernel: None,
            }))),
            sentry::NAME => Ok(Self::Sentry(SentryIsolator::new(sentry::Settings {
                root: config.state_root.clone(),
                systemd_cgroup: config.systemd_cgroup,
                overlay: None,
                network: match config.sentry.host_sockets {
                    true => sentry::NetworkMode::HostSockets,
                    false => sentry::NetworkMode::Sandbox,
                },
                shared_root: false,
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
            caisson_foreign_shim::NAME => {
                let lacking = || StepError::new("shim.json: shim", "the isolator shim needs it");
                let shim = config.shim.clone().ok_or_else(lacking)?;
                Ok(Self::Shim(ShimIsolator::new(caisson_foreign_shim::Settings {
                    program: shim.program,
                    namespace: shim.namespace,
                    address: shim.address,
                    publisher: program.to_owned(),
                    options: shim.options,
                    state_root: config.state_root.clone(),
                    holder: rustix::process::getpid().as_raw_nonzero().get(),
                    systemd_cgroup: config.systemd_cgroup,
                })))
            }
            other => Err(StepError::new(
                "shim.json: isolator",
                format!(
                    "{other:?} is unknown; this program has: {}, {}, {}, {}",
                    caisson_native::NAME,
                    sentry::NAME,
                    caisson_oci_runtime::NAME,
                    caisson_foreign_shim::NAME
                ),
            )),
        }
    }

    pub(super) fn isolator(&self) -> &dyn Isolator {
        match self {
            Self::Native(isolator) => isolator,
            Self::Sentry(isolator) => isolator,
            Self::Oci(isolator) => isolator,
            Self::Shim(isolator) => isolator,
        }
    }

    /// Whether what it starts for the first container serves all later ones, so
    /// that it has to see what is mounted for them.
    pub(super) fn is_one_for_all(&self) -> bool {
        matches!(self, Self::Shim(_))
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
