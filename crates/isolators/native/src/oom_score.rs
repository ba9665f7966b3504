//! `process.oomScoreAdj` (proc_pid_oom_score_adj(5)).

use std::io::ErrorKind;

use caisson_runtime_spec::Process;

use crate::step::{Context, StepError};

/// Sets the score of the process that `proc_dir` shows, which must be dumpable
/// still. With `mapped`, its ids are those of a user namespace.
///
/// # Errors
/// Whoever has no right to protect processes can't give it to a container
/// either, which is no error for users without root and in user namespaces.
pub(crate) fn set(process: &Process, proc_dir: &str, mapped: bool) -> Result<(), StepError> {
    let Some(score) = process.oom_score_adj else { return Ok(()) };
    match std::fs::write(format!("{proc_dir}/oom_score_adj"), score.to_string()) {
        Err(error)
            if error.kind() == ErrorKind::PermissionDenied
                && (mapped || !rustix::process::geteuid().is_root()) =>
        {
            Ok(())
        }
        other => other.context(|| {
            format!("set process.oomScoreAdj to {score} (lowering it takes CAP_SYS_RESOURCE)")
        }),
    }
}
