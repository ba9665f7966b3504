//! `delete`: removes a container that has ended.

use caisson_isolator::{ContainerStatus, SandboxError};

use super::Command;
use crate::failure::CliError;
use crate::flags::{Flag, FlagsEnd, Kind};
use crate::invocation::Invocation;

pub(crate) const COMMAND: Command = Command {
    name: "delete",
    summary: "remove a container and all that it holds",
    arguments: "<container-id>",
    details: "The container has to be stopped, or created and not started yet.",
    flags: &[Flag::new(
        "force",
        Kind::Switch,
        "kill what still runs, by SIGKILL; succeed if there is no such container",
    )
    .short('f')],
    end: FlagsEnd::Never,
    counts: (1, Some(1)),
    run: delete,
};

fn delete(invocation: &Invocation<'_>) -> Result<u8, CliError> {
    let force = invocation.flags.switch("force");
    let id = invocation.id()?;
    let sandbox = match invocation.isolator()?.open_sandbox(&id) {
        Err(SandboxError::NotFound(_)) if force => return Ok(0),
        other => other?,
    };
    let outcome = match sandbox.delete(force) {
        // Nothing of the user's has run yet, so there is nothing to lose.
        Err(SandboxError::WrongStatus { status: ContainerStatus::Created, .. }) => {
            sandbox.delete(true)
        }
        other => other,
    };
    match outcome {
        Ok(()) => {
            crate::launch::forget_notify_socket(&invocation.options.root, &id);
            Ok(0)
        }
        Err(SandboxError::NotFound(_)) if force => Ok(0),
        Err(SandboxError::WrongStatus { id, status, .. }) => Err(CliError::Refused(format!(
            "cannot delete container {id} that is not stopped: {status}"
        ))),
        Err(error) => Err(error.into()),
    }
}
