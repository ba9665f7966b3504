//! A further process in a running container.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use caisson_cgroup::{Cgroup, Joiner};
use caisson_isolator::{ConsoleSocket, ExecRequest, SandboxError, SpawnedProcess};
use caisson_rootpath::Root;
use caisson_runtime_spec::{Linux, NamespaceKind, Process};
use caisson_seccomp::Filter;
use caisson_sys::clone::{CloneFlags, Side, clone3, exit_now};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitId, WaitIdOptions, chdir, chroot, pidfd_send_signal,
    set_dumpable_behavior, setsid, waitid,
};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use crate::channel::{Channel, Word};
use crate::create::{await_exec, compile};
use crate::init::{
    Console, Finish, Program, apply_container, become_mapped_root, take_session_keyring,
};
use crate::intel_rdt::Classes;
use crate::state::{Record, StateDir};
use crate::step::{Cause as _, Context, StepError};
use crate::{affinity, oom_score, successor};

/// Runs `request.process` beside the process `first`, which `init` refers to.
/// Returns once it was executed.
pub(crate) fn exec(
    dir: &StateDir,
    record: &Record,
    (first, init): (Pid, BorrowedFd<'_>),
    request: &ExecRequest,
) -> Result<SpawnedProcess, SandboxError> {
    let linux = dir.config()?.linux.unwrap_or_default();
    let classes = match &linux.intel_rdt {
        Some(rdt) => Some(Classes::open(rdt, &record.id)?),
        None => None,
    };
    let filter = compile(linux.seccomp.as_ref())?;
    let cgroup = record.open_cgroup()?;
    let mut joiner = joiner(&cgroup, &request.cgroups)?;
    let (ours, theirs) = Channel::pair()?;
    let inside = enter_pids(init, record.namespaces)?;
    affinity::take_initial(request.process.exec_cpu_affinity.as_ref())?;
    let cloning = || "clone a process for the container";
    let side = match clone3(CloneFlags::empty(), joiner.clone_into_fd()) {
        Err(error) if request.cgroups.is_empty() && holds_cgroups_only(&error) => {
            joiner =
                cgroup.joiner_beside(first).map_err(|error| error.to_string()).context(OPEN)?;
            clone3(CloneFlags::empty(), joiner.clone_into_fd()).context(cloning)?
        }
        other => other.context(cloning)?,
    };
    let child = Child {
        namespaces: record.namespaces & !inside,
        mapped: record.namespaces & NamespaceKind::User.clone_flag() != 0,
        in_two_steps: record.namespaces & !inside & NamespaceKind::Pid.clone_flag() != 0,
        init,
        rootfs: &record.rootfs,
        process: &request.process,
        linux: &linux,
        console: request.console.as_ref(),
        preserve_fds: request.preserve_fds,
        filter: filter.as_ref(),
        joiner: &joiner,
        channel: &theirs,
    };
    let process = match side {
        Side::Child => child.run(),
        Side::Parent { pid, pidfd } => SpawnedProcess { pid, pidfd, stands_for: None },
    };
    let in_two_steps = child.in_two_steps;
    drop(theirs);
    let process = if in_two_steps { follow_successor(&ours, &process)? } else { process };
    let result = ours
        .expect(Word::Ready)
        .and_then(|_| {
            classes.map_or(Ok(()), |classes| classes.join(process.pid))?;
            ours.send(Word::Ready, b"")
        })
        .and_then(|()| await_exec(&ours, &process, record).map(drop));
    match result {
        Ok(()) => Ok(process),
        Err(error) => {
            let _ = pidfd_send_signal(&process.pidfd, Signal::KILL);
            let _ = waitid(WaitId::PidFd(process.pidfd.as_fd()), WaitIdOptions::EXITED);
            Err(error.into())
        }
    }
}

/// Moves later children of the caller into the container's PID namespace.
/// Returns the flag of the namespaces that they are in then: none if only the
/// rights in the container's user namespace, which they must enter for
/// themselves, open the way.
fn enter_pids(init: BorrowedFd<'_>, namespaces: u32) -> Result<u32, StepError> {
    let flag = NamespaceKind::Pid.clone_flag();
    if namespaces & flag == 0 {
        return Ok(0);
    }
    match try_enter(init, flag) {
        Ok(()) => Ok(flag),
        Err(Errno::PERM) if namespaces & NamespaceKind::User.clone_flag() != 0 => Ok(0),
        Err(error) => Err(entering(error)),
    }
}

/// The process that the first one cloned in the container, as our child.
fn follow_successor(
    channel: &Channel,
    first: &SpawnedProcess,
) -> Result<SpawnedProcess, StepError> {
    let process = successor::follow(channel, "find the process in the container");
    let _ = waitid(WaitId::PidFd(first.pidfd.as_fd()), WaitIdOptions::EXITED);
    let process = process?;
    channel.send(Word::Mapped, b"")?;
    Ok(process)
}

/// What is tried with the container's cgroup.
const OPEN: fn() -> &'static str = || "open the container's cgroup";

/// `subs` as [`ExecRequest::cgroups`].
fn joiner(cgroup: &Cgroup, subs: &[String]) -> Result<Joiner, StepError> {
    let by_controller: Option<Vec<_>> = subs.iter().map(|sub| sub.split_once(':')).collect();
    match (subs, by_controller) {
        ([], _) => cgroup.joiner().map_err(|error| error.to_string()),
        (_, Some(subs)) => cgroup.joiner_in_each(&subs).map_err(|error| error.to_string()),
        ([sub], None) => cgroup.joiner_in(sub).map_err(|error| error.to_string()),
        (_, None) => Err("of several paths each needs a controller".to_owned()),
    }
    .context(OPEN)
}

/// Whether cgroup v2 refused since the container, such as one with systemd
/// inside, has given its cgroup's controllers to child cgroups (cgroups(7)).
fn holds_cgroups_only(error: &std::io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::BUSY, Errno::OPNOTSUPP].iter().any(|errno| code == Some(errno.raw_os_error()))
}

