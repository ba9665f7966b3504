//! One run's streams, from the supervisor's side.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, fcntl_getfl, fcntl_setfl, openat};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer};
use rustix::termios::{Winsize, tcsetwinsize};

use super::job::ChildStreams;
use super::log::Stream;
use super::step::{Context as _, StepError};
use crate::wire::Incoming;

/// No more input is taken from clients while so much waits for the container.
const INPUT_LIMIT: usize = 64 * 1024;

/// What the container writes to and reads from.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Where the terminal's master comes from, until it has come.
    console: Option<OwnedFd>,
    /// The terminal's master: both directions.
    master: Option<OwnedFd>,
    /// Kept open: without it the master fails whenever nobody in the container
    /// has the terminal open.
    _slave: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    stdin: Option<OwnedFd>,
    input: Vec<u8>,
    /// Somebody else carries what goes through the terminal.
    carried: bool,
    /// Close the input once all of it is written.
    input_ends: bool,
}

impl Streams {
    /// A terminal, whose master comes once the container is made.
    pub(super) fn terminal() -> Result<(Self, ChildStreams), StepError> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .context(|| "make a socket pair for the terminal")?;
        let streams = Self { console: Some(ours), ..Self::default() };
        Ok((streams, ChildStreams::Console(theirs)))
    }

    /// Pipes; without `input`, `/dev/null` to read from.
    pub(super) fn pipes(input: bool) -> Result<(Self, ChildStreams), StepError> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).context(|| "make a pipe");
        let (stdout, to_stdout) = pipe()?;
        let (stderr, to_stderr) = pipe()?;
        let (from, stdin) = match input {
            true => pipe().map(|(from, to)| (from, Some(to)))?,
            false => (null()?, None),
        };
        for fd in [&stdout, &stderr].into_iter().chain(&stdin) {
            set_nonblocking(fd)?;
        }
        let (stdout, stderr) = (Some(stdout), Some(stderr));
        let streams = Self { stdout, stderr, stdin, ..Self::default() };
        Ok((streams, ChildStreams::Three([from, to_stdout, to_stderr])))
    }

    /// Somebody else's: copies for the container, nothing for us.
    pub(super) fn given(streams: &[OwnedFd; 3]) -> Result<(Self, ChildStreams), StepError> {
        let copy = |fd: &OwnedFd| fd.try_clone().context(|| "duplicate a standard stream");
        let [stdin, stdout, stderr] = streams;
        let copies = [copy(stdin)?, copy(stdout)?, copy(stderr)?];
        Ok((Self::default(), ChildStreams::Three(copies)))
    }

    /// Takes the terminal's master, which has been sent.
    pub(super) fn receive_master(&mut self) -> Result<(), StepError> {
        let Some(socket) = self.console.take() else { return Ok(()) };
        let step = || "receive the terminal's master";
        let mut incoming = Incoming::default();
        incoming.receive(std::os::fd::AsFd::as_fd(&socket)).context(step)?;
        let master = incoming.take_fds().pop().ok_or("none came").context(step)?;
        set_nonblocking(&master)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        self._slave = Some(ioctl_tiocgptpeer(&master, flags).context(step)?);
        self.master = Some(master);
        Ok(())
    }

    /// Two copies of the terminal's master, for whoever carries what goes through
    /// it from now on.
    pub(super) fn hand_over(&mut self) -> Result<[OwnedFd; 2], StepError> {
        let step = || "hand over the terminal";
        let master = self.master.as_ref().ok_or("there is none").context(step)?;
        let copy = || master.try_clone().context(step);
        let copies = [copy()?, copy()?];
        self.carried = true;
        Ok(copies)
    }

    /// The descriptors to read from.
    pub(super) fn sources(&self) -> impl Iterator<Item = (Stream, &OwnedFd)> {
        let master = self.master.as_ref().filter(|_| !self.carried);
        let out = master.or(self.stdout.as_ref());
        let out = out.map(|fd| (Stream::Stdout, fd));
        out.into_iter().chain(self.stderr.as_ref().map(|fd| (Stream::Stderr, fd)))
    }

    /// Reads what is there; closes a stream that has ended.
    pub(super) fn read<'b>(&mut self, stream: Stream, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let source = match stream {
            Stream::Stdout if self.carried => return None,
            Stream::Stdout if self.master.is_some() => &mut self.master,
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let fd = source.as_ref()?;
        match retry_on_intr(|| rustix::io::read(fd, &mut *buffer)) {
            Ok(count @ 1..) => buffer.get(..count),
            Err(Errno::AGAIN) => None,
            // A terminal whose other side is closed fails with EIO.
            Ok(0) | Err(_) => {
                *source = None;
                None
            }
        }
    }

    /// Whether there is somebody to take input.
    pub(super) fn takes_input(&self) -> bool {
        (self.stdin.is_some() || self.master.is_some()) && !self.input_ends
    }

    /// Whether clients may send more.
    pub(super) fn has_room(&self) -> bool {
        self.input.len() < INPUT_LIMIT
    }

    /// The descriptor that is waited for, for writing, if input waits.
    pub(super) fn sink(&self) -> Option<&OwnedFd> {
        let sink = self.master.as_ref().or(self.stdin.as_ref());
        sink.filter(|_| !self.input.is_empty())
    }

    /// Adds input.
    pub(super) fn feed(&mut self, data: &[u8]) {
        if self.takes_input() {
            self.input.extend(data);
            self.write_input();
        }
    }

    /// There is no more input than what was fed. Nothing to a terminal, whose
    /// users type the character that means it.
    pub(super) fn end_input(&mut self) {
        if self.stdin.is_some() {
            self.input_ends = true;
            self.write_input();
        }
    }

    /// Writes what the container takes.
    pub(super) fn write_input(&mut self) {
        while let (false, Some(sink)) =
            (self.input.is_empty(), self.master.as_ref().or(self.stdin.as_ref()))
        {
            match retry_on_intr(|| rustix::io::write(sink, &self.input)) {
                Ok(count) => drop(self.input.drain(..count.min(self.input.len()))),
                Err(Errno::AGAIN) => return,
                // Nobody reads any more.
                Err(_) => {
                    self.input = Vec::new();
                    self.stdin = None;
                }
            }
        }
        if self.input_ends && self.input.is_empty() {
            self.stdin = None;
        }
    }

    /// Sets the terminal's size.
    pub(super) fn resize(&self, rows: u16, columns: u16) -> Result<(), StepError> {
        let step = || "set the terminal's size";
        let master = self.master.as_ref().ok_or("the container has none").context(step)?;
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(master, size).context(step)
    }
}

/// `/dev/null`, for both directions.
pub(super) fn null() -> Result<OwnedFd, StepError> {
    openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .context(|| "open /dev/null")
}

pub(super) fn set_nonblocking(fd: &OwnedFd) -> Result<(), StepError> {
    fcntl_getfl(fd)
        .and_then(|flags| fcntl_setfl(fd, flags | OFlags::NONBLOCK))
        .context(|| "make a stream non-blocking")
}
