//! Running a program with streams.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use caisson_shim::client::ExecStdio;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::pods::session::{ExecControl, ExecRequest, ExecSession};
use crate::pods::{PodError, Pods};

/// How long the terminal's master may take to come once the program runs.
const MASTER: Duration = Duration::from_secs(30);

/// A pipe: the end to read, the end to write.
pub(super) fn new_pipe() -> Result<(OwnedFd, OwnedFd), PodError> {
    pipe_with(PipeFlags::CLOEXEC).map_err(|e| PodError::io("make a pipe", e))
}

pub(super) fn null() -> Result<OwnedFd, PodError> {
    openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| PodError::io("open /dev/null", e))
}

impl Pods {
    /// Runs a program with streams. It outlives its session.
    ///
    /// # Errors
    /// [`PodError::State`] if the container does not run; why the program could
    /// not be executed.
    pub fn exec(&self, id: &str, request: &ExecRequest) -> Result<ExecSession, PodError> {
        if request.tty && request.stderr {
            let reason = "with a terminal there is no standard error of its own";
            return Err(PodError::invalid("stderr", reason));
        }
        let (entry, container) = self.running(id, "run a program in container")?;
        let process = self.exec_process(&entry, &request.command, request.tty)?;
        let session = |exec, terminal| ExecControl { container: container.clone(), exec, terminal };
        if request.tty {
            let (ours, theirs) =
                socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                    .map_err(|e| PodError::io("make a socket pair", e))?;
            let started = container.exec(process, ExecStdio::Terminal(theirs.as_fd()))?;
            drop(theirs);
            let master = receive(ours.as_fd())?;
            let second =
                master.try_clone().map_err(|e| PodError::io("copy a terminal's descriptor", e))?;
            return Ok(ExecSession {
                stdin: None,
                stdout: None,
                stderr: None,
                terminal: Some(master),
                control: session(started.exec, Some(Arc::new(second))),
            });
        }
        let null = null()?;
        let pipe = |wanted: bool| -> Result<Option<(OwnedFd, OwnedFd)>, PodError> {
            if wanted { new_pipe().map(Some) } else { Ok(None) }
        };
        let (input, output, error) =
            (pipe(request.stdin)?, pipe(request.stdout)?, pipe(request.stderr)?);
        let theirs = [
            input.as_ref().map_or(null.as_fd(), |(read, _)| read.as_fd()),
            output.as_ref().map_or(null.as_fd(), |(_, write)| write.as_fd()),
            error.as_ref().map_or(null.as_fd(), |(_, write)| write.as_fd()),
        ];
        let started = container.exec(process, ExecStdio::Streams(theirs))?;
        Ok(ExecSession {
            stdin: input.map(|(_, write)| write),
            stdout: output.map(|(read, _)| read),
            stderr: error.map(|(read, _)| read),
            terminal: None,
            control: session(started.exec, None),
        })
    }
}

/// The descriptor that comes with a message.
fn receive(socket: BorrowedFd<'_>) -> Result<OwnedFd, PodError> {
    let fail = |cause: Errno| PodError::io("get the program's terminal", cause);
    set_socket_timeout(socket, Timeout::Recv, Some(MASTER)).map_err(fail)?;
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut text = [0; 4096];
    let mut parts = [std::io::IoSliceMut::new(&mut text)];
    recvmsg(socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC).map_err(fail)?;
    let mut descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(list) => Some(list),
        _ => None,
    });
    let descriptor = descriptors.by_ref().flatten().next();
    descriptor.ok_or_else(|| fail(Errno::NOTCONN))
}
