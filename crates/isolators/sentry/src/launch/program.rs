//! Programs that come from outside: the first one, and those of `exec`.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::termios::OutputModes;

use super::{LaunchError, step};
use crate::kernel::{Ended, Kernel};
use crate::platform;
use crate::syscalls;
use crate::task::limits::{INFINITY, MOST_FILES, resource};
use crate::task::process::{Directories, Fs};
use crate::task::waiter::lock;
use crate::task::{CapabilitySets, Credentials, Pid, Process, Row};
use crate::vfs::{self, FileTable, HostStream, Kind, OpenFile, Resolve, Walker, access, permit};

/// What runs in a sandbox.
#[derive(Clone, Debug)]
pub struct Program {
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
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Permissions that new files don't get.
    pub umask: u32,
    /// Capabilities.
    pub caps: CapabilitySets,
    /// Resources by their number, with soft and hard limits; others have the usual ones.
    pub limits: Vec<(u32, (u64, u64))>,
}

/// Descriptors that a program starts with.
pub(crate) struct Streams {
    /// By number.
    pub(crate) list: Vec<(u32, OwnedFd)>,
    /// Whether the first three are a terminal of the host's, in raw mode: the program
    /// gets one of its own kernel's, which is shown there.
    pub(crate) terminal: bool,
}

impl Streams {
    /// Copies of this process's standard streams, as far as they are open, and of
    /// `more` descriptors behind them.
    pub(crate) fn own(more: u32) -> Result<Self, LaunchError> {
        let mut streams = Vec::new();
        for number in 0..more.saturating_add(3) {
            match platform::copy_of(number, more.saturating_add(3)) {
                Ok(copy) => streams.push((number, copy)),
                Err(Errno::BADF) => {}
                Err(errno) => return Err(step("take over a standard stream")(errno)),
            }
        }
        Ok(Streams { list: streams, terminal: false })
    }
}

fn credentials(program: &Program) -> Credentials {
    let (user, group) = program.owner;
    let mut groups = program.groups.clone();
    // As Linux keeps them.
    groups.sort_unstable();
    Credentials { caps: program.caps, ..Credentials::of(user, group, groups) }
}

fn walker<'a>(kernel: &'a Arc<Kernel>, program: &Program) -> Walker<'a> {
    Walker {
        kernel,
        pid: 1,
        tid: 1,
        root: kernel.files.root.top(),
        credentials: credentials(program),
        only_looks: false,
    }
}

/// Starts a program whose parent is outside. `ended` hears of its end, unless it is
/// the first one: its end is the sandbox's ([`Kernel::wait_for_end`]).
///
/// # Errors
/// [`LaunchError`]: it does not run then.
pub(crate) fn start(
    kernel: &Arc<Kernel>,
    program: &Program,
    streams: Streams,
    ended: Option<Ended>,
) -> Result<Arc<Process>, LaunchError> {
    let process = new_process(kernel, program, streams)?;
    if let Some(ended) = ended {
        kernel.tell_outside(process.pid, ended);
    }
    let arguments = program.arguments.clone();
    let environment = program.environment.clone();
    let started = syscalls::start_first(kernel, &process, &program.path, arguments, environment);
    match started {
        Ok(()) => Ok(process),
        Err(errno) => {
            kernel.forget_outside(process.pid);
            lock(&kernel.tree).remove(process.pid);
            let program = String::from_utf8_lossy(&program.path).into_owned();
            Err(LaunchError::Execute { program, errno })
        }
    }
}

