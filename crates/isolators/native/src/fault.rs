//! Points at which tests make creation fail.

use crate::step::StepError;

/// With `fault-injection` and `CAISSON_FAULT=<name>` this fails; with
/// `kill:<name>` the process that gets here kills itself (a container's first
/// process is immune to that); with `linger:<name>` it says so and waits for
/// half a second, so that a test can kill the other one. Else nothing.
#[cfg(feature = "fault-injection")]
pub(crate) fn point(name: &str) -> Result<(), StepError> {
    let Ok(wanted) = std::env::var("CAISSON_FAULT") else { return Ok(()) };
    let (action, wanted) = wanted.split_once(':').unwrap_or(("fail", &wanted));
    if wanted != name {
        return Ok(());
    }
    match action {
        "kill" => {
            let own = rustix::process::getpid();
            let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
        }
        "linger" => {
            crate::warn(&format_args!("lingering at {name}"));
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        _ => return Err(StepError::new("injected fault", name)),
    }
    Ok(())
}

/// Does nothing in this build.
#[cfg(not(feature = "fault-injection"))]
#[expect(clippy::unnecessary_wraps, reason = "the other build fails here")]
pub(crate) fn point(_name: &str) -> Result<(), StepError> {
    Ok(())
}
