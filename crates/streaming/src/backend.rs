//! What the server needs from whoever runs containers.

use std::future::Future;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::pipe::{StreamReader, StreamWriter};
use crate::requests::{AttachRequest, ExecRequest};

/// Runs what clients ask for. Requests are checked (see [`crate::RequestError`])
/// but the container may be gone by now.
///
/// A future is dropped when its client has been gone for
/// [`crate::Settings::vanished_grace`], when the connection was idle for too
/// long, or when the server stops. What then becomes of the program is the
/// backend's decision: to let it run on, it keeps it elsewhere.
pub trait StreamBackend: Send + Sync + 'static {
    /// Runs a program and returns how it ended, after all of its output has
    /// been written. The server tells the client only when the writers of `io`
    /// are dropped.
    fn exec(
        &self,
        request: ExecRequest,
        io: ProcessIo,
    ) -> impl Future<Output = Result<ExitCode, BackendError>> + Send;

    /// Carries streams of a container's first process until it ends or the
    /// client has gone.
    fn attach(
        &self,
        request: AttachRequest,
        io: ProcessIo,
    ) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// Connects to a port on the loopback of a pod's network. Shutting the
    /// returned stream down closes its sending side only.
    fn port_forward(
        &self,
        pod: &str,
        port: u16,
    ) -> impl Future<Output = Result<PortStream, BackendError>> + Send;
}

/// The streams of a process, as far as the request asked for them.
#[derive(Debug)]
pub struct ProcessIo {
    /// Input.
    pub stdin: Option<StreamReader>,
    /// Output; all of it, with a terminal.
    pub stdout: Option<StreamWriter>,
    /// Error output.
    pub stderr: Option<StreamWriter>,
    /// Sizes of the client's window; with a terminal only, and not from clients
    /// of the first two protocol versions.
    pub resize: Option<Resizes>,
}

/// How a program ended: its exit code, 128 + n after signal n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitCode(pub i32);

/// A connection into a pod.
pub type PortStream = Box<dyn PortIo>;

/// What a connection into a pod can do.
pub trait PortIo: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> PortIo for T {}

/// What went wrong; clients are shown the text.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct BackendError(pub String);

/// The size of a terminal's window, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct TerminalSize {
    /// Columns.
    #[serde(rename = "Width")]
    pub width: u16,
    /// Lines.
    #[serde(rename = "Height")]
    pub height: u16,
}

/// Sizes as they come. Who asks late gets the newest only.
#[derive(Debug)]
pub struct Resizes(watch::Receiver<Option<TerminalSize>>);

impl Resizes {
    /// A sender and its receiver.
    pub(crate) fn channel() -> (watch::Sender<Option<TerminalSize>>, Self) {
        let (sender, receiver) = watch::channel(None);
        (sender, Self(receiver))
    }

    /// The next size; none when the client won't send more. May be cancelled.
    pub async fn next(&mut self) -> Option<TerminalSize> {
        self.0.changed().await.ok()?;
        *self.0.borrow_and_update()
    }
}
