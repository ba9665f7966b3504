//! What the supervisor is to run.

use caisson_runtime_spec::{Process, Spec};
use caisson_shim::client::Container;

use crate::metadata::Phase;
use crate::oci_spec::set_variable;
use crate::pods::lifecycle::bundle_dir;
use crate::pods::table::ContainerEntry;
use crate::pods::{PodError, Pods};

impl Pods {
    /// A container that runs.
    pub(super) fn running(
        &self,
        id: &str,
        what: &'static str,
    ) -> Result<(std::sync::Arc<ContainerEntry>, Container), PodError> {
        let container = self.table().container(id)?;
        if container.phase() != Phase::Running {
            return Err(PodError::State {
                what,
                id: container.id.clone(),
                state: "not running".to_owned(),
            });
        }
        let live = self.live_container(&container.pod, &container.id)?;
        Ok((container, live))
    }

    /// The container's own process, with another command.
    pub(super) fn exec_process(
        &self,
        container: &ContainerEntry,
        command: &[String],
        tty: bool,
    ) -> Result<Process, PodError> {
        let empty = command.first().is_none_or(String::is_empty);
        if empty || command.iter().any(|arg| arg.contains('\0')) {
            return Err(PodError::invalid("cmd", "names no program"));
        }
        let path = bundle_dir(&self.pod_dir(&container.pod), &container.id).join("config.json");
        let what = || format!("read {}", path.display());
        let spec = Spec::load(&path).map_err(|e| PodError::failed(what(), e))?;
        let first = spec.process.ok_or_else(|| PodError::failed(what(), "it has no process"))?;
        let mut process =
            Process { terminal: tty, console_size: None, args: command.to_vec(), ..first };
        if tty && !process.env.iter().any(|variable| variable.starts_with("TERM=")) {
            set_variable(&mut process.env, "TERM=xterm");
        }
        Ok(process)
    }
}
