//! Programs run in containers, and containers' streams, for streaming servers.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use caisson_shim::client::{Attachment, Container, set_terminal_size};

use super::PodError;

/// Most bytes that each stream of `exec_sync` may have; the rest is dropped.
pub const EXEC_OUTPUT_LIMIT: usize = 16 << 20;

/// What a program that was run to its end has left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Standard output, at most [`EXEC_OUTPUT_LIMIT`].
    pub stdout: Vec<u8>,
    /// Standard error, at most [`EXEC_OUTPUT_LIMIT`].
    pub stderr: Vec<u8>,
    /// Exit code, as a shell reports it.
    pub exit_code: i32,
}

/// Says that nobody waits for an answer any more.
#[derive(Clone, Debug, Default)]
pub struct Abandon(Arc<AtomicBool>);

impl Abandon {
    /// From now on.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was said.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A program to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Whether input will come.
    pub stdin: bool,
    /// Whether standard output is wanted.
    pub stdout: bool,
    /// Whether standard error is wanted; never with `tty`.
    pub stderr: bool,
    /// A terminal.
    pub tty: bool,
}

/// A program that runs. Its streams are this side's ends of pipes, or the
/// terminal's master; all of them block. Dropping them is all that it takes to
/// leave; the program runs on.
#[derive(Debug)]
pub struct ExecSession {
    /// To be written; closing it is the end of input.
    pub stdin: Option<OwnedFd>,
    /// To be read.
    pub stdout: Option<OwnedFd>,
    /// To be read.
    pub stderr: Option<OwnedFd>,
    /// With a terminal, instead of the others. Reading it fails with EIO at the
    /// end.
    pub terminal: Option<OwnedFd>,
    /// The rest.
    pub control: ExecControl,
}

/// A program that runs, without its streams.
#[derive(Clone, Debug)]
pub struct ExecControl {
    pub(super) container: Container,
    pub(super) exec: u64,
    /// A second descriptor of the terminal's master.
    pub(super) terminal: Option<Arc<OwnedFd>>,
}

/// A container's streams. Output comes in pieces ([`Attachment::output`]).
#[derive(Debug)]
pub struct AttachSession {
    /// The streams. Their calls block.
    pub attachment: Attachment,
    /// The rest.
    pub control: AttachControl,
}

/// An attached container, without its streams.
#[derive(Clone, Debug)]
pub struct AttachControl {
    pub(super) container: Container,
}

/// Which streams to attach to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttachRequest {
    /// Whether input will be sent.
    pub stdin: bool,
    /// Whether standard output is wanted.
    pub stdout: bool,
    /// Whether standard error is wanted.
    pub stderr: bool,
}

impl ExecControl {
    /// Waits for the end, for as long as `limit`; the exit code, as a shell
    /// reports it.
    ///
    /// # Errors
    /// [`PodError::Supervisor`] when the time is over or the supervisor is gone.
    pub fn wait(&self, limit: Option<Duration>) -> Result<i32, PodError> {
        Ok(i32::from(self.container.wait_exec(self.exec, limit)?.code))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// [`PodError::Supervisor`] if it has ended.
    pub fn signal(&self, signal: i32) -> Result<(), PodError> {
        Ok(self.container.signal_exec(self.exec, signal)?)
    }

    /// Sets the size of its terminal.
    ///
    /// # Errors
    /// [`PodError::State`] if it has none.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<(), PodError> {
        let Some(terminal) = &self.terminal else {
            return Err(PodError::State {
                what: "resize the terminal of a program in",
                id: self.container.id().to_owned(),
                state: "without a terminal".to_owned(),
            });
        };
        set_terminal_size(terminal.as_fd(), rows, columns)
            .map_err(|e| PodError::io("resize a terminal", e))
    }
}

impl AttachControl {
    /// Sets the size of the container's terminal.
    ///
    /// # Errors
    /// [`PodError::Supervisor`] if it has none.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<(), PodError> {
        Ok(self.container.resize(rows, columns)?)
    }
}
