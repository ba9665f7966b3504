//! Joins the streaming server to the engine.

mod attach;
mod descriptor;
mod exec;

use caisson_node::pods::{Connection, Pods};
use caisson_streaming::{
    AttachRequest, BackendError, ExecRequest, ExitCode, PortStream, ProcessIo, StreamBackend,
};
use tokio::net::{TcpStream, UnixStream};
use tonic::Status;

use crate::blocking::blocking;
use crate::error;

/// The engine, as the streaming server sees it.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pods: Pods,
}

impl Backend {
    pub(crate) fn new(pods: Pods) -> Self {
        Self { pods }
    }
}

/// What a client is shown.
#[allow(clippy::needless_pass_by_value, reason = "map_err gives it so")]
fn text(status: Status) -> BackendError {
    BackendError(status.message().to_owned())
}

impl StreamBackend for Backend {
    async fn exec(&self, request: ExecRequest, io: ProcessIo) -> Result<ExitCode, BackendError> {
        exec::run(self.pods.clone(), request, io).await
    }

    async fn attach(&self, request: AttachRequest, io: ProcessIo) -> Result<(), BackendError> {
        attach::run(self.pods.clone(), request, io).await
    }

    async fn port_forward(&self, pod: &str, port: u16) -> Result<PortStream, BackendError> {
        let (pods, pod) = (self.pods.clone(), pod.to_owned());
        let connect = move || {
            let connection = pods.port_forward(&pod, port).map_err(error::of_pods)?;
            let ready = connection.set_nonblocking(true);
            ready.map_err(|e| Status::unknown(format!("port {port} of pod {pod}: {e}")))?;
            Ok(connection)
        };
        let fail = |error: std::io::Error| BackendError(error.to_string());
        Ok(match blocking(connect).await.map_err(text)? {
            Connection::Tcp(stream) => Box::new(TcpStream::from_std(stream).map_err(fail)?),
            Connection::Unix(stream) => Box::new(UnixStream::from_std(stream).map_err(fail)?),
        })
    }
}
