//! From the launcher's first word to a supervisor at work.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use caisson_sys::clone::{CloneFlags, Side, clone3, exit_now};
use caisson_sys::descriptors::{close_all_except, proc_path};
use caisson_sys::signal_fd::{SignalFd, SignalMask, restore_default_action};
use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};
use rustix::process::{Signal, chdir, getpid, set_child_subreaper, setsid, umask};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::engine::Engine;
use super::front::Front;
use super::guard::Guard;
use super::host_mounts::MountView;
use super::pod::{Pod, PodDir};
use super::state::{Ending, Launcher, Supervisor};
use super::step::{Context as _, StepError};
use super::{rootfs, streams};
use crate::wire::{Incoming, decode, encode, send};
use crate::{Fault, Launch, LaunchReply, NamespaceKind, PodConfig};

/// Before the container's own and everybody else's on a machine that is short
/// of memory.
const OOM_SCORE: &str = "-998";
const OOM_FILE: &str = "/proc/self/oom_score_adj";
/// Received descriptors are kept above those of [`crate::NamespaceKind::path`].
const ABOVE: i32 = 14;
const CHUNK: usize = 32 * 1024;

/// What the launcher has said and given.
pub(super) struct Received {
    socket: OwnedFd,
    launch: Launch,
    fds: Vec<OwnedFd>,
}

/// Hears the launcher on standard input, and goes on in a child, in a session
/// of its own; the caller's process ends.
pub(super) fn detach() -> Result<Received, StepError> {
    let step = || "hear the launcher on standard input";
    let socket = fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).context(step)?;
    let mut incoming = Incoming::default();
    let frame = incoming.next_frame(socket.as_fd()).context(step)?;
    let launch: Launch = decode(&frame).context(step)?;
    let fds = incoming.take_fds();
    if let Side::Parent { .. } = clone3(CloneFlags::empty(), None).context(|| "fork")? {
        exit_now(0);
    }
    setsid().context(|| "start a session")?;
    let null = streams::null()?;
    dup2_stdin(&null).and_then(|()| dup2_stdout(&null)).context(|| "replace standard streams")?;
    drop(null);
    let mut keep = vec![socket.as_fd()];
    keep.extend(fds.iter().map(OwnedFd::as_fd));
    close_all_except(3, &keep).context(|| "close the launcher's descriptors")?;
    // Out of the way: low numbers are for what is opened here.
    let move_up = |fd: &OwnedFd| fcntl_dupfd_cloexec(fd, ABOVE).context(step);
    let moved = fds.iter().map(move_up).collect::<Result<Vec<_>, _>>()?;
    let (socket, fds) = (move_up(&socket)?, moved);
    chdir("/").context(|| "change to /")?;
    umask(Mode::from_raw_mode(0o022));
    // Executed from a copy in memory it would have a number for a name.
    let _ = rustix::thread::set_name(c"caisson-shim");
    Ok(Received { socket, launch, fds })
}

/// Takes all that the pod needs and serves it to its end. A failure before the
/// containers are made is told to the launcher.
pub(super) fn serve(received: Received, program: &Path) -> u8 {
    let Received { socket, launch, fds } = received;
    let told = socket.try_clone();
    match prepare(socket, &launch, fds, program) {
        Ok(mut supervisor) => {
            drop(told);
            let outcome = supervisor.run();
            supervisor.retire(&outcome);
            u8::from(outcome.is_err())
        }
        Err(error) => {
            if let Ok(socket) = told {
                let reply = LaunchReply::Failed(Fault::from(error));
                let _ = encode(&reply).and_then(|frame| send(socket.as_fd(), &frame, &[]));
            }
            1
        }
    }
}

fn prepare(
    socket: OwnedFd,
    launch: &Launch,
    fds: Vec<OwnedFd>,
    program: &Path,
) -> Result<Supervisor, StepError> {
    let dir = PodDir::open(launch.pod_dir.clone())?;
    let (namespaces, streams, mut held) = sort(launch, fds)?;
    let Some(lock) = dir.lock()? else {
        return Err(StepError::new(
            format!("claim {}", dir.path.display()),
            "it has a supervisor already",
        ));
    };
    held.push(lock);
    let config = dir.config()?;
    check(&config, launch)?;
    if let Some(cgroup) = &config.cgroup {
        // Before there is a guard, or anybody else of ours.
        caisson_cgroup::Cgroup::enter(cgroup).context(|| "shim.json: cgroup")?;
    }
    // What it says of an earlier life goes.
    dir.clear()?;
    write_warnings_to(&dir)?;
    let mask = SignalMask::sendable();
    mask.block().context(|| "block signals")?;
    restore_default_action(Signal::CHILD.as_raw()).context(|| "wait for children")?;
    let signals = SignalFd::new(&mask).context(|| "receive signals")?;
    set_child_subreaper(Some(getpid())).context(|| "become a subreaper")?;
    let oom_score = protect_from_oom();
    let engine = Engine::open(&config, program)?;
    let host = MountView::open()?;
    let own = host.namespace().try_clone().context(|| "keep the host's mount namespace")?;
    let guard = Guard::post(&dir, &config, program, own)?;
    let made = listen_in(&dir, crate::names::SOCKET).and_then(|listener| {
        rootfs::enter_namespace()?;
        if engine.is_one_for_all() {
            rootfs::share(&dir.path)?;
        }
        rustix::fs::fcntl_setfl(&socket, OFlags::NONBLOCK)
            .context(|| "make the launcher's socket non-blocking")?;
        let containerd = config.containerd.as_ref();
        let front = containerd.map(|containerd| Front::open(&dir, containerd)).transpose()?;
        Ok((listener, front))
    });
    let (listener, front) = match made {
        Ok(made) => made,
        Err(error) => {
            guard.dismiss(false);
            dir.remove_socket();
            return Err(error);
        }
    };
    let launcher = Launcher {
        socket,
        incoming: Incoming::default(),
        pending: config.containers.iter().cloned().collect(),
        fault: None,
        streams,
    };
    let program = program.to_owned();
    let pod = Pod { dir, config, engine, program, oom_score, host, namespaces, _held: held };
    Ok(Supervisor {
        pod,
        guard,
        signals,
        listener,
        launcher: Some(launcher),
        clients: Vec::new(),
        next_client: 0,
        workers: Vec::new(),
        units: Vec::new(),
        next_unit: 0,
        ending: Ending::default(),
        front,
        buffer: vec![0; CHUNK],
        rest_at: None,
    })
}

