//! `GET /metrics`, on loopback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use caisson_node::pods::Pods;
use caisson_node::pods::view::{ContainerFilter, ContainerState, PodFilter, PodState};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::images::Pulls;
use crate::metrics::{Gauges, Metrics};

/// Connections at once; more wait.
const MAX_CONNECTIONS: usize = 16;
/// A connection does not stay longer.
const MAX_TIME: Duration = Duration::from_secs(60);

/// Where the figures come from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pods: Pods,
    metrics: Arc<Metrics>,
    pulls: Arc<Pulls>,
}

impl Source {
    pub(super) fn new(pods: Pods, metrics: Arc<Metrics>, pulls: Arc<Pulls>) -> Self {
        Self { pods, metrics, pulls }
    }

    fn text(&self) -> String {
        let pods = PodFilter { state: Some(PodState::Ready), ..PodFilter::default() };
        let running = ContainerState::Running;
        let containers = ContainerFilter { state: Some(running), ..ContainerFilter::default() };
        self.metrics.text(Gauges {
            pods: self.pods.pods(&pods).map_or(0, |all| all.len()),
            containers: self.pods.containers(&containers).map_or(0, |all| all.len()),
            pulls: self.pulls.count(),
            operations: self.pods.operations().len(),
        })
    }
}

/// Listens from now on.
pub(super) async fn listen(address: SocketAddr, source: Source) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    tokio::spawn(async move {
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let source = source.clone();
            tokio::spawn(async move {
                let serve = http1::Builder::new().timer(TokioTimer::new()).serve_connection(
                    TokioIo::new(stream),
                    service_fn(move |request| answer(request, source.clone())),
                );
                // Whoever asks again connects again.
                let _ = tokio::time::timeout(MAX_TIME, serve).await;
                drop(slot);
            });
        }
    });
    Ok(())
}

async fn answer<B>(request: Request<B>, source: Source) -> Result<Response<String>, Infallible> {
    let wanted = request.method() == Method::GET && request.uri().path() == "/metrics";
    let text = match wanted {
        true => tokio::task::spawn_blocking(move || source.text()).await.ok(),
        false => None,
    };
    let found = text.is_some();
    let mut response = Response::new(text.unwrap_or_else(|| "GET /metrics\n".to_owned()));
    if found {
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}
