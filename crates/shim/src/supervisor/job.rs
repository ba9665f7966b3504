//! What a worker does: one call of the isolator.
//!
//! Calls of the isolator may take long (hooks, a slow disk) and change the
//! caller (exec enters the container's PID namespace for its children). So
//! each is made by a short-lived copy of the supervisor, which goes on
//! listening meanwhile, and whose memory stays small. What a worker starts
//! becomes the supervisor's child when the worker ends, as the supervisor is
//! its subreaper.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use caisson_cgroup::stats::Stats;
use caisson_isolator::{
    ConsoleSocket, ContainerId, ContainerRequest, ExecRequest, SandboxError, SandboxRequest,
};
use caisson_runtime_spec::{Namespace, NamespaceKind, Process, Resources, Spec};
use rustix::process::Pid;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use serde::{Deserialize, Serialize};

use super::engine::Engine;
use super::host_mounts::MountView;
use super::step::{Context as _, StepError};
use super::{host_mounts, init_program, rootfs};
use crate::{Fault, RootfsMount};

/// Streams for a process that is going to be started.
#[derive(Debug)]
pub(super) enum ChildStreams {
    /// Standard input, output, error.
    Three([OwnedFd; 3]),
    /// Where the terminal's master goes.
    Console(OwnedFd),
}

/// A container to make.
#[derive(Debug)]
pub(super) struct CreateJob {
    pub(super) bundle: PathBuf,
    /// What to mount before; `None` if it is there from an earlier run.
    pub(super) rootfs: Option<RootfsMount>,
    /// The supervisor's program, beside which `caisson-init` lies, if that is to
    /// be the first process.
    pub(super) init: Option<PathBuf>,
    /// The PID namespace to join.
    pub(super) pid_namespace: Option<String>,
    pub(super) streams: ChildStreams,
    /// Where the host's mounts are to be found.
    pub(super) host: MountView,
    /// Where those of them go that the container's bind mounts show.
    pub(super) sources: PathBuf,
}

/// What is mounted for a container.
#[derive(Debug)]
pub(super) struct Mounted {
    pub(super) rootfs: PathBuf,
    /// As [`CreateJob::sources`].
    pub(super) sources: PathBuf,
}

impl Mounted {
    pub(super) fn take_away(&self) {
        rootfs::detach(&self.rootfs);
        host_mounts::take_away(&self.sources);
    }
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Job {
    Create(Box<CreateJob>),
    Start,
    /// With what is mounted for it, that is taken away, too.
    Delete(Option<Mounted>),
    /// With `thaw`, a frozen container is thawed, or it would not notice.
    Signal {
        signal: i32,
        all: bool,
        thaw: bool,
    },
    Exec {
        process: Box<Process>,
        streams: ChildStreams,
    },
    /// To what an exec has started, by the supervisor's child.
    SignalExec {
        child: i32,
        signal: i32,
    },
    Freeze(bool),
    Update(Box<Resources>),
    Stats,
    Pids,
    /// To a port of its sandbox's loopback interface, by a stream.
    Connect {
        port: u16,
        stream: OwnedFd,
    },
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Outcome {
    Done,
    /// A process inside, and the supervisor's child that ends as it does: the
    /// same, or its stand-in.
    Process {
        pid: i32,
        child: i32,
    },
    Stats(Box<Stats>),
    Pids(Vec<i32>),
}

impl Job {
    /// Does it. In a process of its own: standard streams are replaced.
    pub(super) fn perform(self, engine: &Engine, id: &ContainerId) -> Result<Outcome, Fault> {
        self.try_perform(engine, id).map_err(Fault::from)
    }

    /// What the caller waits for, for messages: "… container x".
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "make",
            Self::Start => "start",
            Self::Delete(_) => "remove what is left of",
            Self::Signal { .. } => "signal",
            Self::Exec { .. } => "execute a program in",
            Self::SignalExec { .. } => "signal a program in",
            Self::Freeze(true) => "pause",
            Self::Freeze(false) => "resume",
            Self::Update(_) => "change the limits of",
            Self::Stats => "read the counters of",
            Self::Pids => "list the processes of",
            Self::Connect { .. } => "connect to",
        }
    }

