//! One method for each request.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use caisson_cgroup::stats::Stats;
use caisson_runtime_spec::{Process, Resources};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect as connect_to, socket_with,
};

use super::attach::Attachment;
use super::error::{ClientError, cause};
use crate::wire::{Incoming, decode, encode, send};
use crate::{
    AttachSpec, ExecExit, ExecIo, ExecSpec, ExitRecord, Request, Response, RestartPolicy, Started,
    State, names,
};

/// How long a supervisor may take for what it does at once.
const PROMPT: Duration = Duration::from_secs(60);

/// A pod's supervisor.
#[derive(Clone, Debug)]
pub struct Shim {
    pod_dir: PathBuf,
}

/// Streams for a program to run in the container.
#[derive(Clone, Copy, Debug)]
pub enum ExecStdio<'fd> {
    /// `/dev/null`.
    Null,
    /// These three become its own: nobody stands in between.
    Streams([BorrowedFd<'fd>; 3]),
    /// A terminal. Its master is sent over this UNIX stream socket (as for
    /// runc's `--console-socket`: one message with one descriptor).
    Terminal(BorrowedFd<'fd>),
}

/// The supervisor of the pod in this directory, if it listens.
///
/// # Errors
/// [`ClientError::NotListening`].
pub fn connect(pod_dir: &Path) -> Result<Shim, ClientError> {
    let shim = Shim { pod_dir: pod_dir.to_owned() };
    shim.open().map(|_| shim)
}

/// Whether a supervisor of this pod lives, by its lock: it holds one from
/// before it makes anything until it is gone.
///
/// # Errors
/// If the lock file can't be opened for another reason than being absent.
pub fn is_alive(pod_dir: &Path) -> std::io::Result<bool> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match openat(CWD, pod_dir.join(names::LOCK), flags, Mode::empty()) {
        Ok(file) => caisson_sys::file_lock::is_locked(file.as_fd()),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Shim {
    pub(super) fn at(pod_dir: &Path) -> Self {
        Self { pod_dir: pod_dir.to_owned() }
    }

    /// The pod's directory.
    #[must_use]
    pub fn pod_dir(&self) -> &Path {
        &self.pod_dir
    }

    fn open(&self) -> Result<OwnedFd, ClientError> {
        self.try_open().map_err(|cause| ClientError::NotListening {
            pod_dir: self.pod_dir.clone(),
            cause: cause.into(),
        })
    }

    /// By descriptor: names of sockets hold 107 bytes only (unix(7)).
    fn try_open(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(CWD, &self.pod_dir, flags, Mode::empty())?;
        let dir = caisson_sys::descriptors::proc_path(dir.as_fd()) + "/" + names::SOCKET;
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect_to(&socket, &SocketAddrUnix::new(dir)?)?;
        Ok(socket)
    }

    fn broken(&self, request: &'static str, cause: String) -> ClientError {
        ClientError::Broken { pod_dir: self.pod_dir.clone(), request, cause }
    }

    fn call(
        &self,
        name: &'static str,
        request: &Request,
        fds: &[BorrowedFd<'_>],
        limit: Option<Duration>,
    ) -> Result<(Response, OwnedFd, Incoming), ClientError> {
        let socket = self.open()?;
        let broken = |cause: String| self.broken(name, cause);
        set_socket_timeout(&socket, Timeout::Recv, limit).map_err(|e| broken(e.to_string()))?;
        set_socket_timeout(&socket, Timeout::Send, Some(PROMPT))
            .map_err(|e| broken(e.to_string()))?;
        let mut incoming = Incoming::default();
        let answer = encode(request)
            .and_then(|frame| send(socket.as_fd(), &frame, fds))
            .and_then(|()| incoming.next_frame(socket.as_fd()))
            .and_then(|frame| decode(&frame))
            .map_err(|error| broken(cause(&error)))?;
        match answer {
            Response::Fault(fault) => Err(fault.into()),
            other => Ok((other, socket, incoming)),
        }
    }

    fn ask<T>(
        &self,
        name: &'static str,
        request: &Request,
        limit: Option<Duration>,
        wanted: impl FnOnce(Response) -> Option<T>,
    ) -> Result<T, ClientError> {
        let (response, _, _) = self.call(name, request, &[], limit)?;
        wanted(response).ok_or_else(|| self.broken(name, "another answer came".to_owned()))
    }

    fn tell(&self, name: &'static str, request: &Request) -> Result<(), ClientError> {
        self.ask(name, request, Some(PROMPT), |r| matches!(r, Response::Done).then_some(()))
    }

    /// What the container is doing.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn state(&self) -> Result<State, ClientError> {
        self.ask("state", &Request::State, Some(PROMPT), |response| match response {
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
        self.ask("start", &Request::Start, None, done)
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

    /// Asks to be told of the end. Whoever asked before [`Shim::start`] hears
    /// of it even if the supervisor is gone, and the pod's directory with it,
    /// by the time that he looks.
    ///
    /// # Errors
    /// If nobody listens and there is no record of an end.
    pub fn watch_exit(&self) -> Result<ExitWatch, ClientError> {
        let asked = self.open().and_then(|socket| {
            encode(&Request::Wait)
                .and_then(|frame| send(socket.as_fd(), &frame, &[]))
                .map(|()| socket)
                .map_err(|error| self.broken("wait", cause(&error)))
        });
        let known = match &asked {
            Ok(_) => None,
            Err(_) => self.left_behind(),
        };
        match (known, asked) {
            (None, Err(error)) => Err(error),
            (known, asked) => Ok(ExitWatch { shim: self.clone(), socket: asked.ok(), known }),
        }
    }

    /// The record in the pod's directory, if there is one.
    fn left_behind(&self) -> Option<ExitRecord> {
        let text = std::fs::read(self.pod_dir.join(names::EXIT)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Sends a signal to the first process, or to `all`.
    ///
    /// # Errors
    /// If there is nobody to be sent one.
    pub fn signal(&self, signal: i32, all: bool) -> Result<(), ClientError> {
        self.tell("signal", &Request::Signal { signal, all })
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
        self.ask("stop", &Request::Stop { grace_ms: grace.map(millis), signal }, None, exit)
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
        let request = Request::Exec(Box::new(ExecSpec { process, io }));
        match self.call("exec", &request, &fds, Some(PROMPT))?.0 {
            Response::Exec(started) => Ok(started),
            _ => Err(self.broken("exec", "another answer came".to_owned())),
        }
    }

    /// Waits until a program that [`Shim::exec`] started has ended.
    ///
    /// # Errors
    /// [`crate::FaultKind::NotFound`] for one that is forgotten or never was.
    pub fn wait_exec(&self, exec: u64, limit: Option<Duration>) -> Result<ExecExit, ClientError> {
        self.ask("wait for exec", &Request::WaitExec { exec }, limit, |response| match response {
            Response::ExecExit(exit) => Some(exit),
            _ => None,
        })
    }

    /// Sends a signal to a program that [`Shim::exec`] started.
    ///
    /// # Errors
    /// [`crate::FaultKind::NotFound`] if it has ended.
    pub fn signal_exec(&self, exec: u64, signal: i32) -> Result<(), ClientError> {
        self.tell("signal exec", &Request::SignalExec { exec, signal })
    }

    /// Follows the output from here on. Call it before [`Shim::start`] to miss
    /// nothing.
    ///
    /// # Errors
    /// If the container has ended.
    pub fn attach(&self, spec: AttachSpec) -> Result<Attachment, ClientError> {
        match self.call("attach", &Request::Attach(spec), &[], Some(PROMPT))? {
            (Response::Attached { terminal }, socket, incoming) => {
                Attachment::new(socket, incoming, terminal)
                    .map_err(|e| self.broken("attach", e.to_string()))
            }
            _ => Err(self.broken("attach", "another answer came".to_owned())),
        }
    }

    /// Sets the size of the container's terminal.
    ///
    /// # Errors
    /// If it has none.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<(), ClientError> {
        self.tell("resize", &Request::Resize { rows, columns })
    }

    /// Freezes the container.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pause(&self) -> Result<(), ClientError> {
        self.tell("pause", &Request::Pause)
    }

    /// Thaws the container.
    ///
    /// # Errors
    /// If it is not frozen.
    pub fn resume(&self) -> Result<(), ClientError> {
        self.tell("resume", &Request::Resume)
    }

    /// Changes limits; what is absent stays.
    ///
    /// # Errors
    /// Names the limit that could not be set.
    pub fn update(&self, limits: Resources) -> Result<(), ClientError> {
        self.tell("update", &Request::Update(Box::new(limits)))
    }

    /// Changes the restart policy for what comes.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn set_restart(&self, policy: RestartPolicy) -> Result<(), ClientError> {
        self.tell("set restart policy", &Request::SetRestart(policy))
    }

    /// Counters now.
    ///
    /// # Errors
    /// If the container has ended.
    pub fn stats(&self) -> Result<Stats, ClientError> {
        self.ask("stats", &Request::Stats, Some(PROMPT), |response| match response {
            Response::Stats(stats) => Some(*stats),
            _ => None,
        })
    }

    /// Every process of the container, in the supervisor's PID namespace.
    ///
    /// # Errors
    /// If the container has ended.
    pub fn pids(&self) -> Result<Vec<i32>, ClientError> {
        self.ask("pids", &Request::Pids, Some(PROMPT), |response| match response {
            Response::Pids(pids) => Some(pids),
            _ => None,
        })
    }

    /// Has the log file opened anew, after it was renamed.
    ///
    /// # Errors
    /// If it can't be opened.
    pub fn reopen_log(&self) -> Result<(), ClientError> {
        self.tell("reopen log", &Request::ReopenLog)
    }

    /// Sends the supervisor away, with `force` the container too. When this
    /// returns all is removed but the pod's directory, and the supervisor is
    /// about to be gone.
    ///
    /// # Errors
    /// [`crate::FaultKind::WrongStatus`] if the container runs and `force` is false.
    pub fn shutdown(&self, force: bool) -> Result<(), ClientError> {
        self.tell("shutdown", &Request::Shutdown { force })
    }
}

/// An end that was asked for ([`Shim::watch_exit`]).
#[derive(Debug)]
pub struct ExitWatch {
    shim: Shim,
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
    /// As [`Shim::wait`].
    pub fn wait(self, limit: Option<Duration>) -> Result<ExitRecord, ClientError> {
        let broken = |cause: String| self.shim.broken("wait", cause);
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
            Err(error) => self.shim.left_behind().ok_or_else(|| broken(cause(&error))),
        }
    }
}

fn exit(response: Response) -> Option<ExitRecord> {
    match response {
        Response::Exit(record) => Some(record),
        _ => None,
    }
}
