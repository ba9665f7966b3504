//! Being attached to a container: its output, our input, signals, the size of
//! the terminal.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use caisson_node::Engine;
use caisson_node::lifecycle::StartError;
use caisson_node::metadata::ContainerRecord;
use caisson_node::supervisor::{AttachSpec, Attachment, OnStall, Piece, Shim};
use caisson_sys::signal_fd::{SignalFd, SignalMask};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::stdin;

use super::pump::write_all;
use super::streams::{DetachKeys, Detector};
use super::terminal::{RawTerminal, size};
use crate::failure::Failure;

/// Signals that are about us, not about the container (signal(7)): SIGCHLD,
/// SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH.
const NOT_PASSED_ON: [i32; 7] = [17, 13, 20, 21, 22, 23, 28];
const WINDOW_CHANGED: i32 = 28;
const INPUT: usize = 16 * 1024;

/// Options of commands that stay attached.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct SessionOptions {
    /// Keys that leave the container running, such as `ctrl-a,d`
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    detach_keys: DetachKeys,
    /// Pass signals on to the container
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    sig_proxy: bool,
}

/// An attached container.
#[derive(Debug)]
pub(crate) struct Session {
    attachment: Attachment,
    shim: Shim,
    raw: Option<RawTerminal>,
    signals: Option<SignalFd>,
    detector: Detector,
    stdin: bool,
    sig_proxy: bool,
}

/// How a session ended.
enum End {
    /// With the container.
    Ended,
    /// By the user's keys.
    Detached,
}

impl Session {
    /// Attaches. If it `settles`, we put the container in order when it has
    /// ended, and the supervisor need not. The outer error is the supervisor's,
    /// the inner one ours.
    pub(crate) fn begin(
        shim: &Shim,
        tty: bool,
        stdin: bool,
        settles: bool,
        options: &SessionOptions,
    ) -> Result<Result<Self, Failure>, StartError> {
        let spec =
            AttachSpec { stdin, stdout: true, stderr: !tty, on_stall: OnStall::Wait, settles };
        let attachment = shim.attach(spec)?;
        let session = Self::prepare(attachment, shim, tty, stdin, options);
        // Only now, so that a change of the window after it is noticed.
        if tty && let Some((rows, columns)) = size() {
            // A terminal of the wrong size is better than none.
            let _ = shim.resize(rows, columns);
        }
        Ok(session)
    }

    fn prepare(
        attachment: Attachment,
        shim: &Shim,
        tty: bool,
        stdin: bool,
        options: &SessionOptions,
    ) -> Result<Self, Failure> {
        let mask = SignalMask::sendable();
        mask.block()?;
        let signals = Some(SignalFd::new(&mask)?);
        let raw = match tty && stdin && super::terminal::stdin_is_terminal() {
            true => Some(RawTerminal::enter()?),
            false => None,
        };
        Ok(Self {
            attachment,
            shim: shim.clone(),
            raw,
            signals,
            detector: Detector::new(options.detach_keys.clone()),
            stdin,
            sig_proxy: options.sig_proxy,
        })
    }

    /// Stays until the container has ended or the user has left; gives the
    /// container's exit code.
    pub(crate) fn until_end(
        mut self,
        engine: &Engine,
        record: &ContainerRecord,
    ) -> Result<ExitCode, Failure> {
        let end = self.carry();
        self.raw = None;
        match end? {
            End::Ended => {
                let code = engine.wait_for(record).map_err(Failure::of_engine)?;
                Ok(ExitCode::from(code))
            }
            End::Detached => {
                let _ = std::io::stderr().write_all(b"\r\n");
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    fn carry(&mut self) -> Result<End, Failure> {
        let mut ended = false;
        loop {
            while let Some(piece) = self.attachment.output.take()? {
                ended |= show(&piece)?;
            }
            let input = stdin();
            let mut fds = vec![PollFd::new(&self.attachment.output, PollFlags::IN)];
            if let Some(signals) = &self.signals {
                fds.push(PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN));
            }
            if self.stdin && !ended {
                fds.push(PollFd::from_borrowed_fd(input, PollFlags::IN));
            }
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(std::io::Error::from(error).into()),
            }
            let ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
            let (output, signal, typed) = (ready(0), ready(1), ready(2));
            drop(fds);
            if signal {
                self.pass_signals()?;
            }
            if typed && self.pass_input()? {
                return Ok(End::Detached);
            }
            if output {
                match self.attachment.output.read()? {
                    Some(piece) => ended |= show(&piece)?,
                    None => return Ok(End::Ended),
                }
            }
        }
    }

    fn pass_signals(&self) -> Result<(), Failure> {
        let Some(signals) = &self.signals else {
            return Ok(());
        };
        while let Some(signal) = signals.take()? {
            if signal == WINDOW_CHANGED {
                if let (true, Some((rows, columns))) = (self.attachment.terminal, size()) {
                    let _ = self.shim.resize(rows, columns);
                }
            } else if !NOT_PASSED_ON.contains(&signal) && self.sig_proxy {
                // It may just have ended.
                let _ = self.shim.signal(signal, false);
            } else if !NOT_PASSED_ON.contains(&signal) {
                return Err(Failure::silent(u8::try_from(128 + signal).unwrap_or(255)));
            }
        }
        Ok(())
    }

    /// Whether the user's keys came.
    fn pass_input(&mut self) -> Result<bool, Failure> {
        let mut buffer = [0; INPUT];
        let count = match rustix::io::read(stdin(), &mut buffer) {
            Ok(count) => count,
            Err(Errno::INTR | Errno::AGAIN) => return Ok(false),
            // The terminal is gone, or belongs to another job.
            Err(_) => 0,
        };
        let data = buffer.get(..count).unwrap_or_default();
        if data.is_empty() {
            self.stdin = false;
            let _ = self.attachment.input.close();
            return Ok(false);
        }
        let (through, detach) =
            if self.raw.is_some() { self.detector.feed(data) } else { (data.to_vec(), false) };
        if self.attachment.input.write(&through).is_err() {
            // It has closed its input, or has ended.
            self.stdin = false;
        }
        Ok(detach)
    }
}

/// Writes a piece of output; whether it is the last one of a run.
fn show(piece: &Piece) -> Result<bool, Failure> {
    match piece {
        Piece::Stdout(data) => write_all(rustix::stdio::stdout(), data)?,
        Piece::Stderr(data) => write_all(rustix::stdio::stderr(), data)?,
        Piece::End => return Ok(true),
    }
    Ok(false)
}
