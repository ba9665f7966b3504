//! The runtime's command line, as runc has it and others follow.

use std::path::PathBuf;
use std::time::Duration;

use caisson_isolator::{ConsoleSocket, ContainerId, SandboxError};
use caisson_runtime_spec::features::Features;

use crate::console::Console;
use crate::message::reason;
use crate::state::StateDir;
use caisson_foreign::process::own_pid;
use caisson_foreign::program::{Call, Ended, Io, NoWatch};
use caisson_foreign::step::Context as _;

/// For what runs hooks or waits for processes.
const PATIENCE: Duration = Duration::from_secs(100);
/// For questions.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);

/// A foreign runtime and how to call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The program, absolute.
    pub program: PathBuf,
    /// Arguments that come before all others, such as `--debug`.
    pub args: Vec<String>,
    /// Where the runtime keeps its state (`--root`).
    pub runtime_root: PathBuf,
    /// Where we keep ours, one directory for each container.
    pub state_root: PathBuf,
    /// Have systemd make the cgroups.
    pub systemd_cgroup: bool,
    /// Whether the caller is root of a user namespace only; `None`: find out.
    pub rootless: Option<bool>,
}

/// A call that did not do what it was to.
#[derive(Debug, thiserror::Error)]
#[error("{call}: {reason}")]
pub(crate) struct CallError {
    pub(crate) call: String,
    pub(crate) reason: String,
}

impl From<CallError> for SandboxError {
    fn from(error: CallError) -> Self {
        Self::step(error.call, error.reason)
    }
}

/// What a call is given beside its arguments.
#[derive(Debug, Default)]
pub(crate) struct Given<'a> {
    /// The caller's standard streams become the process's.
    pub(crate) streams: bool,
    pub(crate) console: Option<&'a ConsoleSocket>,
    pub(crate) preserve_fds: u32,
    /// What is to be executed in the container.
    pub(crate) program: Option<&'a str>,
    /// The argument behind the container's name.
    pub(crate) last: Option<String>,
}

impl Settings {
    pub(crate) fn is_rootless(&self) -> bool {
        self.rootless.unwrap_or_else(|| {
            let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
            let whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
            !rustix::process::geteuid().is_root() || !whole
        })
    }

    /// How messages call it.
    fn name(&self) -> String {
        let name = self.program.file_name().unwrap_or(self.program.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// `<runtime> <command> <args> <id>`, for a container of ours.
    pub(crate) fn call(
        &self,
        dir: &StateDir,
        id: &ContainerId,
        command: &str,
        args: &[String],
        given: &Given<'_>,
    ) -> Result<Ended, CallError> {
        let fail =
            |reason: String| CallError { call: format!("{} {command}", self.name()), reason };
        let log = format!("call-{}.log", own_pid());
        let mut all = self.args.clone();
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        all.extend(["--root".to_owned(), text(self.runtime_root.clone())]);
        all.extend(["--log".to_owned(), text(dir.path().join(&log))]);
        all.extend(["--log-format", "json"].map(str::to_owned));
        if self.systemd_cgroup {
            all.push("--systemd-cgroup".to_owned());
        }
        all.push(command.to_owned());
        all.extend_from_slice(args);
        let socket = format!("call-{}.sock", own_pid());
        let mut console = None;
        if let Some(to) = given.console {
            let (listening, path) =
                Console::listen(dir, &socket, to).map_err(|e| fail(e.to_string()))?;
            all.extend(["--console-socket".to_owned(), text(path)]);
            console = Some(listening);
        }
        all.push(id.to_string());
        all.extend(given.last.clone());
        let call = Call {
            program: &self.program,
            args: all,
            variables: Vec::new(),
            directory: None,
            io: if given.streams { Io::Inherit } else { Io::Answer(&[]) },
            preserve_fds: given.preserve_fds,
            patience: PATIENCE,
        };
        let ended = match &mut console {
            Some(console) => call.run(console),
            None => call.run(&mut NoWatch),
        };
        let written = dir.read(&log).ok().flatten().unwrap_or_default();
        dir.forget(&log);
        dir.forget(&socket);
        let ended = ended.map_err(|error| fail(error.to_string()))?;
        if ended.succeeded() {
            if let Some(console) = console {
                console.finish().map_err(fail)?;
            }
            return Ok(ended);
        }
        let log = String::from_utf8_lossy(&written);
        let said = String::from_utf8_lossy(&ended.stderr);
        let reason = reason(&log, &said, given.program);
        Err(fail(reason.unwrap_or_else(|| format!("{}, without a word", ended.how()))))
    }

    /// `<runtime> kill`: sends a signal to the first process.
    pub(crate) fn signal(
        &self,
        dir: &StateDir,
        id: &ContainerId,
        signal: i32,
    ) -> Result<(), CallError> {
        let given = Given { last: Some(signal.to_string()), ..Given::default() };
        self.call(dir, id, "kill", &[], &given).map(drop)
    }

    /// `<runtime> <command>`, which needs no container: its answer.
    fn ask(&self, args: &[&str]) -> Result<String, CallError> {
        let fail = |reason: String| CallError {
            call: format!("{} {}", self.program.display(), args.join(" ")),
            reason,
        };
        let call = Call {
            program: &self.program,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            variables: Vec::new(),
            directory: None,
            io: Io::Answer(&[]),
            preserve_fds: 0,
            patience: ANSWER_PATIENCE,
        };
        let ended = call.run(&mut NoWatch).map_err(|error| fail(error.to_string()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if ended.succeeded() {
            return Ok(text(&ended.stdout));
        }
        let said = reason("", &text(&ended.stderr), None);
        Err(fail(said.unwrap_or_else(|| format!("{}, without a word", ended.how()))))
    }

    /// What the runtime can do; `None` if it does not say so (`features` is
    /// newer than many a runtime).
    ///
    /// # Errors
    /// If the program can't be executed.
    pub fn features(&self) -> Result<Option<Features>, SandboxError> {
        self.version()?;
        let Ok(answer) = self.ask(&["features"]) else { return Ok(None) };
        serde_json::from_str(&answer)
            .map(Some)
            .context(|| format!("{} features", self.program.display()))
    }

    /// The first line of what `--version` says.
    ///
    /// # Errors
    /// If the program can't be executed, or fails.
    pub fn version(&self) -> Result<String, SandboxError> {
        let answer = self.ask(&["--version"])?;
        let line = answer.lines().next().unwrap_or_default();
        Ok(line.chars().filter(|c| !c.is_control()).take(200).collect())
    }
}
