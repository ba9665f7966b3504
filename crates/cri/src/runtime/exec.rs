//! Programs, streams, ports.

use std::time::Duration;

use caisson_node::pods::session::Abandon;
use caisson_node::pods::view::{ContainerState, PodState};
use caisson_streaming::{AttachRequest, ExecRequest, PortForwardRequest};
use tonic::Status;

use super::Runtime;
use super::service::id;
use crate::{error, v1};

/// Most bytes of both streams together: a message of 16 MiB is the most that a
/// kubelet takes.
const MAX_OUTPUT: usize = (16 << 20) - (64 << 10);

struct WhenDropped(Abandon);

impl Drop for WhenDropped {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// Runs a program to its end, or until its client goes.
pub(super) async fn exec_sync(
    runtime: &Runtime,
    request: v1::ExecSyncRequest,
) -> Result<v1::ExecSyncResponse, Status> {
    let v1::ExecSyncRequest { container_id, cmd, timeout } = request;
    let id = id("container_id", container_id)?;
    if cmd.is_empty() {
        return Err(Status::invalid_argument("cmd is empty: run what?"));
    }
    let timeout = match u64::try_from(timeout) {
        Ok(0) => None,
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => return Err(Status::invalid_argument("timeout is less than nothing")),
    };
    let abandon = Abandon::default();
    let heard = abandon.clone();
    // With its client this call goes.
    let _client = WhenDropped(abandon);
    let output = runtime.on(move |pods| pods.exec_sync(&id, &cmd, timeout, &heard)).await?;
    let (mut stdout, mut stderr) = (output.stdout, output.stderr);
    // Errors are worth more than what else is said.
    stderr.truncate(MAX_OUTPUT / 2);
    stdout.truncate(MAX_OUTPUT - stderr.len());
    Ok(v1::ExecSyncResponse { stdout, stderr, exit_code: output.exit_code })
}

/// Checks that a container runs, so that the mistake shows now and not when
/// somebody connects; its full id, and whether it has a terminal.
async fn running(runtime: &Runtime, what: &str, id: String) -> Result<(String, bool), Status> {
    let status = runtime.on(move |pods| pods.container_status(&id, false)).await?;
    if status.summary.state != ContainerState::Running {
        return Err(Status::failed_precondition(format!(
            "cannot {what} container {}: it does not run",
            status.summary.id
        )));
    }
    Ok((status.summary.id, status.summary.request.tty))
}

/// Prepares a program with streams.
pub(super) async fn exec(
    runtime: &Runtime,
    request: v1::ExecRequest,
) -> Result<v1::ExecResponse, Status> {
    let v1::ExecRequest { container_id, cmd, tty, stdin, stdout, stderr } = request;
    let container = id("container_id", container_id)?;
    let (container, _) = running(runtime, "run a program in", container).await?;
    let request = ExecRequest { container, command: cmd, tty, stdin, stdout, stderr };
    let url = runtime.streaming.exec(request).map_err(error::of_streaming)?;
    Ok(v1::ExecResponse { url })
}

/// Prepares an attach.
pub(super) async fn attach(
    runtime: &Runtime,
    request: v1::AttachRequest,
) -> Result<v1::AttachResponse, Status> {
    let v1::AttachRequest { container_id, stdin, tty, stdout, stderr } = request;
    let container = id("container_id", container_id)?;
    let (container, has_tty) = running(runtime, "attach to", container).await?;
    if tty != has_tty {
        let has = if has_tty { "has" } else { "has no" };
        return Err(Status::invalid_argument(format!("tty: container {container} {has} terminal")));
    }
    let request = AttachRequest { container, tty, stdin, stdout, stderr };
    let url = runtime.streaming.attach(request).map_err(error::of_streaming)?;
    Ok(v1::AttachResponse { url })
}

/// Prepares connections into a pod.
pub(super) async fn port_forward(
    runtime: &Runtime,
    request: v1::PortForwardRequest,
) -> Result<v1::PortForwardResponse, Status> {
    let v1::PortForwardRequest { pod_sandbox_id, port: ports } = request;
    let pod = id("pod_sandbox_id", pod_sandbox_id)?;
    let status = runtime.on(move |pods| pods.pod_status(&pod, false)).await?;
    if status.summary.state != PodState::Ready {
        return Err(Status::failed_precondition(format!(
            "cannot forward ports of pod {}: it is stopped",
            status.summary.id
        )));
    }
    let request = PortForwardRequest { pod: status.summary.id, ports };
    let url = runtime.streaming.port_forward(request).map_err(error::of_streaming)?;
    Ok(v1::PortForwardResponse { url })
}
