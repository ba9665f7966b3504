//! Listens, hands out addresses, and serves who comes with one.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::activity::Activity;
use crate::backend::StreamBackend;
use crate::connection::{self, Context};
use crate::hangup::Hangup;
use crate::http::{Agreement, Refusal, Wire, negotiate, parse_path};
use crate::requests::{AttachRequest, ExecRequest, PortForwardRequest, Request, RequestError};
use crate::settings::Settings;
use crate::tokens::Tokens;

/// Kubernetes' clients and proxies send a few hundred bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Each takes two channels, whose numbers are characters from `0` in base64.
const MAX_CHANNEL_PORTS: usize = 39;

/// Why the server does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Whoever holds a token may enter a container, so nobody outside gets near.
    #[error("streaming server: {0} is not a loopback address; only 127.0.0.0/8 and ::1 are served")]
    NotLoopback(SocketAddr),
    /// The address is taken, or not ours.
    #[error("streaming server: can't listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
}

/// The server. Dropping it ends it and all of its connections.
pub struct StreamingServer {
    address: SocketAddr,
    tokens: Arc<Tokens>,
    accepting: JoinHandle<()>,
}

// Tokens stay out of logs.
impl std::fmt::Debug for StreamingServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StreamingServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

struct Shared<B> {
    settings: Settings,
    tokens: Arc<Tokens>,
    backend: Arc<B>,
}

impl StreamingServer {
    /// Listens, in the current tokio runtime.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn bind<B: StreamBackend>(
        settings: Settings,
        backend: Arc<B>,
    ) -> Result<Self, ServerError> {
        let address = settings.address;
        if !address.ip().is_loopback() {
            return Err(ServerError::NotLoopback(address));
        }
        let failed = |source| ServerError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let tokens = Arc::new(Tokens::new(settings.token_lifetime, settings.max_tokens));
        let shared = Arc::new(Shared { settings, tokens: Arc::clone(&tokens), backend });
        let accepting = tokio::spawn(accept(listener, shared));
        Ok(Self { address, tokens, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address (a URL) for an exec, good for one connection.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn exec(&self, request: ExecRequest) -> Result<String, RequestError> {
        request.check()?;
        self.issue(Request::Exec(request))
    }

    /// The address (a URL) for an attach, good for one connection.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn attach(&self, request: AttachRequest) -> Result<String, RequestError> {
        request.check()?;
        self.issue(Request::Attach(request))
    }

    /// The address (a URL) for port-forwards, good for one connection of the
    /// client, which carries any number of forwarded ones.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn port_forward(&self, request: PortForwardRequest) -> Result<String, RequestError> {
        request.check()?;
        self.issue(Request::PortForward(request))
    }

    fn issue(&self, request: Request) -> Result<String, RequestError> {
        let kind = request.kind();
        let token = self.tokens.issue(request)?;
        Ok(format!("http://{}/{}/{token}", self.address, kind.path()))
    }
}

impl Drop for StreamingServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept<B: StreamBackend>(listener: TcpListener, shared: Arc<Shared<B>>) {
    let slots = Arc::new(Semaphore::new(shared.settings.max_connections));
    // Owns the connections: they end with this task.
    let mut connections = JoinSet::new();
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    serve(stream, &shared).await;
                    drop(slot);
                });
            }
            // Out of descriptors, most likely; those come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

type Agreed = (OnUpgrade, Agreement, Request);

/// One connection, from its first byte to its last.
async fn serve<B: StreamBackend>(stream: TcpStream, shared: &Shared<B>) {
    // Keystrokes don't wait for company. A socket that refuses works, too.
    let _ = stream.set_nodelay(true);
    let agreed: Mutex<Option<Agreed>> = Mutex::new(None);
    let answer = service_fn(|request| {
        let response = match agree(request, shared) {
            Ok((on_upgrade, agreement, request)) => {
                let response = switching(&agreement);
                let mut agreed = agreed.lock().unwrap_or_else(PoisonError::into_inner);
                *agreed = Some((on_upgrade, agreement, request));
                response
            }
            Err(refusal) => refused(refusal),
        };
        async move { Ok::<_, Infallible>(response) }
    });
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.settings.handshake_timeout)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), answer)
        .with_upgrades();
    if !matches!(timeout(shared.settings.handshake_timeout, http).await, Ok(Ok(()))) {
        return;
    }
    let agreed = agreed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let Some((on_upgrade, agreement, request)) = agreed else { return };
    let Ok(Ok(upgraded)) = timeout(shared.settings.handshake_timeout, on_upgrade).await else {
        return;
    };
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else { return };
    let stream = parts.io.into_inner();
    let hangup = Hangup::of(&stream);
    let (read, write) = stream.into_split();
    let read = tokio::io::AsyncReadExt::chain(io::Cursor::new(parts.read_buf), read);
    let context = Context {
        settings: &shared.settings,
        backend: &shared.backend,
        activity: Activity::new(),
        hangup,
    };
    connection::serve(&context, &agreement, request, read, write).await;
}

fn agree<B>(mut request: hyper::Request<Incoming>, shared: &Shared<B>) -> Result<Agreed, Refusal> {
    let unknown = || {
        let text = "no such address: a token is good once, for a minute; ask CRI for another";
        Refusal::new(StatusCode::NOT_FOUND, text)
    };
    let on_upgrade = hyper::upgrade::on(&mut request);
    let (kind, token) = parse_path(request.uri().path()).ok_or_else(unknown)?;
    let agreement = negotiate(kind, request.method(), request.headers())?;
    let request = shared.tokens.redeem(kind, token).ok_or_else(unknown)?;
    if let (Wire::Channels { .. }, Request::PortForward(request)) = (agreement.wire, &request)
        && !(1..=MAX_CHANNEL_PORTS).contains(&request.ports.len())
    {
        let text = format!(
            "forwarding over WebSocket's channels needs 1 to {MAX_CHANNEL_PORTS} ports in the \
             request, which has {}; or use SPDY/3.1+portforward.k8s.io",
            request.ports.len()
        );
        return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
    }
    Ok((on_upgrade, agreement, request))
}

fn switching(agreement: &Agreement) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in &agreement.headers {
        response.headers_mut().append(name, value.clone());
    }
    response
}

fn refused(refusal: Refusal) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(refusal.text + "\n"));
    *response.status_mut() = refusal.status;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in refusal.headers {
        response.headers_mut().append(name, value);
    }
    response
}
