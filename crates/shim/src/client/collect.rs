//! Removing what a supervisor that was killed has left.

use std::path::Path;
use std::process::{Command, Stdio};

use super::pod::is_alive;

/// Why nothing was removed.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A supervisor lives, or another process collects.
    #[error("the supervisor in {0} lives")]
    Alive(std::path::PathBuf),
    /// The lock can't be looked at.
    #[error("look at the lock in {pod_dir}: {cause}")]
    Lock {
        /// The pod's directory.
        pod_dir: std::path::PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The program could not do it.
    #[error("collect what is left of {pod_dir}: {cause}")]
    Failed {
        /// The pod's directory.
        pod_dir: std::path::PathBuf,
        /// Why.
        cause: String,
    },
}

/// Kills and removes what is left of the containers of a pod whose supervisor is
/// gone: processes, cgroups and states. Each has its exit record then
/// ([`super::exit_record`]). Idempotent; the pod's directory stays.
///
/// # Errors
/// [`CollectError::Alive`] unless the supervisor is gone for certain.
pub fn collect(program: &Path, pod_dir: &Path) -> Result<(), CollectError> {
    let failed = |cause: String| CollectError::Failed { pod_dir: pod_dir.to_owned(), cause };
    match is_alive(pod_dir) {
        Ok(false) => {}
        Ok(true) => return Err(CollectError::Alive(pod_dir.to_owned())),
        Err(cause) => return Err(CollectError::Lock { pod_dir: pod_dir.to_owned(), cause }),
    }
    let ended = Command::new(program)
        .arg("collect")
        .arg(pod_dir)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| failed(format!("start {}: {e}", program.display())))?;
    if ended.status.code() == Some(i32::from(crate::supervisor::EXIT_ALIVE)) {
        return Err(CollectError::Alive(pod_dir.to_owned()));
    }
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr);
        return Err(failed(format!("{}: {}", ended.status, said.trim())));
    }
    Ok(())
}