fn try_enter(init: BorrowedFd<'_>, namespaces: u32) -> Result<(), Errno> {
    move_into_thread_name_spaces(init, ThreadNameSpaceType::from_bits_retain(namespaces))
}

fn entering(error: Errno) -> StepError {
    match error {
        Errno::SRCH => StepError::new("enter the container", "it has stopped"),
        other => StepError::new("enter the container's namespaces", other.cause()),
    }
}

/// What the new process is made of.
struct Child<'a> {
    namespaces: u32,
    /// Whether the container's ids are those of a user namespace.
    mapped: bool,
    /// Whether the PID namespace is among them, so that only a child of the
    /// child is in it.
    in_two_steps: bool,
    init: BorrowedFd<'a>,
    rootfs: &'a Path,
    process: &'a Process,
    linux: &'a Linux,
    console: Option<&'a ConsoleSocket>,
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

    /// Clones the process that is in the PID namespace, and ends.
    fn go_on_in_successor(&self) -> Result<(), StepError> {
        successor::go_on(self.channel, CloneFlags::empty(), "clone a process in the container")?;
        // Not before the other has spoken: both speak on one channel.
        self.channel.expect(Word::Mapped).map(drop)
    }

    fn prepare(&self) -> Result<Finish, StepError> {
        oom_score::set(self.process, "/proc/self", self.mapped)?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "become undumpable")?;
        self.joiner
            .join_self()
            .map_err(|error| error.to_string())
            .context(|| "join the container's cgroup")?;
        affinity::take_final(self.process.exec_cpu_affinity.as_ref())?;
        if self.namespaces != 0 {
            try_enter(self.init, self.namespaces).map_err(entering)?;
        }
        if self.in_two_steps {
            self.go_on_in_successor()?;
        }
        if self.namespaces & NamespaceKind::User.clone_flag() != 0 {
            become_mapped_root()?;
            set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "stay undumpable")?;
        }
        if self.namespaces & NamespaceKind::Mount.clone_flag() == 0 {
            // Nothing has taken us off the host's root.
            let step = || format!("chroot to {}", self.rootfs.display());
            chroot(self.rootfs).and_then(|()| chdir("/")).context(step)?;
        }
        apply_container(self.linux)?;
        setsid().context(|| "setsid")?;
        take_session_keyring()?;
        let root = Root::open(Path::new("/")).context(|| "open the container's root")?;
        let console = match self.console {
            Some(socket) => Some(Console::open(&root, self.process, socket, false)?),
            None => None,
        };
        let program = Program::prepare(self.process, &root, false)?;
        let report =
            rustix::io::fcntl_dupfd_cloexec(self.channel, 3).context(|| "keep the channel")?;
        Ok(Finish {
            program,
            filter: self.filter.cloned(),
            console,
            preserve_fds: self.preserve_fds,
            start: None,
            kernel: None,
            cgroups: Vec::new(),
            opened: Vec::new(),
            owner_may_enter: false,
            start_hooks: Vec::new(),
            start_state: Vec::new(),
            report: Channel::over(report),
        })
    }
}