/// What can't be right whatever the containers are.
fn check(config: &PodConfig, launch: &Launch) -> Result<(), StepError> {
    let wrong = |why: &str| Err(StepError::new("shim.json: containers", why));
    match config.containers.len() {
        0 if !config.linger => wrong("without any, linger must be set"),
        1 => Ok(()),
        _ if launch.stdio => wrong("streams can be given to one only"),
        _ => Ok(()),
    }
}

/// The launcher's descriptors by what they are: namespaces, under the numbers of
/// [`NamespaceKind::path`]; streams for the container; and what is kept.
type Sorted = (Vec<(NamespaceKind, OwnedFd)>, Option<[OwnedFd; 3]>, Vec<OwnedFd>);

fn sort(launch: &Launch, fds: Vec<OwnedFd>) -> Result<Sorted, StepError> {
    let step = || "take the launcher's descriptors";
    let count = fds.len();
    let lacking = || StepError::new(step(), format!("{count} have come, too few"));
    let mut rest = fds.into_iter();
    let mut namespaces = Vec::new();
    for kind in &launch.namespaces {
        let given = rest.next().ok_or_else(lacking)?;
        let kept = fcntl_dupfd_cloexec(&given, kind.number()).context(step)?;
        if proc_path(kept.as_fd()) != kind.path() {
            return Err(StepError::new(step(), format!("{} is taken", kind.path())));
        }
        namespaces.push((*kind, kept));
    }
    let streams = match launch.stdio {
        true => {
            let mut next = || rest.next().ok_or_else(lacking);
            Some([next()?, next()?, next()?])
        }
        false => None,
    };
    let held: Vec<OwnedFd> = rest.collect();
    if u32::try_from(held.len()).ok() < Some(launch.held) {
        return Err(lacking());
    }
    Ok((namespaces, streams, held))
}

fn write_warnings_to(dir: &PodDir) -> Result<(), StepError> {
    let step = || format!("open {}", dir.path.join("shim.log").display());
    let flags =
        OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let log = openat(&dir.fd, "shim.log", flags, Mode::from_raw_mode(0o600)).context(step)?;
    dup2_stderr(&log).context(step)
}

/// Lowers our own score where that is allowed; what the container is to have
/// then.
fn protect_from_oom() -> Option<String> {
    let before = std::fs::read_to_string(OOM_FILE).ok()?;
    std::fs::write(OOM_FILE, OOM_SCORE).ok()?;
    Some(before.trim().to_owned())
}

/// Binds through the directory's descriptor: names of sockets hold 107 bytes
/// only (unix(7)).
pub(super) fn listen_in(dir: &PodDir, name: &str) -> Result<OwnedFd, StepError> {
    let step = || format!("listen on {}", dir.path.join(name).display());
    let _ = unlinkat(&dir.fd, name, AtFlags::empty());
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).context(step)?;
    let path = proc_path(dir.fd.as_fd()) + "/" + name;
    let address = SocketAddrUnix::new(path).context(step)?;
    let before = umask(Mode::from_raw_mode(0o177));
    let bound = bind(&socket, &address);
    umask(before);
    bound.context(step)?;
    listen(&socket, 128).context(step)?;
    Ok(socket)
}

impl Supervisor {
    /// The last things before the end.
    fn retire(self, outcome: &Result<(), StepError>) {
        if let Err(error) = outcome {
            // The guard finds no last word, and removes what is left.
            super::step::warn(error);
            return;
        }
        let Self { pod, guard, listener, ending, front, .. } = self;
        pod.dir.remove_socket();
        if front.is_some() {
            // Nobody else knows of it.
            if let Err(error) = pod.dir.remove() {
                super::step::warn(&error);
            }
        }
        drop(listener);
        let runs_command = !ending.failed && !ending.settled;
        // With it the lock, which the command is not to find taken.
        drop(pod);
        guard.dismiss(runs_command);
    }
}
