//! From the launcher's first word to a supervisor at work.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use caisson_isolator::ContainerId;
use caisson_runtime_spec::Spec;
use caisson_sys::clone::{CloneFlags, Side, clone3, exit_now};
use caisson_sys::descriptors::{close_all_except, proc_path};
use caisson_sys::signal_fd::{SignalFd, SignalMask, restore_default_action};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};
use rustix::process::{Signal, chdir, getpid, set_child_subreaper, setsid, umask};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::engine::Engine;
use super::guard::Guard;
use super::log::Log;
use super::pod::{Pod, PodDir};
use super::restart::BackOff;
use super::state::{Ending, Launcher, Phase, Run, Supervisor};
use super::step::{Context as _, StepError};
use super::{execs::Execs, init_program, rootfs, streams};
use crate::wire::{Incoming, decode, encode, send};
use crate::{Fault, Launch, LaunchReply, now_nanos};

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
/// container is made is told to the launcher.
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
    let (given_streams, mut held) = sort(launch, fds)?;
    let Some(lock) = dir.lock()? else {
        return Err(StepError::new(
            format!("claim {}", dir.path.display()),
            "it has a supervisor already",
        ));
    };
    held.push(lock);
    // Of an earlier life.
    let _ = std::fs::remove_dir_all(dir.path.join(crate::names::EXIT));
    write_warnings_to(&dir)?;
    let mask = SignalMask::sendable();
    mask.block().context(|| "block signals")?;
    restore_default_action(Signal::CHILD.as_raw()).context(|| "wait for children")?;
    let signals = SignalFd::new(&mask).context(|| "receive signals")?;
    set_child_subreaper(Some(getpid())).context(|| "become a subreaper")?;
    let oom_score = protect_from_oom();
    let config = dir.config()?;
    let [container] = config.containers.as_slice() else {
        return Err(StepError::new("shim.json: containers", "there must be one"));
    };
    let container = container.clone();
    let id: ContainerId = container.id.parse().context(|| "shim.json: id")?;
    let spec = load_spec(&dir, container.init.then_some(program))?;
    let engine = Engine::open(&config)?;
    let log = Log::open(&container.log)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let host_mounts = openat(CWD, "/proc/self/ns/mnt", flags, Mode::empty())
        .context(|| "open the mount namespace")?;
    let guard = Guard::post(&dir, &config, host_mounts)?;
    let made = listen_in(&dir).and_then(|listener| {
        rootfs::enter_namespace(&dir.rootfs())?;
        rootfs::attach(&container.rootfs, &dir.rootfs())?;
        Ok(listener)
    });
    let listener = match made {
        Ok(listener) => listener,
        Err(error) => {
            guard.dismiss(false);
            dir.remove_socket();
            return Err(error);
        }
    };
    let policy = container.restart;
    rustix::fs::fcntl_setfl(&socket, OFlags::NONBLOCK)
        .context(|| "make the launcher's socket non-blocking")?;
    let pod =
        Pod { dir, config, container, id, spec, engine, oom_score, given_streams, _held: held };
    Ok(Supervisor {
        pod,
        guard,
        signals,
        listener,
        launcher: Some(Launcher { socket, incoming: Incoming::default() }),
        clients: Vec::new(),
        next_client: 0,
        workers: Vec::new(),
        log,
        phase: Phase::Creating,
        run: Run::default(),
        execs: Execs::default(),
        created_at: now_nanos(),
        restarts: 0,
        policy,
        back_off: BackOff::default(),
        ending: Ending::default(),
        last_exit: None,
        input_client: None,
        input_done: false,
        buffer: vec![0; CHUNK],
        rest_at: None,
    })
}

/// The launcher's descriptors by what they are: streams for the container, and
/// what is kept; the network namespace under the number of [`NETNS_PATH`].
fn sort(
    launch: &Launch,
    fds: Vec<OwnedFd>,
) -> Result<(Option<[OwnedFd; 3]>, Vec<OwnedFd>), StepError> {
    let step = || "take the launcher's descriptors";
    let count = fds.len();
    let lacking = || StepError::new(step(), format!("{count} have come, too few"));
    let mut rest = fds.into_iter();
    let mut held = Vec::new();
    for kind in &launch.namespaces {
        let given = rest.next().ok_or_else(lacking)?;
        let kept = fcntl_dupfd_cloexec(&given, kind.number()).context(step)?;
        if proc_path(kept.as_fd()) != kind.path() {
            return Err(StepError::new(step(), format!("{} is taken", kind.path())));
        }
        held.push(kept);
    }
    let streams = match launch.stdio {
        true => {
            let mut next = || rest.next().ok_or_else(lacking);
            Some([next()?, next()?, next()?])
        }
        false => None,
    };
    held.extend(rest);
    if u32::try_from(held.len()).ok() < Some(launch.held) {
        return Err(lacking());
    }
    Ok((streams, held))
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

fn load_spec(dir: &PodDir, init: Option<&Path>) -> Result<Spec, StepError> {
    let path = dir.bundle().join("config.json");
    let step = || format!("read {}", path.display());
    let mut spec = Spec::load(&path).context(step)?;
    if let Some(shim) = init {
        init_program::insert(&mut spec, shim)?;
    }
    caisson_runtime_spec::validate(&spec).context(step)?;
    Ok(spec)
}

/// Binds through the directory's descriptor: names of sockets hold 107 bytes
/// only (unix(7)).
fn listen_in(dir: &PodDir) -> Result<OwnedFd, StepError> {
    let step = || format!("listen on {}", dir.path.join(crate::names::SOCKET).display());
    dir.remove_socket();
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).context(step)?;
    let path = proc_path(dir.fd.as_fd()) + "/" + crate::names::SOCKET;
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
        let Self { pod, guard, listener, ending, .. } = self;
        pod.dir.remove_socket();
        drop(listener);
        let runs_command = !ending.failed && !ending.command_ran;
        // With it the lock, which the command is not to find taken.
        drop(pod);
        guard.dismiss(runs_command);
    }
}
