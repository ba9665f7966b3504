//! `pause` and `resume`.

use caisson_isolator::SandboxError;

use super::Command;
use crate::failure::CliError;
use crate::invocation::Invocation;

pub(crate) const PAUSE: Command =
    Command::on_container("pause", "suspend every process of a container", |invocation| {
        set(invocation, true)
    });

pub(crate) const RESUME: Command =
    Command::on_container("resume", "resume every process of a paused container", |invocation| {
        set(invocation, false)
    });

fn set(invocation: &Invocation<'_>, frozen: bool) -> Result<u8, CliError> {
    let container = invocation.container()?;
    match container.resources().set_frozen(frozen) {
        Ok(()) => Ok(0),
        Err(SandboxError::WrongStatus { id, status, .. }) => {
            let what = if frozen { "running" } else { "paused" };
            Err(CliError::Refused(format!("container not {what}: {id:?} is {status}")))
        }
        Err(error) => Err(error.into()),
    }
}