    fn try_perform(self, engine: &Engine, id: &ContainerId) -> Result<Outcome, StepError> {
        match self {
            Self::Create(job) => job.perform(engine, id),
            Self::Start => Ok(engine.container(id)?.start().map(|()| Outcome::Done)?),
            Self::Delete(mounted) => {
                let deleted = engine.delete(id);
                if let Some(mounted) = mounted {
                    mounted.take_away();
                }
                Ok(deleted.map(|()| Outcome::Done)?)
            }
            Self::Signal { signal, all, thaw } => {
                let container = engine.container(id)?;
                let sent = container.signal(signal, all);
                if thaw {
                    match container.resources().set_frozen(false) {
                        Ok(()) | Err(SandboxError::WrongStatus { .. }) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(sent.map(|()| Outcome::Done)?)
            }
            Self::Exec { process, streams } => {
                let console = take_streams(streams)?;
                let request = ExecRequest {
                    process: *process,
                    console,
                    preserve_fds: 0,
                    cgroups: Vec::new(),
                    ignore_paused: false,
                };
                let spawned = engine.container(id)?.exec(request)?;
                let child = spawned.pid.as_raw_nonzero().get();
                Ok(Outcome::Process { pid: spawned.stands_for.unwrap_or(child), child })
            }
            Self::SignalExec { child, signal } => {
                let child = Pid::from_raw(child);
                let child =
                    child.ok_or_else(|| StepError::new("signal a program", "it is none"))?;
                engine.container(id)?.signal_exec(child, signal)?;
                Ok(Outcome::Done)
            }
            Self::Freeze(frozen) => {
                engine.container(id)?.resources().set_frozen(frozen)?;
                Ok(Outcome::Done)
            }
            Self::Update(limits) => {
                engine.container(id)?.resources().update(&limits)?;
                Ok(Outcome::Done)
            }
            Self::Connect { port, stream } => {
                engine.isolator().open_sandbox(id)?.connect(port, stream.as_fd())?;
                Ok(Outcome::Done)
            }
            Self::Stats => {
                let stats = engine.container(id)?.resources().stats()?;
                Ok(Outcome::Stats(Box::new(stats)))
            }
            Self::Pids => {
                let pids = engine.container(id)?.resources().processes()?;
                Ok(Outcome::Pids(pids.iter().map(|pid| pid.as_raw_nonzero().get()).collect()))
            }
        }
    }
}

impl CreateJob {
    fn perform(self, engine: &Engine, id: &ContainerId) -> Result<Outcome, StepError> {
        let mut spec = self.load_spec()?;
        // Of an earlier run.
        host_mounts::take_away(&self.sources);
        let isolate = !engine.is_one_for_all();
        host_mounts::bring(&mut spec, &self.host, &self.bundle, &self.sources, isolate)?;
        if let Some(rootfs) = &self.rootfs {
            let point = self.bundle.join("rootfs");
            if isolate && !matches!(rootfs, RootfsMount::None) {
                rootfs::isolate(&point)?;
            }
            let label = spec.linux.as_ref().and_then(|linux| linux.mount_label.as_deref());
            let label = label.filter(|label| !label.is_empty());
            rootfs::attach(rootfs, &point, label)?;
        }
        Ok(create(engine, id, spec, self.bundle, self.streams)?)
    }

    fn load_spec(&self) -> Result<Spec, StepError> {
        let path = self.bundle.join("config.json");
        let step = || format!("read {}", path.display());
        let mut spec = Spec::load(&path).context(step)?;
        if let Some(shim) = &self.init {
            init_program::insert(&mut spec, shim)?;
        }
        if let Some(pids) = &self.pid_namespace {
            share_pids(&mut spec, pids).map_err(|why| StepError::new(step(), why))?;
        }
        caisson_runtime_spec::validate(&spec).context(step)?;
        Ok(spec)
    }
}

/// Has the container join this PID namespace.
fn share_pids(spec: &mut Spec, path: &str) -> Result<(), &'static str> {
    let namespaces = &mut spec.linux.get_or_insert_default().namespaces;
    if namespaces.iter().any(|namespace| namespace.kind == NamespaceKind::Pid) {
        return Err("linux.namespaces has a PID namespace, share_pids_with names another");
    }
    let path = Some(path.to_owned());
    namespaces.push(Namespace { kind: NamespaceKind::Pid, path });
    Ok(())
}

fn create(
    engine: &Engine,
    id: &ContainerId,
    spec: Spec,
    bundle: PathBuf,
    streams: ChildStreams,
) -> Result<Outcome, SandboxError> {
    let console = take_streams(streams)?;
    let sandbox = engine.isolator().create_sandbox(&SandboxRequest { id, spec: &spec })?;
    let request = ContainerRequest {
        id: id.clone(),
        bundle,
        spec,
        console,
        preserve_fds: 0,
        no_pivot: false,
        no_new_keyring: false,
        start: false,
    };
    let made =
        sandbox.create_container(request).and_then(|container| match container.info()?.pid {
            0 => Err(SandboxError::step("create the container", "it has ended already")),
            pid => {
                let child = container.first_process().map(|first| first.pid.as_raw_nonzero().get());
                Ok((pid, child.unwrap_or(pid)))
            }
        });
    match made {
        Ok((pid, child)) => Ok(Outcome::Process { pid, child }),
        Err(error) => {
            if let Err(second) = sandbox.delete(true) {
                super::step::warn(&second);
            }
            Err(error)
        }
    }
}

/// Makes the streams this process's own: the isolator's processes inherit them.
fn take_streams(streams: ChildStreams) -> Result<Option<ConsoleSocket>, SandboxError> {
    let taken = |result: rustix::io::Result<()>| {
        result.map_err(|error| SandboxError::step("pass on the standard streams", error))
    };
    match streams {
        ChildStreams::Console(socket) => Ok(Some(ConsoleSocket { socket, plain_newlines: false })),
        ChildStreams::Three([stdin, stdout, stderr]) => {
            taken(dup2_stdin(stdin.as_fd()))?;
            taken(dup2_stdout(stdout.as_fd()))?;
            taken(dup2_stderr(stderr.as_fd()))?;
            Ok(None)
        }
    }
}
