//! `start`: lets a created container's process run.

use caisson_isolator::{Container, ContainerStatus, SandboxError};

use super::Command;
use crate::failure::CliError;
use crate::invocation::Invocation;
use crate::launch::{NotifySocket, first_process};

pub(crate) const COMMAND: Command =
    Command::on_container("start", "start the process of a created container", start);

fn start(invocation: &Invocation<'_>) -> Result<u8, CliError> {
    let container = invocation.container()?;
    let notify = bind_notify(invocation)?;
    match container.start() {
        Ok(()) => match notify {
            Some(notify) => forward(&*container, &notify).map(|()| 0),
            None => Ok(0),
        },
        Err(SandboxError::WrongStatus { id, status, .. }) => {
            let why = match status {
                ContainerStatus::Stopped => "cannot start a container that has stopped".to_owned(),
                ContainerStatus::Running => "cannot start an already running container".to_owned(),
                other => format!("cannot start a container in the {other} state"),
            };
            Err(CliError::Refused(format!("{why}: {id:?}")))
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens the socket that `create` made a directory for, if systemd started
/// both.
fn bind_notify(invocation: &Invocation<'_>) -> Result<Option<NotifySocket>, CliError> {
    let notify = NotifySocket::from_env(&invocation.options.root, &invocation.id()?);
    let Some(mut notify) = notify.filter(NotifySocket::is_prepared) else { return Ok(None) };
    notify.bind()?;
    Ok(Some(notify))
}

fn forward(container: &dyn Container, notify: &NotifySocket) -> Result<(), CliError> {
    notify.forward_until_ready(&first_process(container)?)
}
