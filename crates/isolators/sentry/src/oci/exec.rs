//! A further program in a running sandbox, and the process that stands for it.
//!
//! The program is a child of nobody's outside. So its caller gets a *stand-in*: a
//! child that passes signals on and ends as the program does. If it is killed, the
//! program is.

use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use caisson_foreign::console::pass_on;
use caisson_foreign::step::Context as _;
use caisson_isolator::{ExecRequest, SandboxError, SpawnedProcess};
use caisson_runtime_spec::ConsoleSize;
use caisson_sys::clone::{CloneFlags, Side, clone3, exit_now};
use caisson_sys::signal_fd::{SignalFd, SignalMask, restore_default_action};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Signal, kill_process, setsid};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::join::reach;
use super::terminal::make_raw;
use crate::control::{Answer, EXECUTE, MAX_REQUEST, MAX_STREAMS, Order, VERSION, receive, send};
use crate::platform::{copy_of, host_calls, stand_in_calls};

/// Has the sandbox whose state is in `dir` run a program; returns once it was
/// executed.
pub(super) fn exec(dir: &Path, request: &ExecRequest) -> Result<SpawnedProcess, SandboxError> {
    if let Some(cgroup) = request.cgroups.first() {
        return Err(SandboxError::Unsupported {
            isolator: super::NAME,
            operation: format!("execute in another cgroup ({cgroup:?}): a sandbox has one"),
        });
    }
    let streams = streams(request)?;
    let connection = ask(dir, request, &streams)?;
    drop(streams);
    let step = || "execute in the sandbox";
    match Answer::decode(&receive(&connection).context(step)?.bytes) {
        Some(Answer::Started(_)) => {}
        Some(Answer::Failed(step, cause)) => return Err(SandboxError::step(step, cause)),
        _ => return Err(SandboxError::step(step(), "the sandbox has ended")),
    }
    // From its first moment it passes on what it is sent.
    let mask = SignalMask::sendable();
    let before = mask.block().context(step)?;
    let process = match clone3(CloneFlags::empty(), None) {
        Ok(Side::Child) => exit_now(stand_in(&connection, &mask)),
        Ok(Side::Parent { pid, pidfd }) => Ok(SpawnedProcess { pid, pidfd, stands_for: None }),
        Err(error) => Err(error).context(|| "clone what stands for the process"),
    };
    before.install().context(step)?;
    process
}

/// The descriptors that the program gets, from 0 on.
fn streams(request: &ExecRequest) -> Result<Vec<OwnedFd>, SandboxError> {
    let step = || "hand over the standard streams";
    if request.preserve_fds as usize > MAX_STREAMS - 3 {
        return Err(SandboxError::step(step(), format!("no more than {MAX_STREAMS} in all")));
    }
    let mut streams = Vec::new();
    if let Some(console) = &request.console {
        let slave = open_terminal(request.process.console_size, |master| pass_on(console, master))?;
        for _ in 0..3 {
            streams.push(slave.try_clone().context(step)?);
        }
    }
    let first = u32::try_from(streams.len()).unwrap_or(0);
    for number in first..request.preserve_fds.saturating_add(3) {
        match copy_of(number, 3) {
            Ok(copy) => streams.push(copy),
            // A closed one can't be told from those behind it: it is empty instead.
            Err(Errno::BADF) => streams.push(nothing().context(step)?),
            Err(errno) => return Err(errno).context(step),
        }
    }
    Ok(streams)
}

fn nothing() -> Result<OwnedFd, Errno> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

/// Opens a pseudo-terminal of the host's, and gives away its master.
fn open_terminal(
    size: Option<ConsoleSize>,
    give: impl FnOnce(&OwnedFd) -> Result<(), String>,
) -> Result<OwnedFd, SandboxError> {
    let step = || "open a pseudo-terminal";
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).context(step)?;
    unlockpt(&master).context(step)?;
    let slave = ioctl_tiocgptpeer(&master, flags).context(step)?;
    if let Some(ConsoleSize { height, width }) = size {
        let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).context(|| "set process.consoleSize")?;
    }
    make_raw(&slave).context(step)?;
    give(&master).context(|| "give the terminal to who asked for it")?;
    Ok(slave)
}

/// Sends the request; returns where the conversation goes on.
fn ask(dir: &Path, request: &ExecRequest, streams: &[OwnedFd]) -> Result<OwnedFd, SandboxError> {
    let step = || "ask the sandbox to execute a program";
    let text = serde_json::to_vec(&request.process).context(step)?;
    if text.len() > MAX_REQUEST {
        return Err(SandboxError::step(step(), "arguments and variables are too long"));
    }
    let file = memfd_create("process", MemfdFlags::CLOEXEC).context(step)?;
    let mut file = std::fs::File::from(file);
    file.write_all(&text).context(step)?;
    let (flags, unix) = (SocketFlags::CLOEXEC, AddressFamily::UNIX);
    let (ours, theirs) = socketpair(unix, SocketType::SEQPACKET, flags, None).context(step)?;
    let socket = reach(dir).context(step)?;
    let mut with: Vec<BorrowedFd<'_>> = vec![theirs.as_fd(), file.as_fd()];
    with.extend(streams.iter().map(AsFd::as_fd));
    send(&socket, &[VERSION, EXECUTE], &with).context(step)?;
    Ok(ours)
}

/// Runs as the stand-in, which blocks `mask`; returns its exit code. The caller has to end at
/// once: the host ends it for all other calls.
pub(super) fn stand_in(connection: &OwnedFd, mask: &SignalMask) -> u8 {
    /// What a sandbox leaves that is killed.
    const KILLED: u8 = 137;
    // Nothing of the caller's terminal reaches it, but what the caller sends on.
    let _ = setsid();
    let Ok(signals) = SignalFd::new(mask) else { return KILLED };
    let keep = [connection.as_fd(), signals.as_fd()];
    if caisson_sys::descriptors::close_all_except(0, &keep).is_err() {
        return KILLED;
    }
    // From here on it only waits: whoever has taken the sentry over finds nothing here.
    let calls = stand_in_calls::of_stand_in(std::process::id());
    if host_calls::confine(&calls).is_err() {
        return KILLED;
    }
    loop {
        let mut sources = [
            PollFd::new(connection, PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        match poll(&mut sources, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return KILLED,
        }
        while let Ok(Some((signal, code))) = signals.take_with_code() {
            pass_on_signal(connection, signal, code);
        }
        if sources.first().is_some_and(|source| source.revents().is_empty()) {
            continue;
        }
        return match receive(connection).ok().and_then(|told| Answer::decode(&told.bytes)) {
            Some(Answer::Exited(code)) => code,
            Some(Answer::Killed(signal)) => die_by(signal),
            _ => KILLED,
        };
    }
}

fn pass_on_signal(connection: &OwnedFd, signal: i32, code: i32) {
    // The kernel's own are not for the program.
    if code > 0 {
        return;
    }
    let order = Order { signal };
    // If the sandbox is gone, that is seen next.
    let _ = send(connection, &order.encode(), &[]);
}

/// Ends this process as `signal` would.
fn die_by(signal: u8) -> u8 {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    let own = rustix::process::getpid();
    let named = caisson_sys::signals::numbered(signal.into()).unwrap_or(Signal::KILL);
    let _ = restore_default_action(signal.into());
    let _ = caisson_sys::signals::unblock_all();
    let _ = kill_process(own, named);
    // One that does not kill by default.
    128_u8.saturating_add(signal)
}
