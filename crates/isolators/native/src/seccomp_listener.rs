//! Giving a seccomp listener to its agent (config-linux.md, "Seccomp",
//! `listenerPath`).

use std::os::fd::AsFd;

use caisson_isolator::SpawnedProcess;
use caisson_runtime_spec::{ContainerProcessState, SECCOMP_FD_NAME, Status};
use rustix::process::{ForeignRawFd, PidfdGetfdFlags, pidfd_getfd};

use crate::state::Record;
use crate::step::{Context, StepError};

/// Fetches descriptor `number` (decimal) from the process and sends it to the
/// agent with the process's state.
pub(crate) fn hand_over(
    record: &Record,
    process: &SpawnedProcess,
    number: &[u8],
) -> Result<(), StepError> {
    let step = || "hand the seccomp listener over";
    let agent = record
        .seccomp_listener
        .as_ref()
        .ok_or("linux.seccomp.listenerPath is missing")
        .context(step)?;
    let number: ForeignRawFd = std::str::from_utf8(number)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or("no descriptor number came")
        .context(step)?;
    let listener =
        pidfd_getfd(process.pidfd.as_fd(), number, PidfdGetfdFlags::empty()).context(step)?;
    let pid = process.pid.as_raw_nonzero().get();
    let state = ContainerProcessState {
        oci_version: caisson_runtime_spec::VERSION.to_owned(),
        fds: vec![SECCOMP_FD_NAME.to_owned()],
        pid,
        metadata: agent.metadata.clone(),
        state: record.state(Status::Creating, pid),
    };
    let state = serde_json::to_vec(&state).map_err(|error| error.to_string()).context(step)?;
    caisson_seccomp::notify::send_listener(&agent.path, listener.as_fd(), &state)
        .map_err(|error| error.to_string())
        .context(step)
}
