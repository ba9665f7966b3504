//! Requests to a pod.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect as connect_to, socket_with,
};

use super::container::Container;
use super::error::{ClientError, cause};
use super::events::Events;
use crate::wire::{Incoming, decode, encode, send};
use crate::{ContainerConfig, NamespaceKind, PodState, Request, Response, names};

/// How long a supervisor may take for what it does at once. For the steps that
/// take longer it sets itself a limit ([`crate::PodConfig::step_limit_ms`]).
pub(super) const PROMPT: Duration = Duration::from_secs(60);

/// A pod's supervisor.
#[derive(Clone, Debug)]
pub struct Shim {
    pod_dir: PathBuf,
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

    pub(super) fn open(&self) -> Result<OwnedFd, ClientError> {
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

    pub(super) fn broken(&self, request: &'static str, cause: String) -> ClientError {
        ClientError::Broken { pod_dir: self.pod_dir.clone(), request, cause }
    }

    pub(super) fn call(
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

    pub(super) fn ask<T>(
        &self,
        name: &'static str,
        request: &Request,
        limit: Option<Duration>,
        wanted: impl FnOnce(Response) -> Option<T>,
    ) -> Result<T, ClientError> {
        let (response, _, _) = self.call(name, request, &[], limit)?;
        wanted(response).ok_or_else(|| self.broken(name, "another answer came".to_owned()))
    }

    pub(super) fn tell(&self, name: &'static str, request: &Request) -> Result<(), ClientError> {
        self.ask(name, request, Some(PROMPT), |r| matches!(r, Response::Done).then_some(()))
    }

    /// What the pod is doing.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn state(&self) -> Result<PodState, ClientError> {
        self.ask("state", &Request::Pod, Some(PROMPT), |response| match response {
            Response::Pod(state) => Some(*state),
            _ => None,
        })
    }

    /// One of its containers. Whether there is one of that name shows when
    /// something is asked of it.
    #[must_use]
    pub fn container(&self, id: &str) -> Container {
        Container::new(self.clone(), id)
    }

    /// Makes a container, which then waits to be started. Its first process.
    ///
    /// # Errors
    /// [`crate::FaultKind::Invalid`] if there is one of that name, or why it
    /// could not be made; then nothing is left of it.
    pub fn create(&self, config: ContainerConfig) -> Result<i32, ClientError> {
        let request = Request::Create(Box::new(config));
        self.ask("create", &request, None, |response| match response {
            Response::Created { pid } => Some(pid),
            _ => None,
        })
    }

    /// Follows what happens from here on. The state is that before the first
    /// event, so that nothing is missed in between. A subscriber who does not
    /// read is let go of; who subscribes again misses only what the new state
    /// tells.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn subscribe(&self) -> Result<(PodState, Events), ClientError> {
        match self.call("subscribe", &Request::Subscribe, &[], Some(PROMPT))? {
            (Response::Subscribed(state), socket, incoming) => {
                Ok((*state, Events::new(socket, incoming)))
            }
            _ => Err(self.broken("subscribe", "another answer came".to_owned())),
        }
    }

    /// A namespace that was handed over at launch.
    ///
    /// # Errors
    /// [`crate::FaultKind::NotFound`] if that kind was not.
    pub fn namespace(&self, kind: NamespaceKind) -> Result<OwnedFd, ClientError> {
        match self.call("namespace", &Request::Namespace(kind), &[], Some(PROMPT))? {
            (Response::Done, _, mut incoming) => incoming
                .take_fds()
                .pop()
                .ok_or_else(|| self.broken("namespace", "no descriptor came".to_owned())),
            _ => Err(self.broken("namespace", "another answer came".to_owned())),
        }
    }

    /// Sends the supervisor away, with `force` its containers too. When this
    /// returns all is removed but the pod's directory, and the supervisor is
    /// about to be gone.
    ///
    /// # Errors
    /// [`crate::FaultKind::WrongStatus`] if something runs and `force` is false.
    pub fn shutdown(&self, force: bool) -> Result<(), ClientError> {
        let done = |response| matches!(response, Response::Done).then_some(());
        self.ask("shutdown", &Request::Shutdown { force }, None, done)
    }
}
