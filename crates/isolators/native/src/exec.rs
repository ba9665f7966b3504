//! A further process in a running container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use caisson_cgroup::{Cgroup, Joiner};
use caisson_isolator::{ExecRequest, SandboxError, SpawnedProcess};
use caisson_rootpath::Root;
use caisson_runtime_spec::{NamespaceKind, Process};
use caisson_seccomp::Filter;
use caisson_sys::clone::{CloneFlags, Side, clone3, exit_now};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Signal, WaitId, WaitIdOptions, pidfd_send_signal, set_dumpable_behavior, setsid, waitid};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use crate::channel::{Channel, Word};
use crate::create::await_exec;
use crate::init::{Console, Finish, Program, become_mapped_root, join_session_keyring};
use crate::state::{Record, StateDir};
use crate::step::{Context, StepError};

/// Runs `request.process` beside the process that `init` refers to. Returns
/// once it was executed.
pub(crate) fn exec(
    dir: &StateDir,
    record: &Record,
    init: BorrowedFd<'_>,
    request: ExecRequest,
) -> Result<SpawnedProcess, SandboxError> {
    let filter = match dir.config()?.linux.and_then(|linux| linux.seccomp) {
        Some(profile) => Some(
            Filter::compile(&profile)
                .map_err(|error| error.to_string())
                .context(|| "config.json: linux.seccomp")?,
        ),
        None => None,
    };
    let cgroup = Cgroup::open(&record.cgroup)
        .map_err(|error| error.to_string())
        .context(|| "open the container's cgroup")?;
    let joiner = joiner(&cgroup, &request.cgroups)?;
    let (ours, theirs) = Channel::pair()?;
    let pid_flag = NamespaceKind::Pid.clone_flag();
    if record.namespaces & pid_flag != 0 {
        enter(init, pid_flag)?;
    }
    let child = Child {
        id: &record.id,
        namespaces: record.namespaces & !pid_flag,
        init,
        process: &request.process,
        console: request.console.as_ref(),
        preserve_fds: request.preserve_fds,
        filter: filter.as_ref(),
        joiner: &joiner,
        channel: &theirs,
    };
    let process = match clone3(CloneFlags::empty(), joiner.clone_into_fd())
        .context(|| "clone a process for the container")?
    {
        Side::Child => child.run(),
        Side::Parent { pid, pidfd } => SpawnedProcess { pid, pidfd },
    };
    drop(theirs);
    let result = ours
        .expect(Word::Ready)
        .and_then(|_| {
            set_oom_score(&request.process, process.pid.as_raw_nonzero().get())?;
            ours.send(Word::Ready, b"")
        })
        .and_then(|()| await_exec(&ours, &process, record));
    match result {
        Ok(()) => Ok(process),
        Err(error) => {
            let _ = pidfd_send_signal(&process.pidfd, Signal::KILL);
            let _ = waitid(WaitId::PidFd(process.pidfd.as_fd()), WaitIdOptions::EXITED);
            Err(error.into())
        }
    }
}

fn joiner(cgroup: &Cgroup, subs: &[String]) -> Result<Joiner, StepError> {
    match subs {
        [] => cgroup.joiner().map_err(|error| error.to_string()),
        [sub] => cgroup.joiner_in(sub).map_err(|error| error.to_string()),
        _ => Err("only one --cgroup is supported".to_owned()),
    }
    .context(|| "open the container's cgroup")
}

fn set_oom_score(process: &Process, pid: i32) -> Result<(), StepError> {
    let Some(score) = process.oom_score_adj else { return Ok(()) };
    std::fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string())
        .context(|| format!("set process.oomScoreAdj to {score}"))
}

fn enter(init: BorrowedFd<'_>, namespaces: u32) -> Result<(), StepError> {
    let kinds = ThreadNameSpaceType::from_bits_retain(namespaces);
    match move_into_thread_name_spaces(init, kinds) {
        Err(Errno::SRCH) => Err(StepError::new("enter the container", "it has stopped")),
        other => other.context(|| "enter the container's namespaces"),
    }
}

/// What the new process is made of.
struct Child<'a> {
    id: &'a str,
    namespaces: u32,
    init: BorrowedFd<'a>,
    process: &'a Process,
    console: Option<&'a OwnedFd>,
    preserve_fds: u32,
    filter: Option<&'a Filter>,
    joiner: &'a Joiner,
    channel: &'a Channel,
}

impl Child<'_> {
    fn run(&self) -> ! {
        let code = match self.prepare() {
            Ok(finish) => finish.run(),
            Err(error) => {
                self.channel.send_error(&error);
                255
            }
        };
        exit_now(code)
    }

    fn prepare(&self) -> Result<Finish, StepError> {
        set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "become undumpable")?;
        self.joiner
            .join_self()
            .map_err(|error| error.to_string())
            .context(|| "join the container's cgroup")?;
        if self.namespaces != 0 {
            enter(self.init, self.namespaces)?;
        }
        if self.namespaces & NamespaceKind::User.clone_flag() != 0 {
            become_mapped_root()?;
            set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "stay undumpable")?;
        }
        setsid().context(|| "setsid")?;
        join_session_keyring(self.id)?;
        let root = Root::open(Path::new("/")).context(|| "open the container's root")?;
        let console = match self.console {
            Some(socket) => Some(Console::open(&root, self.process, socket, false)?),
            None => None,
        };
        let program = Program::prepare(self.process, &root, false)?;
        let report = rustix::io::fcntl_dupfd_cloexec(self.channel, 3)
            .context(|| "keep the channel")?;
        self.channel.send(Word::Ready, b"")?;
        self.channel.expect(Word::Ready)?;
        Ok(Finish {
            program,
            filter: self.filter.cloned(),
            console,
            preserve_fds: self.preserve_fds,
            start: None,
            start_hooks: Vec::new(),
            start_state: Vec::new(),
            report: Channel::over(report),
        })
    }
}
