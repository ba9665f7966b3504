//! A sandbox, from nothing to its end: the processes it is made of.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use caisson_sys::clone::{CloneFlags, Side, clone3, exit_now};
use rustix::io::Errno;
use rustix::process::{Signal, WaitOptions, WaitStatus, waitpid};
use rustix::thread::CapabilitySet;

use crate::kernel::Kernel;
use crate::task::process::Directories;
use crate::task::waiter::lock;
use crate::task::{Credentials, Process, Status};
use crate::vfs::setup::{Layout, MountError, root_credentials};
use crate::vfs::{
    Broker, BrokerClient, Fifos, FileSystem, FileTable, HostStream, Kind, MountFlags, MountTable,
    OpenFile, Poller, StartBrokerError, Walker, pair, served_tree,
};
use crate::wall::{WallError, empty_root, shed};
use crate::{platform, syscalls};

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
    /// The program can't be executed.
    #[error("execute {program} in the sandbox: {errno}")]
    Execute {
        /// Its path inside.
        program: String,
        /// What our kernel says.
        errno: Errno,
    },
}

fn step(step: &'static str) -> impl Fn(Errno) -> LaunchError {
    move |errno| LaunchError::Step { step, errno }
}

fn io_step(name: &'static str) -> impl Fn(std::io::Error) -> LaunchError {
    move |error| step(name)(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// What runs in a sandbox.
#[derive(Clone, Debug)]
pub struct Program {
    /// Folder of the host that is its root file system.
    pub root: PathBuf,
    /// Path inside.
    pub path: Vec<u8>,
    /// Arguments, with the program's name.
    pub arguments: Vec<Vec<u8>>,
    /// Variables.
    pub environment: Vec<Vec<u8>>,
    /// Working directory inside.
    pub directory: Vec<u8>,
    /// User and group.
    pub owner: (u32, u32),
    /// What is mounted.
    pub layout: Layout,
}

/// Runs a program in a sandbox of its own, with this process's standard streams;
/// returns its exit code, or 128 plus the signal that killed it. The caller must
/// have a single thread, and needs the right to make a PID namespace.
///
/// # Errors
/// [`LaunchError`]
pub fn run(program: &Program, report: fn(&LaunchError)) -> Result<u8, LaunchError> {
    let flags = if program.layout.read_only { MountFlags::READ_ONLY } else { MountFlags::empty() };
    let root = served_tree(&program.root, true, flags)
        .map_err(|errno| LaunchError::Root { path: program.root.clone(), errno })?;
    let mut roots = program.layout.open_sources()?;
    roots.push(root);
    let (client, socket) = pair()?;
    let spaces = CloneFlags::NEWPID
        | CloneFlags::NEWNET
        | CloneFlags::NEWIPC
        | CloneFlags::NEWUTS
        | CloneFlags::NEWNS
        | CloneFlags::NEWCGROUP;
    let broker = match clone3(spaces, None).map_err(io_step("clone the broker"))? {
        Side::Child => {
            drop(client);
            let code = match Broker::enter(socket, &roots) {
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
        Side::Parent { pid, .. } => pid,
    };
    drop(socket);
    let sentry = match clone3(spaces, None).map_err(io_step("clone the sentry"))? {
        Side::Child => {
            // Whoever ends the caller ends the sandbox.
            let die = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            let booted = die.map_err(step("tie the sentry to its parent"));
            let code = match booted.and_then(|()| boot(program, roots, client)) {
                Ok(Status::Exited(code)) => code,
                Ok(Status::Killed(signal, _)) => 128_u8.saturating_add(signal),
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
    drop(client);
    let status = wait(sentry)?;
    // Its other end is closed: the broker ends by itself.
    wait(broker)?;
    Ok(status)
}

fn wait(pid: rustix::process::Pid) -> Result<u8, LaunchError> {
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(code(status)),
            Ok(None) | Err(Errno::INTR) => {}
            Err(errno) => return Err(step("wait for the sentry")(errno)),
        }
    }
}

fn code(status: WaitStatus) -> u8 {
    let signal = || status.terminating_signal().unwrap_or(0) + 128;
    u8::try_from(status.exit_status().unwrap_or_else(signal)).unwrap_or(255)
}

/// Runs as the sentry.
fn boot(
    program: &Program,
    mut roots: Vec<OwnedFd>,
    broker: BrokerClient,
) -> Result<Status, LaunchError> {
    let counter = platform::clock::counter_is_a_clock();
    empty_root()?;
    shed(CapabilitySet::empty())?;
    let started = platform::start(counter)?;
    // Libraries ask files and the host once, which they can't from here on.
    let _ = (syscalls::system::processors(), crate::vfs::Time::now());
    platform::host_calls::confine(&platform::host_calls::SENTRY)
        .map_err(step("filter the sentry's own calls"))?;
    let root = roots.pop().ok_or(Errno::BADF).map_err(step("make the root"))?;
    let files = file_system(program, root, broker)?;
    let poller = Arc::clone(&files.poller);
    let kernel = Kernel::new(started, files);
    kernel.clock.set_processors(u32::try_from(syscalls::system::processors()).unwrap_or(1));
    kernel.log.write(&format!(
        "Linux version {} {}",
        syscalls::system::RELEASE,
        syscalls::system::VERSION
    ));
    kernel.log.write("Caisson sentry: system calls are served in user space");
    poller.start().map_err(io_step("start a thread"))?;
    kernel.serve().map_err(io_step("start a thread"))?;
    kernel.prepare().map_err(step("empty the first stub process"))?;
    let walker = Walker {
        kernel: &kernel,
        pid: 1,
        root: Arc::clone(&kernel.files.root),
        credentials: root_credentials(),
    };
    program.layout.attach(&walker, roots)?;
    drop(walker);
    let process = first_process(program, &kernel)?;
    let execute = syscalls::start_first(
        &kernel,
        &process,
        &program.path,
        program.arguments.clone(),
        program.environment.clone(),
    );
    execute.map_err(|errno| LaunchError::Execute {
        program: String::from_utf8_lossy(&program.path).into_owned(),
        errno,
    })?;
    Ok(kernel.wait_for_end())
}

fn file_system(
    program: &Program,
    root: OwnedFd,
    broker: BrokerClient,
) -> Result<FileSystem, LaunchError> {
    let mounts = MountTable::default();
    let root = program.layout.root(&mounts, root).map_err(step("make the root"))?;
    if root.kind() != Kind::Directory {
        return Err(LaunchError::Root { path: program.root.clone(), errno: Errno::NOTDIR });
    }
    let poller = Poller::new().map_err(step("epoll_create"))?;
    Ok(FileSystem { root, mounts, broker, poller, fifos: Fifos::default() })
}

fn first_process(program: &Program, kernel: &Arc<Kernel>) -> Result<Arc<Process>, LaunchError> {
    const READ_WRITE: u32 = 2;
    let table = FileTable::empty();
    for number in 0..3 {
        let stream = standard_stream(number).map_err(step("take over a standard stream"))?;
        let Some(stream) = stream else { continue };
        let file = HostStream::new(stream, &kernel.files.poller);
        let file = OpenFile::stream(Box::new(file), READ_WRITE);
        table.put(number, file, false).map_err(step("take over a standard stream"))?;
    }
    let (user, group) = program.owner;
    let credentials = Credentials { users: [user; 4], groups: [group; 4], others: vec![group] };
    let root = kernel.files.root.top();
    let walker =
        Walker { kernel, pid: 1, root: Arc::clone(&root), credentials: credentials.clone() };
    let current = walker
        .walk(&root, &program.directory, true)
        .and_then(crate::vfs::Resolve::existing)
        .map_err(step("enter the working directory"))?;
    let pid = lock(&kernel.tree).new_id().map_err(step("number the first process"))?;
    let process = Process::new(pid, table, Directories { current, root }, 0o022, credentials);
    let row = crate::task::Row::new(Arc::clone(&process), 0, pid, pid);
    lock(&kernel.tree).insert(pid, row);
    Ok(process)
}

/// A copy of a standard stream; `None` if it is closed.
fn standard_stream(number: u32) -> Result<Option<OwnedFd>, Errno> {
    use rustix::stdio::{stderr, stdin, stdout};
    let stream = match number {
        0 => stdin(),
        1 => stdout(),
        _ => stderr(),
    };
    match rustix::io::fcntl_dupfd_cloexec(stream, 3) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::BADF) => Ok(None),
        Err(errno) => Err(errno),
    }
}
