//! `create` and `run`.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use caisson_isolator::{
    Container, ContainerId, ContainerRequest, ExitStatus, Sandbox, SandboxRequest, SpawnedProcess,
};
use caisson_runtime_spec::{ConfigError, Spec};
use rustix::process::{PidfdFlags, pidfd_open, set_child_subreaper};

use super::foreground::{self, Signals};
use super::notify::NotifySocket;
use super::{Console, Launch, listen_fds};
use crate::failure::CliError;
use crate::flags::Parsed;
use crate::invocation::Invocation;

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// To where `start` takes over.
    Create,
    /// To the end, or until it runs.
    Run {
        /// Do not wait for its end.
        detach: bool,
    },
}

/// What is ready before the engine is asked for anything.
struct Prepared {
    launch: Launch,
    console: Console,
    pidfd_socket: Option<OwnedFd>,
    notify: Option<NotifySocket>,
    /// Unless detached.
    signals: Option<Signals>,
}

/// Makes a container and, as `mode` says, runs it. Returns the exit code. On
/// failure, and at the end of a run, nothing is left (unless `--keep`).
pub(crate) fn container(invocation: &Invocation<'_>, mode: Mode) -> Result<u8, CliError> {
    let flags = invocation.flags;
    invocation.protect()?;
    let id = invocation.id()?;
    let detach = mode != Mode::Run { detach: false };
    let bundle = bundle(flags)?;
    let mut spec = load(&bundle)?;
    let Some(process) = &mut spec.process else {
        return Err(CliError::Refused("process property must not be empty".to_owned()));
    };
    let terminal = process.terminal;
    let mut launch = Launch::new(flags, detach)?;
    launch.check_terminal(terminal)?;
    let listening = listen_fds::count();
    launch.claim_descriptors(listening)?;
    listen_fds::pass_on(&mut process.env, listening);
    invocation.keep_user_root()?;
    let isolator = invocation.isolator()?;
    let console = launch.console(terminal)?;
    if let (Some(size), Some(process)) = (console.size(), &mut spec.process) {
        process.console_size = Some(size);
    }
    let mut prepared = Prepared {
        console,
        pidfd_socket: launch.connect_pidfd_socket()?,
        notify: NotifySocket::from_env(&invocation.options.root, &id),
        signals: if detach { None } else { Some(Signals::take()?) },
        launch,
    };
    if !detach && !flags.switch("no-subreaper") {
        set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|e| CliError::io("become a subreaper", e))?;
    }
    let sandbox = isolator.create_sandbox(&SandboxRequest { id: &id, spec: &spec })?;
    let outcome = with_notify(&mut prepared, &mut spec, mode).and_then(|()| {
        let request = ContainerRequest {
            id: id.clone(),
            bundle,
            spec,
            console: prepared.console.for_engine.take(),
            preserve_fds: prepared.launch.preserve_fds,
            no_pivot: flags.switch("no-pivot"),
            no_new_keyring: flags.switch("no-new-keyring"),
            start: mode != Mode::Create,
        };
        create_and_wait(invocation, &*sandbox, request, &mut prepared)
    });
    let ended = !detach && !flags.switch("keep");
    if outcome.is_err() || ended {
        remove(invocation, &*sandbox, &id);
        if let Some(notify) = &prepared.notify {
            notify.remove();
        }
    }
    outcome
}

fn with_notify(prepared: &mut Prepared, spec: &mut Spec, mode: Mode) -> Result<(), CliError> {
    let Some(notify) = &mut prepared.notify else { return Ok(()) };
    notify.prepare(spec)?;
    if mode == Mode::Create { Ok(()) } else { notify.bind() }
}

fn create_and_wait(
    invocation: &Invocation<'_>,
    sandbox: &dyn Sandbox,
    request: ContainerRequest,
    prepared: &mut Prepared,
) -> Result<u8, CliError> {
    let started = request.start;
    let container = sandbox.create_container(request)?;
    let opened;
    let process = match container.first_process() {
        Some(process) => process,
        None => {
            opened = first_process(&*container)?;
            &opened
        }
    };
    prepared.launch.publish(process, prepared.pidfd_socket.take(), "standard")?;
    let Some(signals) = prepared.signals.take() else {
        if let (true, Some(notify)) = (started, &prepared.notify) {
            notify.forward_until_ready(process)?;
        }
        return Ok(0);
    };
    if container.first_process().is_none() {
        return Err(CliError::Refused(format!(
            "cannot wait for process {}, which is not a child of this one; use --detach",
            process.pid.as_raw_nonzero()
        )));
    }
    let notify = prepared.notify.as_ref();
    signals
        .wait_and_notify(process, prepared.console.proxy.take(), notify, invocation.log)
        .map(ExitStatus::shell_code)
}

/// A handle of a first process that is not this program's child.
pub(crate) fn first_process(container: &dyn Container) -> Result<SpawnedProcess, CliError> {
    let info = container.info()?;
    let pid = rustix::process::Pid::from_raw(info.pid)
        .ok_or_else(|| CliError::Refused(format!("container {} has no process", info.id)))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())
        .map_err(|e| CliError::io(format!("open a pidfd of process {}", info.pid), e))?;
    Ok(SpawnedProcess { pid, pidfd, stands_for: None })
}

/// Removes what is left of the sandbox; a failure to do so is no reason to
/// hide the outcome.
fn remove(invocation: &Invocation<'_>, sandbox: &dyn Sandbox, id: &ContainerId) {
    if let Err(error) = sandbox.delete(true)
        && !matches!(error, caisson_isolator::SandboxError::NotFound(_))
    {
        invocation.log.warn(&format!("remove container {id}: {error}"));
    }
    foreground::reap();
}

/// The bundle's absolute path.
fn bundle(flags: &Parsed<'_>) -> Result<PathBuf, CliError> {
    let given = flags.filled_path("bundle").unwrap_or_else(|| PathBuf::from("."));
    std::path::absolute(&given)
        .map_err(|e| CliError::io(format!("resolve --bundle {}", given.display()), e))
}

/// The bundle's configuration, checked.
fn load(bundle: &Path) -> Result<Spec, CliError> {
    let spec = match Spec::load(&bundle.join("config.json")) {
        Err(ConfigError::Read { path, source })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            let path = path.display();
            let why = format!("JSON specification file config.json not found: {path}: {source}");
            return Err(CliError::Refused(why));
        }
        other => other?,
    };
    caisson_runtime_spec::validate(&spec)?;
    Ok(spec)
}
