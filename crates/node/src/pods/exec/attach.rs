//! Attaching to a container.

use caisson_shim::{AttachSpec, OnStall};

use crate::pods::session::{AttachControl, AttachRequest, AttachSession};
use crate::pods::{PodError, Pods};

impl Pods {
    /// Attaches to a container that runs. A client that does not read is let go
    /// of, so that nobody can hold a container up.
    ///
    /// # Errors
    /// [`PodError::State`] if it does not run.
    pub fn attach(&self, id: &str, request: AttachRequest) -> Result<AttachSession, PodError> {
        let (_, container) = self.running(id, "attach to container")?;
        let attachment = container.attach(AttachSpec {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            on_stall: OnStall::Detach,
            settles: false,
        })?;
        Ok(AttachSession { attachment, control: AttachControl { container } })
    }
}
