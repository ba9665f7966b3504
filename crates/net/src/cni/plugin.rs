//! Running a plugin. What it says is capped, and so is its time.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use super::{POD_LINK, conf};
use crate::program::{self, ProgramError, Run};

/// Longest answer of a plugin.
const MAX_OUTPUT: usize = 1024 * 1024;
/// How much is kept of what it prints as errors.
const MAX_ERRORS: usize = 16 * 1024;
/// How much of its words goes into a message.
const MAX_MESSAGE: usize = 1024;

/// Why a plugin's call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// It is not there.
    #[error(
        "plugin {plugin} is in none of {dirs}: install it (Debian: containernetworking-plugins)"
    )]
    Missing {
        /// Its type.
        plugin: String,
        /// Where it was looked for.
        dirs: String,
    },
    /// It can't be run, hangs, or says too much.
    #[error("plugin {plugin}, {command}: {cause}")]
    Program {
        /// Its type.
        plugin: String,
        /// What it was to do.
        command: &'static str,
        /// What happened.
        cause: ProgramError,
    },
    /// It says no.
    #[error("plugin {plugin} refuses {command}: {message}")]
    Refused {
        /// Its type.
        plugin: String,
        /// What it was to do.
        command: &'static str,
        /// Its code and message, as far as it says any.
        message: String,
    },
}

/// What a plugin is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Add,
    Del,
    Check,
    Gc,
    Status,
}

impl Command {
    fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
        }
    }
}

/// What all calls for one pod share.
#[derive(Clone, Debug)]
pub(crate) struct Invocation<'a> {
    /// Empty if it is about no pod.
    pub(crate) pod: &'a str,
    pub(crate) netns: Option<&'a Path>,
    pub(crate) args: &'a str,
    pub(crate) bin_dirs: &'a [PathBuf],
    pub(crate) deadline: Duration,
}

impl Invocation<'_> {
    fn environment(&self, command: Command) -> Vec<(&'static str, OsString)> {
        let mut all = program::plain_environment().to_vec();
        let path = std::env::join_paths(self.bin_dirs).unwrap_or_default();
        all.extend([("CNI_COMMAND", command.as_str().into()), ("CNI_PATH", path)]);
        if !self.pod.is_empty() {
            all.push(("CNI_CONTAINERID", self.pod.into()));
            all.push(("CNI_IFNAME", POD_LINK.into()));
            all.push(("CNI_NETNS", self.netns.map(Into::into).unwrap_or_default()));
            all.push(("CNI_ARGS", self.args.into()));
        }
        all
    }

    /// Runs a plugin; its answer comes back, unread.
    pub(crate) fn run(
        &self,
        command: Command,
        plugin: &Map<String, Value>,
        input: &Value,
    ) -> Result<Vec<u8>, PluginError> {
        let name = conf::plugin_type(plugin);
        let mut files = self.bin_dirs.iter().map(|dir| dir.join(name));
        let file = files.find(|file| program::is_executable(file)).ok_or_else(|| {
            let dirs: Vec<_> = self.bin_dirs.iter().map(|d| d.display().to_string()).collect();
            PluginError::Missing { plugin: name.to_owned(), dirs: dirs.join(", ") }
        })?;
        let input = input.to_string();
        let run = Run {
            program: &file,
            arguments: &[],
            environment: &self.environment(command),
            input: input.as_bytes(),
            stdin: None,
            deadline: self.deadline,
            max_output: MAX_OUTPUT,
            max_errors: MAX_ERRORS,
        };
        let command = command.as_str();
        let plugin = name.to_owned();
        let done = run.finish();
        let done =
            done.map_err(|cause| PluginError::Program { plugin: plugin.clone(), command, cause })?;
        if done.status.success() {
            return Ok(done.output);
        }
        let message = explain(&done.output)
            .or_else(|| Some(done.errors).filter(|errors| !errors.is_empty()))
            .unwrap_or_else(|| done.status.to_string());
        Err(PluginError::Refused { plugin, command, message: printable(&message) })
    }
}

/// The error that a plugin prints: `{code, msg, details}`.
fn explain(output: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(output).ok()?;
    let text = |name| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let code = value.get("code").and_then(Value::as_u64);
    let mut message = text("msg").to_owned();
    if !text("details").is_empty() {
        message.push_str(&format!(" ({})", text("details")));
    }
    if let Some(code) = code {
        message.push_str(&format!(", code {code}"));
    }
    Some(message).filter(|message| !message.is_empty())
}

/// One line without control characters, not too long.
fn printable(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(MAX_MESSAGE).map(clean).collect()
}
