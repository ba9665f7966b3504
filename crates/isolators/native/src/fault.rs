//! Points at which tests make creation fail.

use crate::step::StepError;

/// Fails if `CAISSON_FAULT` names this point and the binary was built with
/// `fault-injection`; else does nothing.
#[cfg(feature = "fault-injection")]
pub(crate) fn point(name: &str) -> Result<(), StepError> {
    match std::env::var("CAISSON_FAULT") {
        Ok(wanted) if wanted == name => Err(StepError::new("injected fault", name)),
        Ok(wanted) if wanted.strip_prefix("kill:") == Some(name) => {
            let _ = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Does nothing in this build.
#[cfg(not(feature = "fault-injection"))]
#[expect(clippy::unnecessary_wraps, reason = "the other build fails here")]
pub(crate) fn point(_name: &str) -> Result<(), StepError> {
    Ok(())
}
