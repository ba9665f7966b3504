//! The caller's terminal in front of a process's own.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, Once};

use caisson_runtime_spec::ConsoleSize;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, open};
use rustix::io::Errno;
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{
    OptionalActions, OutputModes, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

use super::foreground::{Ready, Source};
use super::sockets;
use crate::failure::CliError;

/// Small enough that a pipe which is ready takes a whole chunk (PIPE_BUF).
const CHUNK: usize = 4096;

/// The terminal that the caller sits at.
#[derive(Debug)]
pub(crate) struct HostTerminal(OwnedFd);

impl HostTerminal {
    /// The first standard stream that is one, else the controlling terminal.
    pub(super) fn find() -> Result<Self, CliError> {
        for stream in [stderr(), stdout(), stdin()] {
            if isatty(stream) {
                let copy = rustix::io::fcntl_dupfd_cloexec(stream, 3)
                    .map_err(|e| CliError::io("duplicate the terminal's descriptor", e))?;
                return Ok(Self(copy));
            }
        }
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        open("/dev/tty", flags, Mode::empty())
            .map(Self)
            .map_err(|e| CliError::io("no standard stream is a terminal; open /dev/tty", e))
    }
}

/// A terminal's proxy that waits for the engine to send the master.
#[derive(Debug)]
pub(crate) struct Proxy {
    host: HostTerminal,
    socket: OwnedFd,
}

impl Proxy {
    pub(super) fn new(host: HostTerminal, socket: OwnedFd) -> Self {
        Self { host, socket }
    }

    /// The size of the caller's terminal, if it has one; the process's own
    /// gets it from the start.
    pub(crate) fn size(&self) -> Option<ConsoleSize> {
        let size = tcgetwinsize(&self.host.0).ok()?;
        let known = (size.ws_row, size.ws_col) != (0, 0);
        known.then_some(ConsoleSize { height: size.ws_row, width: size.ws_col })
    }

    /// Receives the master and takes over the caller's terminal.
    pub(super) fn attach(self) -> Result<Relay, CliError> {
        let master = sockets::receive_descriptor(&self.socket)
            .map_err(|e| CliError::io("receive the terminal's master", e))?
            .ok_or_else(|| CliError::Refused("the engine sent no terminal".to_owned()))?;
        let failed = |e| CliError::io("set up the terminal's master", e);
        let flags = fcntl_getfl(&master).map_err(failed)?;
        fcntl_setfl(&master, flags | OFlags::NONBLOCK).map_err(failed)?;
        let raw = RawMode::enter(&self.host)?;
        let mut relay = Relay {
            master: Some(master),
            host: self.host,
            input_open: true,
            to_master: Vec::new(),
            to_output: Vec::new(),
            _raw: raw,
        };
        relay.resize();
        Ok(relay)
    }
}

/// Both directions of a terminal, with at most one chunk on the way in each.
#[derive(Debug)]
pub(super) struct Relay {
    /// Gone when the process's side, or the caller's, has hung up.
    master: Option<OwnedFd>,
    host: HostTerminal,
    input_open: bool,
    to_master: Vec<u8>,
    to_output: Vec<u8>,
    _raw: RawMode,
}

impl Relay {
    /// Gives the process's terminal the size of the caller's, if that has one.
    pub(super) fn resize(&mut self) {
        if let (Some(master), Ok(size)) = (&self.master, tcgetwinsize(&self.host.0))
            && (size.ws_row, size.ws_col) != (0, 0)
        {
            // The terminal may just have hung up; there is nothing to resize then.
            let _ = tcsetwinsize(master, size);
        }
    }

    /// Adds what to wait for.
    pub(super) fn sources<'a>(&'a self, sources: &mut Vec<(Source, PollFd<'a>)>) {
        let Some(master) = &self.master else { return };
        let mut wanted = PollFlags::empty();
        if self.to_output.is_empty() {
            wanted |= PollFlags::IN;
        } else {
            let output = PollFd::from_borrowed_fd(stdout(), PollFlags::OUT);
            sources.push((Source::Output, output));
        }
        if !self.to_master.is_empty() {
            wanted |= PollFlags::OUT;
        } else if self.input_open {
            sources.push((Source::Input, PollFd::from_borrowed_fd(stdin(), PollFlags::IN)));
        }
        // A hang-up is reported unasked, and would spin while output waits.
        if !wanted.is_empty() {
            sources.push((Source::Master, PollFd::new(master, wanted)));
        }
    }

    /// Moves what can be moved without waiting.
    pub(super) fn pump(&mut self, ready: &Ready) -> Result<(), CliError> {
        if ready.input && self.to_master.is_empty() {
            self.read_input();
        }
        if ready.output {
            self.write_output();
        }
        if ready.master_in && self.to_output.is_empty() {
            self.read_master();
        }
        if ready.master_out {
            self.write_master();
        }
        Ok(())
    }

    /// After the process's end: moves what it left behind.
    pub(super) fn drain(&mut self) {
        loop {
            while !self.to_output.is_empty() {
                // Whoever made the stream non-blocking has us wait here.
                let output = stdout();
                let mut room = [PollFd::new(&output, PollFlags::OUT)];
                let _ = rustix::io::retry_on_intr(|| poll(&mut room, None));
                self.write_output();
            }
            let Some(master) = &self.master else { return };
            let mut fds = [PollFd::new(master, PollFlags::IN)];
            // The kernel hands over what was written before it answers.
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            let readable = poll(&mut fds, Some(&now)).is_ok()
                && fds.iter().any(|fd| fd.revents().contains(PollFlags::IN));
            if !readable {
                return;
            }
            self.read_master();
        }
    }

    fn read_input(&mut self) {
        match read_chunk(stdin()) {
            Ok(Some(chunk)) if !chunk.is_empty() => self.to_master = chunk,
            Ok(None) => {}
            // A process at a terminal notices the end of input only by what
            // is typed, so there is nothing to pass on.
            Ok(Some(_)) | Err(_) => self.input_open = false,
        }
    }

    fn read_master(&mut self) {
        let Some(master) = &self.master else { return };
        match read_chunk(master) {
            Ok(Some(chunk)) if !chunk.is_empty() => self.to_output = chunk,
            Ok(None) => {}
            // EIO: every descriptor of the other side is closed.
            Ok(Some(_)) | Err(_) => self.master = None,
        }
    }

    fn write_output(&mut self) {
        match write_some(stdout(), &mut self.to_output) {
            Ok(()) => {}
            // Nobody reads any more: hang up on the process.
            Err(_) => {
                self.to_output.clear();
                self.master = None;
            }
        }
    }

    fn write_master(&mut self) {
        let Some(master) = &self.master else { return };
        if write_some(master, &mut self.to_master).is_err() {
            self.to_master.clear();
        }
    }
}

/// Reads a chunk; `None` if there is nothing now, empty at the end.
fn read_chunk(from: impl AsFd) -> Result<Option<Vec<u8>>, Errno> {
    let mut chunk = vec![0; CHUNK];
    match rustix::io::read(from, chunk.as_mut_slice()) {
        Ok(count) => {
            chunk.truncate(count);
            Ok(Some(chunk))
        }
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes what is taken and removes it from `bytes`.
fn write_some(to: impl AsFd, bytes: &mut Vec<u8>) -> Result<(), Errno> {
    match rustix::io::write(to, bytes) {
        Ok(count) => {
            bytes.drain(..count.min(bytes.len()));
            Ok(())
        }
        Err(Errno::AGAIN | Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The terminal to restore, and how it was.
static BEFORE: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);

/// The caller's terminal in raw mode, restored on drop and on panic. (No other
/// signal than those of a fault ends the program meanwhile: they are blocked.)
#[derive(Debug)]
struct RawMode;

impl RawMode {
    fn enter(host: &HostTerminal) -> Result<Self, CliError> {
        let failed = |e| CliError::io("set the caller's terminal to raw mode", e);
        let before = tcgetattr(&host.0).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        // What comes out has plain newlines (`ConsoleSocket::plain_newlines`); here
        // they get what the caller's terminal adds.
        raw.output_modes.insert(OutputModes::OPOST);
        let copy = host.0.try_clone().map_err(|e| CliError::io("duplicate the terminal", e))?;
        if let Ok(mut saved) = BEFORE.lock() {
            *saved = Some((copy, before));
        }
        restore_on_panic();
        let entered = Self;
        tcsetattr(&host.0, OptionalActions::Now, &raw).map_err(failed)?;
        Ok(entered)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    if let Ok(mut saved) = BEFORE.try_lock()
        && let Some((terminal, before)) = saved.take()
    {
        // The terminal may be gone, and nobody is there to be told.
        let _ = tcsetattr(&terminal, OptionalActions::Now, &before);
    }
}

/// Panics abort the program without unwinding, so no destructor runs.
fn restore_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            previous(info);
        }));
    });
}
