//! Requests to a container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use caisson_cgroup::stats::Stats;
use caisson_runtime_spec::{Process, Resources};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::attach::Attachment;
use super::error::{ClientError, cause};
use super::pod::{PROMPT, Shim};
use crate::wire::{Incoming, decode, encode, send};
use crate::{
    AttachSpec, ContainerRequest, ExecExit, ExecIo, ExecSpec, ExitRecord, Request, Response,
    RestartPolicy, Started, State, names,
};

/// Streams for a program to run in the container.
#[derive(Clone, Copy, Debug)]
pub enum ExecStdio<'fd> {
    /// `/dev/null`.
    Null,
    /// These three become its own: nobody stands in between. To end its input is
    /// to close the other end.
    Streams([BorrowedFd<'fd>; 3]),
    /// A terminal. Its master is sent over this UNIX stream socket (as for
    /// runc's `--console-socket`: one message with one descriptor). Whoever has
    /// it sets the terminal's size, too ([`super::set_terminal_size`]).
    Terminal(BorrowedFd<'fd>),
}

/// How a container has ended for good, as its pod's directory tells: there, too,
/// when the supervisor is gone. `None` if it has not.
#[must_use]
pub fn exit_record(pod_dir: &Path, container: &str) -> Option<ExitRecord> {
    let text = std::fs::read(pod_dir.join(names::EXIT).join(container)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// A container of a pod.
#[derive(Clone, Debug)]
pub struct Container {
    shim: Shim,
    id: String,
}

impl Container {
    pub(super) fn new(shim: Shim, id: &str) -> Self {
        Self { shim, id: id.to_owned() }
    }

    /// The pod that it is in.
    #[must_use]
    pub fn pod(&self) -> &Shim {
        &self.shim
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    fn wrap(&self, request: ContainerRequest) -> Request {
        Request::Container { id: self.id.clone(), request }
    }

    fn ask<T>(
        &self,
        name: &'static str,
        request: ContainerRequest,
        limit: Option<Duration>,
        wanted: impl FnOnce(Response) -> Option<T>,
    ) -> Result<T, ClientError> {
        self.shim.ask(name, &self.wrap(request), limit, wanted)
    }

    fn tell(&self, name: &'static str, request: ContainerRequest) -> Result<(), ClientError> {
        self.shim.tell(name, &self.wrap(request))
    }

    /// What the container is doing.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn state(&self) -> Result<State, ClientError> {
        self.ask("state", ContainerRequest::State, Some(PROMPT), |response| match response {
            Response::State(state) => Some(*state),
            _ => None,
        })
    }

    /// Lets the program run; returns once it was executed. Hooks may take long.
    ///
    /// # Errors
    /// Why it could not be executed; then the container has ended for good.
    pub fn start(&self) -> Result<(), ClientError> {
        let done = |response| matches!(response, Response::Done).then_some(());
        self.ask("start", ContainerRequest::Start, None, done)
    }

    /// Waits until the container has ended for good, for as long as `limit`.
    /// If the supervisor has left already, this is what it left behind.
    ///
    /// # Errors
    /// [`ClientError::Broken`] when the time is over, or the supervisor is
    /// gone without a word.
    pub fn wait(&self, limit: Option<Duration>) -> Result<ExitRecord, ClientError> {
        self.watch_exit()?.wait(limit)
    }

    /// Asks to be told of the end. Whoever asked before [`Container::start`] hears
    /// of it even if the supervisor is gone, and the pod's directory with it,
    /// by the time that he looks.
    ///
    /// # Errors
    /// If nobody listens and there is no record of an end.
    pub fn watch_exit(&self) -> Result<ExitWatch, ClientError> {
        let asked = self.shim.open().and_then(|socket| {
            encode(&self.wrap(ContainerRequest::Wait))
                .and_then(|frame| send(socket.as_fd(), &frame, &[]))
                .map(|()| socket)
                .map_err(|error| self.shim.broken("wait", cause(&error)))
        });
        let known = match &asked {
            Ok(_) => None,
            Err(_) => self.left_behind(),
        };
        match (known, asked) {
            (None, Err(error)) => Err(error),
            (known, asked) => Ok(ExitWatch { container: self.clone(), socket: asked.ok(), known }),
        }
    }

    /// The record in the pod's directory, if there is one.
    fn left_behind(&self) -> Option<ExitRecord> {
        exit_record(self.shim.pod_dir(), &self.id)
    }

    /// Sends a signal to the first process, or to `all`.
    ///
    /// # Errors
    /// If there is nobody to be sent one.
    pub fn signal(&self, signal: i32, all: bool) -> Result<(), ClientError> {
        self.tell("signal", ContainerRequest::Signal { signal, all })
    }

    /// Ends the container for good: with `signal` or the configured one, and
    /// after `grace` with SIGKILL. Returns when it has ended and its file
    /// system is unmounted.
    ///
    /// # Errors
    /// If it can't be ended.
    pub fn stop(
        &self,
        grace: Option<Duration>,
        signal: Option<i32>,
    ) -> Result<ExitRecord, ClientError> {
        let millis = |grace: Duration| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.ask("stop", ContainerRequest::Stop { grace_ms: grace.map(millis), signal }, None, exit)
    }

    /// Runs a program in the container; returns once it was executed. It runs
    /// on if the client leaves.
    ///
    /// # Errors
    /// [`crate::FaultKind::NoProgram`], [`crate::FaultKind::NotExecutable`]…
    pub fn exec(&self, process: Process, stdio: ExecStdio<'_>) -> Result<Started, ClientError> {
        let (io, fds): (_, Vec<BorrowedFd<'_>>) = match stdio {
            ExecStdio::Null => (ExecIo::Null, Vec::new()),
            ExecStdio::Streams(fds) => (ExecIo::Streams, fds.to_vec()),
            ExecStdio::Terminal(socket) => (ExecIo::Terminal, vec![socket]),
        };
        let request = self.wrap(ContainerRequest::Exec(Box::new(ExecSpec { process, io })));
        match self.shim.call("exec", &request, &fds, None)?.0 {
            Response::Exec(started) => Ok(started),
            _ => Err(self.shim.broken("exec", "another answer came".to_owned())),
        }
    }

    /// Connects to a TCP port of its sandbox's own loopback interface; what comes is copied
    /// to and from `stream`.
    ///
    /// # Errors
    /// If nobody listens, or its isolator has no such interface.
    pub fn connect(&self, port: u16, stream: BorrowedFd<'_>) -> Result<(), ClientError> {
        let request = self.wrap(ContainerRequest::Connect { port });
        match self.shim.call("connect", &request, &[stream], Some(PROMPT))?.0 {
            Response::Done => Ok(()),
            _ => Err(self.shim.broken("connect", "another answer came".to_owned())),
        }
    }

    /// Waits until a program that [`Container::exec`] started has ended.
    ///
    /// # Errors
    /// [`crate::FaultKind::NotFound`] for one that is forgotten or never was.
    pub fn wait_exec(&self, exec: u64, limit: Option<Duration>) -> Result<ExecExit, ClientError> {
        self.ask("wait for exec", ContainerRequest::WaitExec { exec }, limit, |response| {
            match response {
                Response::ExecExit(exit) => Some(exit),
                _ => None,
            }
        })
    }

    /// Sends a signal to a program that [`Container::exec`] started.
    ///
    /// # Errors
    /// [`crate::FaultKind::NotFound`] if it has ended.
    pub fn signal_exec(&self, exec: u64, signal: i32) -> Result<(), ClientError> {
        self.tell("signal exec", ContainerRequest::SignalExec { exec, signal })
    }

    /// Follows the output from here on. Call it before [`Container::start`] to miss
    /// nothing.
    ///
    /// # Errors
    /// If the container has ended.
    pub fn attach(&self, spec: AttachSpec) -> Result<Attachment, ClientError> {
        match self.shim.call(
            "attach",
            &self.wrap(ContainerRequest::Attach(spec)),
            &[],
            Some(PROMPT),
        )? {
            (Response::Attached { terminal }, socket, incoming) => {
                Attachment::new(socket, incoming, terminal)
                    .map_err(|e| self.shim.broken("attach", e.to_string()))
            }
            _ => Err(self.shim.broken("attach", "another answer came".to_owned())),
        }
    }

    /// Sets the size of the container's terminal.
    ///
    /// # Errors
    /// If it has none.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<(), ClientError> {
        self.tell("resize", ContainerRequest::Resize { rows, columns })
    }

    /// Freezes the container.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pause(&self) -> Result<(), ClientError> {
        self.tell("pause", ContainerRequest::Pause)
    }

    /// Thaws the container.
    ///
    /// # Errors
    /// If it is not frozen.
    pub fn resume(&self) -> Result<(), ClientError> {
        self.tell("resume", ContainerRequest::Resume)
    }

    /// Changes limits; what is absent stays.
    ///
    /// # Errors
    /// Names the limit that could not be set.
    pub fn update(&self, limits: Resources) -> Result<(), ClientError> {
        self.tell("update", ContainerRequest::Update(Box::new(limits)))
    }

    /// Changes the restart policy for what comes.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn set_restart(&self, policy: RestartPolicy) -> Result<(), ClientError> {
        self.tell("set restart policy", ContainerRequest::SetRestart(policy))
    }

    /// Counters now.
    ///
    /// # Errors
    /// If the container has ended.
    pub fn stats(&self) -> Result<Stats, ClientError> {
        self.ask("stats", ContainerRequest::Stats, Some(PROMPT), |response| match response {
            Response::Stats(stats) => Some(*stats),
            _ => None,
        })
    }

    /// Every process of the container, in the supervisor's PID namespace.
    ///
    /// # Errors
    /// If the container has ended.
    pub fn pids(&self) -> Result<Vec<i32>, ClientError> {
        self.ask("pids", ContainerRequest::Pids, Some(PROMPT), |response| match response {
            Response::Pids(pids) => Some(pids),
            _ => None,
        })
    }

    /// Has the log file opened anew, after it was renamed.
    ///
    /// # Errors
    /// If it can't be opened.
    pub fn reopen_log(&self) -> Result<(), ClientError> {
        self.tell("reopen log", ContainerRequest::ReopenLog)
    }

    /// Ends its standard input, once what was sent has been read.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn close_stdin(&self) -> Result<(), ClientError> {
        self.tell("close stdin", ContainerRequest::CloseStdin)
    }

    /// Has the supervisor forget it, with its exit record; with `force` it is
    /// killed before. Returns when nothing is left of it.
    ///
    /// # Errors
    /// [`crate::FaultKind::WrongStatus`] if it runs and `force` is false.
    pub fn remove(&self, force: bool) -> Result<(), ClientError> {
        let done = |response| matches!(response, Response::Done).then_some(());
        self.ask("remove", ContainerRequest::Remove { force }, None, done)
    }
}

