//! A sandbox, from nothing to its end: the processes it is made of.

mod boot;
mod program;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use caisson_sys::clone::{CloneFlags, Side, clone3, exit_now};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, waitpid};

pub(crate) use self::boot::{Further, Given, boot, boot_beside};
pub use self::program::Program;
pub(crate) use self::program::{Streams, find_in_path, home_of, start};
use crate::net::Uplink;
use crate::panic_report::STATUS;
use crate::platform;
use crate::task::Status;
use crate::vfs::setup::{Layout, MountError};
use crate::vfs::{
    Broker, BrokerClient, MountFlags, StartBrokerError, learn_processors, pair, served_tree,
};
use crate::wall::WallError;

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The root can't be opened.
    #[error("open the root file system {path}: {errno}")]
    Root {
        /// Where it should be.
        path: PathBuf,
        /// What the host said.
        errno: Errno,
    },
    /// No broker.
    #[error(transparent)]
    Broker(#[from] StartBrokerError),
    /// A mount.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The sentry can't be confined.
    #[error(transparent)]
    Wall(#[from] WallError),
    /// No network.
    #[error(transparent)]
    Outside(#[from] crate::net::OutsideError),
    /// No stub.
    #[error(transparent)]
    Platform(#[from] platform::StartError),
    /// The host refuses something else.
    #[error("set up the sandbox: {step}: {errno}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// What the host said.
        errno: Errno,
    },
    /// It was there, and a process of it has ended before its time.
    #[error("the sandbox's {process} was ended by {}", cause(*signal))]
    Killed {
        /// Which.
        process: &'static str,
        /// By which signal of the host's; 0: by a panic.
        signal: i32,
    },
    /// The program can't be executed.
    #[error("execute {program} in the sandbox: {errno}")]
    Execute {
        /// Its path inside.
        program: String,
        /// What our kernel says.
        errno: Errno,
    },
}

/// What it means if a process of the sandbox is ended by a signal.
fn cause(signal: i32) -> String {
    const SIGKILL: i32 = 9;
    const SIGSYS: i32 = 31;
    let bug = "this is a bug of Caisson's: please report it. The host is not affected";
    match signal {
        0 => format!("a panic: {bug}"),
        SIGKILL => "SIGKILL: from outside, or for want of memory".to_owned(),
        SIGSYS => format!("SIGSYS, for a host call that is in no table of its wall: {bug}"),
        signal => {
            let name = caisson_sys::signal_names::name(signal).unwrap_or("?");
            format!("SIG{name}: {bug}")
        }
    }
}

fn step(step: &'static str) -> impl Fn(Errno) -> LaunchError {
    move |errno| LaunchError::Step { step, errno }
}

fn io_step(name: &'static str) -> impl Fn(std::io::Error) -> LaunchError {
    move |error| step(name)(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Runs a program in a sandbox of its own, over the folder `root`, with mounts and this
/// process's standard streams; returns its exit code, or 128 plus the signal that
/// killed it. The caller must have a single thread, and needs the right to make a
/// PID namespace.
///
/// # Errors
/// [`LaunchError`]
pub fn run(
    root: &Path,
    layout: &Layout,
    program: &Program,
    uplink: Uplink,
    report: fn(&LaunchError),
) -> Result<u8, LaunchError> {
    let (roots, store) = (open_roots(root, layout)?, layout.overlay.open_folder()?);
    let (broker, client) = start_broker(&roots, store, report)?;
    let mut own = spaces();
    // The sockets are those of the caller's network.
    own.set(CloneFlags::NEWNET, !matches!(uplink, Uplink::HostSockets(_)));
    let sentry = match clone3(own, None).map_err(io_step("clone the sentry"))? {
        Side::Child => {
            // Whoever ends the caller ends the sandbox.
            let die = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            let tied = die.map_err(step("tie the sentry to its parent"));
            let code = match tied.and_then(|()| alone(program, (layout, roots), client, uplink)) {
                Ok(status) => code_of(status),
                Err(error) => {
                    report(&error);
                    127
                }
            };
            // As the first process of its PID namespace it takes all stubs along.
            exit_now(code);
        }
        Side::Parent { pid, .. } => pid,
    };
    drop((client, uplink));
    let ended = wait(sentry)?;
    // A guest never ends it by a signal, nor is it alone in being killed if the caller is.
    if let Some(signal) = ended.terminating_signal() {
        report(&LaunchError::Killed { process: "kernel", signal });
    }
    // Its other end is closed: the broker ends by itself.
    let broker = wait(broker)?;
    let panicked = (broker.exit_status() == Some(STATUS.into())).then_some(0);
    if let Some(signal) = broker.terminating_signal().or(panicked) {
        report(&LaunchError::Killed { process: "broker", signal });
    }
    Ok(code(ended))
}

/// Namespaces of the sandbox's processes.
fn spaces() -> CloneFlags {
    CloneFlags::NEWPID
        | CloneFlags::NEWNET
        | CloneFlags::NEWIPC
        | CloneFlags::NEWUTS
        | CloneFlags::NEWNS
        | CloneFlags::NEWCGROUP
}

/// Opens what the broker is to serve: the sources of bind mounts, and last the root.
pub(crate) fn open_roots(path: &Path, layout: &Layout) -> Result<Vec<OwnedFd>, LaunchError> {
    let fail = |errno| LaunchError::Root { path: path.to_owned(), errno };
    let flags = if layout.read_only { MountFlags::READ_ONLY } else { MountFlags::empty() };
    let root = served_tree(path, true, flags).map_err(fail)?;
    let stat = rustix::fs::fstat(&root).map_err(fail)?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir() {
        return Err(fail(Errno::NOTDIR));
    }
    let mut roots = layout.open_sources()?;
    roots.push(root);
    Ok(roots)
}

/// Makes the broker of these roots, a child of this process; it ends when the client
/// is dropped. `store` is its alone.
pub(crate) fn start_broker(
    roots: &[OwnedFd],
    store: Option<OwnedFd>,
    report: fn(&LaunchError),
) -> Result<(Pid, BrokerClient), LaunchError> {
    let (client, socket) = pair()?;
    match clone3(spaces(), None).map_err(io_step("clone the broker"))? {
        Side::Child => {
            drop(client);
            let code = match Broker::enter(socket, roots, store) {
                Ok(broker) => {
                    broker.serve();
                    0
                }
                Err(error) => {
                    report(&error.into());
                    1
                }
            };
            exit_now(code);
        }
        Side::Parent { pid, .. } => Ok((pid, client)),
    }
}

/// A sandbox for one program, without anybody to talk to.
fn alone(
    program: &Program,
    (layout, roots): (&Layout, Vec<OwnedFd>),
    broker: BrokerClient,
    uplink: Uplink,
) -> Result<Status, LaunchError> {
    let streams = Streams::own(0)?;
    let (host_name, control, signals, tied) = (None, None, None, true);
    let counter = platform::clock::counter_is_a_clock();
    learn_processors();
    let name = None;
    let kernel = boot(Given {
        name,
        layout,
        roots,
        broker,
        host_name,
        control,
        tied,
        uplink,
        signals,
        counter,
    })?;
    start(&kernel, program, streams, None)?;
    Ok(kernel.wait_for_end())
}

/// The exit code that says how a program ended: its own, or 128 plus the signal.
pub(crate) fn code_of(status: Status) -> u8 {
    match status {
        Status::Exited(code) => code,
        Status::Killed(signal, _) => 128_u8.saturating_add(signal),
    }
}

fn wait(pid: Pid) -> Result<WaitStatus, LaunchError> {
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) | Err(Errno::INTR) => {}
            Err(errno) => return Err(step("wait for the sentry")(errno)),
        }
    }
}

fn code(status: WaitStatus) -> u8 {
    let signal = || status.terminating_signal().unwrap_or(0) + 128;
    u8::try_from(status.exit_status().unwrap_or_else(signal)).unwrap_or(255)
}
