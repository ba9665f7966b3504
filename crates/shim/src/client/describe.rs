//! Asking what an engine is.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Description, PodConfig};

/// Why an engine is not described.
#[derive(Debug, thiserror::Error)]
#[error("ask {program} about the isolator {isolator}: {cause}")]
pub struct DescribeError {
    program: std::path::PathBuf,
    isolator: String,
    cause: String,
}

/// What the engine of a pod like this says of itself. Runs the supervisor's
/// `program`, and that the engine's own, if it is somebody else's: not to be
/// called without need. Ends within a minute.
///
/// # Errors
/// [`DescribeError`] if our own program fails; an engine that does not answer is
/// described as one that says nothing.
pub fn describe(program: &Path, pod: &PodConfig) -> Result<Description, DescribeError> {
    let failed = |cause: String| DescribeError {
        program: program.to_owned(),
        isolator: pod.isolator.clone(),
        cause,
    };
    let asked = serde_json::to_vec(pod).map_err(|error| failed(error.to_string()))?;
    let mut child = Command::new(program)
        .arg("describe")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let told = child.stdin.take().map(|mut input| input.write_all(&asked));
    let ended = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr);
        return Err(failed(format!("{}: {}", ended.status, said.trim())));
    }
    if let Some(Err(error)) = told {
        return Err(failed(error.to_string()));
    }
    serde_json::from_slice(&ended.stdout).map_err(|error| failed(error.to_string()))
}
