//! The sentry's side: a thread that takes requests, and one for each program.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use caisson_runtime_spec::Process as Wanted;
use rustix::io::Errno;

use super::{
    Answer, CONNECT, EXECUTE, JOIN, MAX_REQUEST, Order, Told, UPDATE, VERSION, receive, send,
};
use crate::kernel::Kernel;
use crate::launch::{LaunchError, Program, Streams, find_in_path, home_of, start};
use crate::signal::{self, SIGKILL};
use crate::task::waiter::lock;
use crate::task::{CapabilitySets, Caps, Process, SecureBits, Status};

/// Parsing what is asked for takes some.
const STACK: usize = 512 << 10;

/// Takes requests from `socket` until the sandbox ends.
///
/// # Errors
/// If no thread can be started.
pub(crate) fn serve(kernel: &Arc<Kernel>, socket: OwnedFd) -> std::io::Result<()> {
    let kernel = Arc::clone(kernel);
    let thread = std::thread::Builder::new().stack_size(STACK);
    thread.spawn(move || while take(&kernel, &socket).is_ok() {}).map(drop)
}

pub(super) fn take(kernel: &Arc<Kernel>, socket: &OwnedFd) -> Result<(), Errno> {
    let Told { bytes, descriptors } = receive(socket)?;
    let mut descriptors = descriptors.into_iter();
    // Without them there is nobody to answer.
    let Some(connection) = descriptors.next() else { return Ok(()) };
    let (Some(&VERSION), Some(&what @ (EXECUTE | JOIN | CONNECT | UPDATE))) =
        (bytes.first(), bytes.get(1))
    else {
        let cause = "the running sandbox is of another version of this program";
        answer(&connection, &failed("ask the sandbox", cause));
        return Ok(());
    };
    let number = [2, 3].map(|at| bytes.get(at).copied().unwrap_or(0));
    let port = u16::from_le_bytes(number);
    let kernel = Arc::clone(kernel);
    let thread = std::thread::Builder::new().stack_size(STACK);
    let connection = Arc::new(connection);
    let asked = Arc::clone(&connection);
    let served = thread.spawn(move || {
        let request = descriptors.next();
        let rest = descriptors.collect();
        match what {
            JOIN => super::join::serve(&kernel, &connection, request, rest),
            UPDATE => super::update::serve(&kernel, &connection, request),
            CONNECT => super::forward::serve(&kernel, &connection, port, request),
            _ => converse(&kernel, &connection, request, rest),
        }
    });
    if let Err(error) = served {
        answer(&asked, &failed("find a thread for it in the sandbox", &error.to_string()));
    }
    Ok(())
}

pub(super) fn failed(step: &str, cause: &str) -> Answer {
    Answer::Failed(step.to_owned(), cause.to_owned())
}

pub(super) fn answer(connection: &OwnedFd, answer: &Answer) {
    // Who is gone needs none.
    let _ = send(connection, &answer.encode(), &[]);
}

fn converse(
    kernel: &Arc<Kernel>,
    connection: &Arc<OwnedFd>,
    request: Option<OwnedFd>,
    streams: Vec<OwnedFd>,
) {
    let process = match execute(kernel, connection, request, streams) {
        Ok(process) => process,
        Err(reason) => {
            answer(connection, &reason);
            return;
        }
    };
    loop {
        match receive(connection) {
            Ok(told) if !told.bytes.is_empty() => {
                if let Some(order) = Order::decode(&told.bytes) {
                    obey(kernel, &process, order);
                }
            }
            // Who asked is gone, or has heard of the end, which nothing follows.
            _ => {
                signal::outside::to_process(kernel, process, SIGKILL);
                return;
            }
        }
    }
}

pub(super) fn obey(kernel: &Arc<Kernel>, process: &Arc<Process>, order: Order) {
    signal::outside::to_process(kernel, Arc::clone(process), order.signal);
}

