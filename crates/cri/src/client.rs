//! A client of the daemon's own socket, for commands that show what it has.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::UnixStream;
use tonic::Status;

use crate::v1;

/// For any answer to come.
const LIMIT: Duration = Duration::from_secs(30);
/// Longest answer.
const MAX_ANSWER: usize = 64 << 20;
/// gRPC's head of a message: a flag and a length.
const HEAD: usize = 5;

/// Why a daemon did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is none.
    #[error("no daemon listens on {}: {source}", socket.display())]
    Connect {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It answered that it can't.
    #[error("the daemon: {}", .0.message())]
    Refused(Box<Status>),
    /// It speaks something else, or not any more.
    #[error("talking to the daemon: {0}")]
    Broken(String),
    /// It is silent.
    #[error("the daemon did not answer within {} s", LIMIT.as_secs())]
    Silent,
}

/// A connection to a daemon.
#[derive(Debug)]
pub struct Client {
    runtime: tokio::runtime::Runtime,
    sender: SendRequest<Full<Bytes>>,
}

fn broken(error: impl std::fmt::Display) -> ClientError {
    ClientError::Broken(error.to_string())
}

impl Client {
    /// Connects to the daemon at `socket`.
    ///
    /// # Errors
    /// [`ClientError::Connect`] if none listens there.
    pub fn connect(socket: &Path) -> Result<Self, ClientError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
        let connect = async {
            let stream = UnixStream::connect(socket)
                .await
                .map_err(|source| ClientError::Connect { socket: socket.to_owned(), source })?;
            let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
            let (sender, connection) = shaken.map_err(broken)?;
            // Runs while a call waits; what ends it shows in the call.
            tokio::spawn(connection);
            Ok(sender)
        };
        let sender = runtime.block_on(connect)?;
        Ok(Self { runtime, sender })
    }

    /// Pods that `filter` matches.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn pods(
        &mut self,
        filter: v1::PodSandboxFilter,
    ) -> Result<Vec<v1::PodSandbox>, ClientError> {
        let request = v1::ListPodSandboxRequest { filter: Some(filter) };
        let answer: v1::ListPodSandboxResponse = self.call("ListPodSandbox", &request)?;
        Ok(answer.items)
    }

    /// Containers of all pods.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn containers(&mut self) -> Result<Vec<v1::Container>, ClientError> {
        let request = v1::ListContainersRequest::default();
        let answer: v1::ListContainersResponse = self.call("ListContainers", &request)?;
        Ok(answer.containers)
    }

    /// All that is known of the pod whose id is `id`, or begins so; none if
    /// there is no such pod.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn pod(&mut self, id: &str) -> Result<Option<v1::PodSandboxStatusResponse>, ClientError> {
        let pod_sandbox_id = id.to_owned();
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id, verbose: true };
        found(self.call("PodSandboxStatus", &request))
    }

    /// All that is known of a container; none if there is no such one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn container(
        &mut self,
        id: &str,
    ) -> Result<Option<v1::ContainerStatusResponse>, ClientError> {
        let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: true };
        found(self.call("ContainerStatus", &request))
    }

    fn call<Q: Message, A: Message + Default>(
        &mut self,
        method: &str,
        request: &Q,
    ) -> Result<A, ClientError> {
        let body = request.encode_to_vec();
        let mut framed = BytesMut::with_capacity(HEAD + body.len());
        framed.put_u8(0);
        framed.put_u32(u32::try_from(body.len()).map_err(broken)?);
        framed.put_slice(&body);
        let request =
            hyper::Request::post(format!("http://localhost/runtime.v1.RuntimeService/{method}"))
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(Full::new(framed.freeze()))
                .map_err(broken)?;
        let sender = &mut self.sender;
        let answer = async {
            let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(broken)?;
            let status = Status::from_header_map(body.trailers().unwrap_or(&head.headers));
            match status {
                Some(status) if status.code() == tonic::Code::Ok => {}
                Some(status) => return Err(ClientError::Refused(Box::new(status))),
                None => return Err(broken("the answer has no status: is this a daemon?")),
            }
            let mut bytes = body.to_bytes();
            if bytes.len() < HEAD {
                return Err(broken("the answer is cut short"));
            }
            bytes.advance(HEAD);
            A::decode(bytes).map_err(broken)
        };
        let limited = async { tokio::time::timeout(LIMIT, answer).await };
        self.runtime.block_on(limited).map_err(|_| ClientError::Silent)?
    }
}

fn found<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::Refused(status)) if status.code() == tonic::Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
