//! `kill`: sends a signal.

use caisson_isolator::SandboxError;

use super::Command;
use crate::failure::CliError;
use crate::flags::{Flag, FlagsEnd, Kind};
use crate::invocation::Invocation;
use crate::signal_names;

pub(crate) const COMMAND: Command = Command {
    name: "kill",
    summary: "send a signal (default: SIGTERM) to the container's first process",
    arguments: "<container-id> [signal]",
    details: "The signal is a number or a name, with or without SIG.",
    flags: &[Flag::new(
        "all",
        Kind::Switch,
        "send it to every process, and succeed if the container has stopped",
    )
    .short('a')],
    end: FlagsEnd::AtFirst,
    counts: (1, Some(2)),
    run: kill,
};

fn kill(invocation: &Invocation<'_>) -> Result<u8, CliError> {
    let all = invocation.flags.switch("all");
    let signal = match invocation.flags.positional(1).map(std::ffi::OsStr::to_string_lossy) {
        None => signal_names::parse("SIGTERM")?,
        Some(text) if text.is_empty() => signal_names::parse("SIGTERM")?,
        Some(text) => signal_names::parse(&text)?,
    };
    let container = invocation.container()?;
    match container.signal(signal, all) {
        Ok(()) => Ok(0),
        Err(SandboxError::WrongStatus { .. }) if all => Ok(0),
        // containerd's shim and CRI-O look for these three words.
        Err(SandboxError::WrongStatus { id, status, .. }) => {
            Err(CliError::Refused(format!("container not running: {id:?} is {status}")))
        }
        Err(error) => Err(error.into()),
    }
}
