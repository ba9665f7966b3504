//! OCI hooks (runtime-spec, config.md "POSIX-platform Hooks").

use std::ffi::{CString, OsString};
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, Instant};

use caisson_runtime_spec::Hook;
use caisson_sys::clone::{CloneFlags, Side, clone3, exit_now};
use caisson_sys::exec::{StringArray, execve};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::time::Timespec;

use crate::step::{Context, StepError};

/// How much of a failed hook's output is reported.
const OUTPUT_LIMIT: usize = 4096;

/// Runs hooks one after the other with `state` on their standard input; the
/// first failure ends it.
pub(crate) fn run(kind: &str, hooks: &[Hook], state: &[u8]) -> Result<(), StepError> {
    run_as(kind, hooks, state, &own_environment, &|| Ok(()))
}

/// As [`run`], each hook after `become_it` in its own process, for hooks that
/// are programs of the container. `environment` is for those without `env`.
pub(crate) fn run_as(
    kind: &str,
    hooks: &[Hook],
    state: &[u8],
    environment: &dyn Fn() -> Vec<CString>,
    become_it: &dyn Fn() -> Result<(), StepError>,
) -> Result<(), StepError> {
    for (index, hook) in hooks.iter().enumerate() {
        run_one(hook, state, environment, become_it)
            .context(|| format!("error running {kind} hook #{index}: {:?}", hook.path))?;
    }
    Ok(())
}

/// Runs hooks whose failure is only worth a warning; returns the warnings.
pub(crate) fn run_all(kind: &str, hooks: &[Hook], state: &[u8]) -> Vec<StepError> {
    let step =
        |index: usize, hook: &Hook| format!("error running {kind} hook #{index}: {:?}", hook.path);
    hooks
        .iter()
        .enumerate()
        .filter_map(|(index, hook)| {
            run_one(hook, state, &own_environment, &|| Ok(())).context(|| step(index, hook)).err()
        })
        .collect()
}

fn c_string(text: &str) -> Result<CString, StepError> {
    CString::new(text).map_err(|_| "it holds a NUL byte").context(|| format!("argument {text:?}"))
}

/// The runtime's: what a hook without `env` gets on the host, as in runc.
fn own_environment() -> Vec<CString> {
    let joined = |(name, value): (OsString, OsString)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
    };
    std::env::vars_os().filter_map(joined).collect()
}

fn run_one(
    hook: &Hook,
    state: &[u8],
    environment: &dyn Fn() -> Vec<CString>,
    become_it: &dyn Fn() -> Result<(), StepError>,
) -> Result<(), StepError> {
    let path = c_string(&hook.path)?;
    let args = if hook.args.is_empty() { std::slice::from_ref(&hook.path) } else { &hook.args[..] };
    let args = StringArray::new(args.iter().map(|arg| c_string(arg)).collect::<Result<_, _>>()?);
    let env = match hook.env.is_empty() {
        true => environment(),
        false => hook.env.iter().map(|pair| c_string(pair)).collect::<Result<_, _>>()?,
    };
    let env = StringArray::new(env);
    let (input, feed) = pipe_with(PipeFlags::CLOEXEC).context(|| "make a pipe")?;
    let (drain, output) = pipe_with(PipeFlags::CLOEXEC).context(|| "make a pipe")?;
    feed_state(feed, state);
    match clone3(CloneFlags::empty(), None).context(|| "fork")? {
        Side::Child => exit_now(become_hook(&path, &args, &env, (&input, &output), become_it)),
        Side::Parent { pidfd, .. } => {
            drop((input, output));
            let mut said = Output::new(drain);
            wait(hook, &pidfd, &mut said)
                .map_err(|cause| StepError::new(cause, format!("output: {:?}", said.text())))
        }
    }
}

