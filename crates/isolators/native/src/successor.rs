//! A process that goes on in a second one, where one clone can't both join and
//! make namespaces, or where only a child is in a PID namespace.

use caisson_isolator::SpawnedProcess;
use caisson_sys::clone::{CloneFlags, Side, clone3, exit_now};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::channel::{Channel, Word};
use crate::step::{Context, StepError};

/// Clones the successor, as the caller's sibling, with `flags`, and ends after
/// telling its number. Returns in the successor, which must not speak on
/// `channel` before [`Word::Mapped`] has come.
pub(crate) fn go_on(
    channel: &Channel,
    flags: CloneFlags,
    step: &'static str,
) -> Result<(), StepError> {
    match clone3(flags | CloneFlags::PARENT, None).context(|| step)? {
        Side::Parent { pid, .. } => {
            let pid = pid.as_raw_nonzero().to_string();
            let sent = channel.send(Word::Successor, pid.as_bytes());
            exit_now(u8::from(sent.is_err()));
        }
        Side::Child => Ok(()),
    }
}

/// Waits for the successor's number and opens it; it is the caller's child.
pub(crate) fn follow(channel: &Channel, step: &'static str) -> Result<SpawnedProcess, StepError> {
    let payload = channel.expect(Word::Successor)?;
    let pid = std::str::from_utf8(&payload).ok().and_then(|text| text.parse().ok());
    let pid = pid.and_then(Pid::from_raw).ok_or("no process id came").context(|| step)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).context(|| step)?;
    Ok(SpawnedProcess { pid, pidfd, stands_for: None })
}
