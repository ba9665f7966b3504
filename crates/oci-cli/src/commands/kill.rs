//! `kill`: sends a signal.

use caisson_isolator::SandboxError;
use caisson_sys::signal_names;

use super::Command;
use crate::failure::CliError;
use crate::flags::{Flag, FlagsEnd, Kind};
use crate::invocation::Invocation;

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
    let given = invocation.flags.positional(1).map(std::ffi::OsStr::to_string_lossy);
    let signal = given.filter(|text| !text.is_empty()).unwrap_or_else(|| "SIGTERM".into());
    let signal = signal_names::number(&signal)
        .ok_or_else(|| CliError::Refused(format!("unknown signal {signal:?}")))?;
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