fn new_process(
    kernel: &Arc<Kernel>,
    program: &Program,
    streams: Streams,
) -> Result<Arc<Process>, LaunchError> {
    const READ_WRITE: u32 = 2;
    let table = FileTable::empty();
    let Streams { mut list, terminal } = streams;
    let screen = match terminal {
        true => {
            let screen = list.iter().position(|(number, _)| *number == 0).map(|at| list.remove(at));
            list.retain(|(number, _)| *number > 2);
            screen
        }
        false => None,
    };
    for (number, stream) in list {
        let file = HostStream::new(stream, &kernel.files.poller);
        let file = OpenFile::stream(Box::new(file), READ_WRITE);
        table.put(number, file, false).map_err(step("take over a standard stream"))?;
    }
    let walker = walker(kernel, program);
    let root = Arc::clone(&walker.root);
    let current = walker
        .walk(&root, &program.directory, true)
        .and_then(Resolve::existing)
        .and_then(|found| match found.kind() {
            Kind::Directory => Ok(found),
            _ => Err(Errno::NOTDIR),
        })
        .map_err(step("enter the working directory"))?;
    let mut tree = lock(&kernel.tree);
    let pid: Pid = tree.new_id().map_err(step("number a process"))?;
    let directories = Directories { current, root };
    let who = walker.credentials.clone();
    let process = Process::new(pid, Arc::clone(&table), Fs::new(directories, program.umask), who);
    for (resource, (soft, hard)) in &program.limits {
        let most = if *resource == resource::NOFILE { MOST_FILES } else { INFINITY };
        lock(&process.limits).set(*resource, ((*soft).min(most), (*hard).min(most)));
    }
    let _ = process.home.set(Arc::downgrade(kernel));
    *lock(&process.configured) = kernel.filter.get().cloned();
    let row = Row::new(Arc::clone(&process), 0, pid, pid);
    tree.insert(pid, row);
    drop(tree);
    let limit = lock(&process.limits).soft(resource::CPU);
    if limit != INFINITY {
        syscalls::watch_processor_time(kernel, &process, limit);
    }
    if let Some((_, screen)) = screen {
        // It means nothing to a raw terminal, but what was asked for stays to be read.
        let newlines = rustix::termios::tcgetattr(&screen)
            .is_ok_and(|modes| modes.output_modes.contains(OutputModes::ONLCR));
        let tty = kernel.terminals.make_console(kernel, screen, program.owner);
        if let (Ok(tty), false) = (&tty, newlines) {
            tty.keep_newlines();
        }
        let file = tty.and_then(|tty| kernel.terminals.open_console(&walker, kernel, &tty, pid));
        let taken = file.and_then(|file| {
            (0..3).try_for_each(|number| table.put(number, Arc::clone(&file), false))
        });
        if let Err(errno) = taken {
            lock(&kernel.tree).remove(pid);
            return Err(step("make a terminal")(errno));
        }
    }
    Ok(process)
}

const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Finds what `program.path` names as execvp(3) does, by the `PATH` among the
/// program's variables.
///
/// # Errors
/// `ENOENT`; `EACCES` for one that may not be executed.
pub(crate) fn find_in_path(kernel: &Arc<Kernel>, program: &Program) -> Result<Vec<u8>, Errno> {
    if program.path.contains(&b'/') {
        return Ok(program.path.clone());
    }
    if program.path.is_empty() {
        return Err(Errno::NOENT);
    }
    let given = program.environment.iter().find_map(|pair| pair.strip_prefix(b"PATH="));
    let mut found = Errno::NOENT;
    for folder in given.unwrap_or(DEFAULT_PATH).split(|b| *b == b':') {
        let folder = if folder.is_empty() { program.directory.as_slice() } else { folder };
        let path = [folder, b"/", &program.path].concat();
        match may_execute(kernel, program, &path) {
            Ok(()) => return Ok(path),
            Err(Errno::ACCESS) => found = Errno::ACCESS,
            Err(_) => {}
        }
    }
    Err(found)
}

fn may_execute(kernel: &Arc<Kernel>, program: &Program, path: &[u8]) -> Result<(), Errno> {
    let walker = walker(kernel, program);
    let root = Arc::clone(&walker.root);
    let start = walker.walk(&root, &program.directory, true)?.existing()?;
    let found = walker.walk(&start, path, true)?.existing()?;
    match found.kind() {
        Kind::Regular => permit(&walker.credentials, &found.attributes(kernel)?, access::EXECUTE),
        _ => Err(Errno::ACCESS),
    }
}

/// More of `/etc/passwd` is not read for a home directory.
const PASSWD_LIMIT: usize = 1 << 20;

/// The home directory of the program's user by the container's `/etc/passwd`, else
/// `/`.
pub(crate) fn home_of(kernel: &Arc<Kernel>, program: &Program) -> Vec<u8> {
    let text = passwd(kernel, program).unwrap_or_default();
    let user = program.owner.0.to_string();
    let lines = text.split(|b| *b == b'\n');
    let found = lines.filter_map(|line| {
        let mut fields = line.split(|b| *b == b':');
        let (number, home) = (fields.nth(2)?, fields.nth(2)?);
        (number == user.as_bytes() && !home.is_empty()).then(|| home.to_vec())
    });
    found.into_iter().next().unwrap_or_else(|| b"/".to_vec())
}

fn passwd(kernel: &Arc<Kernel>, program: &Program) -> Result<Vec<u8>, Errno> {
    let mut root = program.clone();
    root.owner = (0, 0);
    root.caps = CapabilitySets::of_user(0);
    let walker = walker(kernel, &root);
    let start = Arc::clone(&walker.root);
    let found = walker.walk(&start, b"/etc/passwd", true)?.existing()?;
    let file = vfs::open::to_read(&walker, &found)?;
    let mut text = Vec::new();
    let mut piece = vec![0; 16 << 10];
    while text.len() < PASSWD_LIMIT {
        match file.read(&mut piece, text.len() as u64)? {
            0 => break,
            count => text.extend_from_slice(piece.get(..count).unwrap_or_default()),
        }
    }
    Ok(text)
}
