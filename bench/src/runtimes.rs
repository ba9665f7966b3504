//! The runtimes that are compared.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::BenchError;
use crate::options::Options;

/// One runtime, installed or not.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    /// Short name for tables.
    pub(crate) name: &'static str,
    /// The binary; `None` where the peer is not installed.
    pub(crate) path: Option<PathBuf>,
    /// First line of `--version`, or why there is none.
    pub(crate) version: String,
    /// Whether this is the one the others are compared with.
    pub(crate) ours: bool,
}

/// Ours first, then the peers in a fixed order, missing ones included.
pub(crate) fn discover(options: &Options) -> Result<Vec<Runtime>, BenchError> {
    if !options.runtime.exists() {
        return Err(BenchError::NoRuntime(options.runtime.clone()));
    }
    let system = |name: &str| {
        ["/usr/sbin", "/usr/bin"].iter().map(|dir| Path::new(dir).join(name)).find(|p| p.exists())
    };
    let newer = |name: &str| Some(options.peers.join(name)).filter(|p| p.exists());
    let ours = std::fs::canonicalize(&options.runtime)
        .map_err(BenchError::path("resolve", &options.runtime))?;
    Ok([
        ("ours", Some(ours), true),
        ("crun new", newer("crun"), false),
        ("crun debian", system("crun"), false),
        ("runc new", newer("runc"), false),
        ("runc debian", system("runc"), false),
    ]
    .into_iter()
    .map(|(name, path, ours)| Runtime {
        name,
        version: path.as_deref().map_or_else(
            || "not installed".to_owned(),
            |p| version(p).unwrap_or_else(|e| format!("does not run: {e}")),
        ),
        path: path.and_then(|p| std::fs::canonicalize(p).ok()),
        ours,
    })
    .collect())
}

fn version(path: &Path) -> Result<String, BenchError> {
    let output = call(path, ["--version"])?;
    Ok(output.lines().next().unwrap_or("").to_owned())
}

/// Runs a runtime outside any measurement and returns its standard output.
///
/// # Errors
/// When it can't be started or its exit status is not 0; the reason is the
/// last line of its standard error.
pub(crate) fn call<I, S>(path: &Path, arguments: I) -> Result<String, BenchError>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(path);
    command.args(arguments).stdin(Stdio::null());
    let failed = |command: &Command, reason: String| BenchError::Runtime {
        command: format!("{command:?}"),
        reason,
    };
    let output = command.output().map_err(|e| failed(&command, e.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.trim().lines().next_back().unwrap_or("no message");
    Err(failed(&command, format!("{}: {last}", output.status)))
}

/// Like [`call`] for a command whose container keeps the standard streams:
/// they are `/dev/null`, so that nobody waits for a pipe's end.
pub(crate) fn call_detached<I, S>(path: &Path, arguments: I) -> Result<(), BenchError>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(path);
    let status = command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let reason = match status {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    Err(BenchError::Runtime { command: format!("{command:?}"), reason })
}