/// A hook need not read its input, and must not be able to hang us with it:
/// the state fits a pipe's buffer, and more is not written. Before there is a
/// hook, as one that has ended already would kill us with SIGPIPE.
fn feed_state(feed: OwnedFd, state: &[u8]) {
    let _ = rustix::io::ioctl_fionbio(&feed, true);
    if state.len() > 60 * 1024 {
        let _ = rustix::pipe::fcntl_setpipe_size(&feed, state.len().next_power_of_two());
    }
    let _ = std::fs::File::from(feed).write_all(state);
}

fn become_hook(
    path: &CString,
    args: &StringArray,
    env: &StringArray,
    (input, output): (&OwnedFd, &OwnedFd),
    become_it: &dyn Fn() -> Result<(), StepError>,
) -> u8 {
    let set_up = || -> Result<(), Errno> {
        dup2_stdin(input)?;
        dup2_stdout(output)?;
        dup2_stderr(output)
    };
    let _ = caisson_sys::signals::unblock_all();
    let _ = caisson_sys::descriptors::close_on_exec_from(3);
    let error = match set_up().map_err(|error| error.to_string()) {
        Ok(()) => match become_it() {
            Ok(()) => execve(path, args, env).to_string(),
            Err(error) => error.to_string(),
        },
        Err(error) => error,
    };
    let _ = writeln!(std::io::stderr(), "cannot execute: {error}");
    127
}

/// Waits for the hook's end within its time; kills it afterwards.
fn wait(hook: &Hook, pidfd: &OwnedFd, said: &mut Output) -> Result<(), String> {
    let limit = hook.timeout.map(|seconds| Duration::from_secs(seconds.try_into().unwrap_or(0)));
    // Beyond the clock's end means never.
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        // Without a pipe to listen to, the process twice.
        let pipe = said.drain.as_ref().unwrap_or(pidfd);
        let mut wanted = [PollFd::new(pidfd, PollFlags::IN), PollFd::new(pipe, PollFlags::IN)];
        let ready = poll(&mut wanted, left.as_ref());
        let ended = wanted.first().is_some_and(|process| !process.revents().is_empty());
        match ready {
            Ok(0) => {
                let _ = pidfd_send_signal(pidfd, Signal::KILL);
                let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
                let seconds = hook.timeout.unwrap_or(0);
                return Err(format!("hook ran past the timeout of {seconds}s"));
            }
            Ok(_) if ended => break,
            Ok(_) => said.read_some(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(format!("wait: {error}")),
        }
    }
    let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
    let status = status.ok().flatten();
    match status.as_ref().and_then(rustix::process::WaitIdStatus::exit_status) {
        Some(0) => Ok(()),
        Some(code) => Err(format!("exit status {code}")),
        None => match status.and_then(|status| status.terminating_signal()) {
            Some(signal) => Err(format!("killed by signal {signal}")),
            None => Err("it could not be waited for".to_owned()),
        },
    }
}

/// What a hook says. Read while it runs, as it would wait for ever for room in
/// a full pipe; kept up to [`OUTPUT_LIMIT`].
struct Output {
    drain: Option<OwnedFd>,
    text: Vec<u8>,
}

impl Output {
    fn new(drain: OwnedFd) -> Self {
        let _ = rustix::io::ioctl_fionbio(&drain, true);
        Self { drain: Some(drain), text: Vec::new() }
    }

    /// Reads once; where there is nothing more to come, the pipe is closed.
    fn read_some(&mut self) {
        let Some(drain) = &self.drain else { return };
        let mut buffer = [0; OUTPUT_LIMIT];
        match rustix::io::read(drain, &mut buffer) {
            Ok(length @ 1..) => {
                let room = OUTPUT_LIMIT.saturating_sub(self.text.len());
                self.text.extend(buffer.iter().take(length.min(room)));
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Ok(0) | Err(_) => self.drain = None,
        }
    }

    /// Its beginning; a grandchild that holds the pipe open does not hang us.
    fn text(&mut self) -> String {
        self.read_some();
        String::from_utf8_lossy(&self.text).trim_end().to_owned()
    }
}