/// An end that was asked for ([`Container::watch_exit`]).
#[derive(Debug)]
pub struct ExitWatch {
    container: Container,
    socket: Option<OwnedFd>,
    known: Option<ExitRecord>,
}

impl ExitWatch {
    /// The connection, readable once the end has come; `None` if it had come
    /// before.
    #[must_use]
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Waits for the end, for as long as `limit`.
    ///
    /// # Errors
    /// As [`Container::wait`].
    pub fn wait(self, limit: Option<Duration>) -> Result<ExitRecord, ClientError> {
        let broken = |cause: String| self.container.shim.broken("wait", cause);
        let Some(socket) = &self.socket else {
            return self.known.ok_or_else(|| broken("there is no record".to_owned()));
        };
        set_socket_timeout(socket, Timeout::Recv, limit).map_err(|e| broken(e.to_string()))?;
        let answer = Incoming::default()
            .next_frame(socket.as_fd())
            .and_then(|frame| decode::<Response>(&frame));
        match answer {
            Ok(Response::Exit(record)) => Ok(record),
            Ok(Response::Fault(fault)) => Err(fault.into()),
            Ok(_) => Err(broken("another answer came".to_owned())),
            Err(error) => self.container.left_behind().ok_or_else(|| broken(cause(&error))),
        }
    }
}

fn exit(response: Response) -> Option<ExitRecord> {
    match response {
        Response::Exit(record) => Some(record),
        _ => None,
    }
}
