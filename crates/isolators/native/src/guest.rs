//! A kernel of the container's own in place of the host's: the container is made
//! as any other, but its first process runs that kernel instead of execve(2).

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::channel::{Channel, Word};
use crate::step::StepError;

/// Name of the socket in the container's state directory (datagrams) by which
/// the container's kernel is spoken to.
pub const CONTROL: &str = "control.sock";

/// A kernel that runs the container's programs.
pub trait GuestKernel: std::fmt::Debug {
    /// Runs as the container's first process, from `start` to its end, and
    /// returns its exit code. The process has a single thread, all rights, and the
    /// container's tree as its root; nobody enters or looks into it.
    fn run(&self, guest: Guest) -> u8;

    /// For a kernel that runs elsewhere already: the socket by which this process
    /// reaches it. The container's processes are then children of that kernel's, and
    /// this process stands for them.
    fn elsewhere(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Descriptors that whoever makes the container opened for [`GuestKernel::run`]: what is
    /// taken here, once, is handed on to it by [`Guest::opened`].
    fn take_opened(&self) -> Vec<OwnedFd> {
        Vec::new()
    }
}

/// What the container's kernel is to run. All else is in its configuration.
#[derive(Debug)]
pub struct Guest {
    /// The program, found by `PATH`: absolute, or as `process.args` names it.
    pub program: CString,
    /// Variables; `HOME` is among them, no name occurs twice.
    pub environment: Vec<CString>,
    /// The socket of [`CONTROL`].
    pub control: OwnedFd,
    /// Whether the standard streams are a terminal, which this process controls.
    pub terminal: bool,
    /// How many descriptors from 3 upwards the program inherits.
    pub preserve_fds: u32,
    /// For a kernel elsewhere ([`GuestKernel::elsewhere`]): files of the container's
    /// cgroups; a process whose number is written to all of them is in there.
    pub cgroups: Vec<OwnedFd>,
    /// What [`GuestKernel::take_opened`] gave.
    pub opened: Vec<OwnedFd>,
    /// Who waits for the program.
    pub report: StartReport,
}

/// Tells whoever started the container how that went: well, once this is dropped.
#[derive(Debug)]
pub struct StartReport {
    channel: Channel,
}

impl StartReport {
    pub(crate) fn over(channel: Channel) -> Self {
        Self { channel }
    }

    /// What was tried, and why it failed. Makes only the call write(2).
    pub fn failed(self, step: &str, cause: &str) {
        let error = StepError::new(step, cause);
        // Nobody is there to be told.
        let _ = self.channel.write(Word::Error, error.wire().as_bytes());
    }
}