fn execute(
    kernel: &Arc<Kernel>,
    connection: &Arc<OwnedFd>,
    request: Option<OwnedFd>,
    streams: Vec<OwnedFd>,
) -> Result<Arc<Process>, Answer> {
    let wanted = request
        .ok_or(Errno::INVAL)
        .and_then(|file| read(&file))
        .map_err(|errno| failed("read what is to be executed", &cause(errno)))?;
    let wanted: Wanted = serde_json::from_slice(&wanted)
        .map_err(|error| failed("read what is to be executed", &error.to_string()))?;
    let mut program = program(&wanted);
    let has_home =
        program.environment.iter().any(|pair| pair.starts_with(b"HOME=") && pair.len() > 5);
    if !has_home {
        let home = [b"HOME=".as_slice(), &home_of(kernel, &program)].concat();
        program.environment.retain(|pair| !pair.starts_with(b"HOME="));
        program.environment.push(home);
    }
    let name = wanted.args.first().map(String::as_str).unwrap_or_default();
    program.path = find_in_path(kernel, &program).map_err(|errno| {
        let cause = match errno {
            Errno::NOENT => "executable file not found in $PATH".to_owned(),
            other => cause(other),
        };
        failed(&format!("exec: {name:?}"), &cause)
    })?;
    let streams = Streams { list: (0..).zip(streams).collect(), terminal: wanted.terminal };
    // That it runs is told before that it has ended.
    let order = Arc::new(Mutex::new(()));
    let (told, after) = (Arc::clone(connection), Arc::clone(&order));
    let running = lock(&order);
    let ended = Box::new(move |status: Status| {
        let _after = lock(&after);
        let last = match status {
            Status::Exited(code) => Answer::Exited(code),
            Status::Killed(signal, _) => Answer::Killed(signal),
        };
        answer(&told, &last);
    });
    let process = start(kernel, &program, streams, Some(ended)).map_err(|e| explain(name, &e))?;
    answer(connection, &Answer::Started(process.pid));
    drop(running);
    Ok(process)
}

/// What is to be executed, from a file that has it whole.
pub(super) fn read(file: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let size = usize::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(usize::MAX);
    if size > MAX_REQUEST {
        return Err(Errno::TOOBIG);
    }
    let mut content = vec![0; size];
    let mut done = 0;
    while let Some(rest) = content.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(file, rest, done as u64)? {
            0 => return Err(Errno::IO),
            count => done += count,
        }
    }
    Ok(content)
}

/// What config.json's `process` asks for of capabilities: none if it does not tell.
fn caps(wanted: &Wanted) -> CapabilitySets {
    let sets = wanted.capabilities.clone().unwrap_or_default();
    let set = |of: &caisson_runtime_spec::CapabilitySet| Caps::from_bits_truncate(of.bits());
    let (permitted, inheritable) = (set(&sets.permitted), set(&sets.inheritable));
    CapabilitySets {
        bounding: set(&sets.bounding),
        permitted,
        effective: set(&sets.effective) & permitted,
        inheritable,
        ambient: set(&sets.ambient) & permitted & inheritable,
        secure: SecureBits::empty(),
        no_new_privs: wanted.no_new_privileges,
    }
}

/// What config.json's `process` asks for.
pub(crate) fn program(wanted: &Wanted) -> Program {
    let bytes = |text: &String| text.clone().into_bytes();
    Program {
        path: wanted.args.first().map(bytes).unwrap_or_default(),
        arguments: wanted.args.iter().map(bytes).collect(),
        environment: wanted.env.iter().map(bytes).collect(),
        directory: wanted.cwd.clone().into_bytes(),
        owner: (wanted.user.uid, wanted.user.gid),
        groups: wanted.user.additional_gids.clone(),
        umask: wanted.user.umask.unwrap_or(0o022),
        caps: caps(wanted),
        limits: wanted.rlimits.iter().map(|l| (l.kind.number(), (l.soft, l.hard))).collect(),
    }
}

/// A failure in the words that callers of runtimes look for.
pub(super) fn explain(name: &str, error: &LaunchError) -> Answer {
    match error {
        LaunchError::Execute { errno, .. } => failed(&format!("exec {name}"), &cause(*errno)),
        other => failed(&format!("exec {name}"), &other.to_string()),
    }
}

/// The kernel's words in lower case.
pub(crate) fn cause(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let number = format!(" (os error {})", errno.raw_os_error());
    let plain = text.strip_suffix(&number).unwrap_or(&text);
    let mut chars = plain.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
