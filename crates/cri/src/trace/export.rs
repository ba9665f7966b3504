//! Sending spans away. Nobody waits for it: what finds the queue full, or the
//! collector dead, is dropped and counted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Tracer;
use super::endpoint::Endpoint;
use super::otlp::{Span, request};
use crate::log::{Level, log};
use crate::metrics::Metrics;

/// Spans that wait.
const WAITING: usize = 4096;
/// Spans that go at once.
const AT_ONCE: usize = 512;
/// How long the first of them waits for more.
const GATHERING: Duration = Duration::from_secs(1);
/// How long the collector may take.
const LIMIT: Duration = Duration::from_secs(10);

/// What sends the spans of a [`Tracer`], until all copies of that are gone.
pub(crate) struct Exporter(JoinHandle<()>);

impl Exporter {
    /// Starts it.
    pub(crate) fn start(
        endpoint: Endpoint,
        per_million: u32,
        metrics: Arc<Metrics>,
    ) -> (Tracer, Self) {
        let (spans, queue) = mpsc::channel(WAITING);
        let tracer = Tracer { spans, metrics: Arc::clone(&metrics), per_million };
        (tracer, Self(tokio::spawn(export(endpoint, queue, metrics))))
    }

    /// Waits for what is still under way, but not for long.
    pub(crate) async fn finish(self, limit: Duration) {
        let _ = tokio::time::timeout(limit, self.0).await;
    }
}

async fn export(endpoint: Endpoint, mut queue: mpsc::Receiver<Span>, metrics: Arc<Metrics>) {
    let mut well = true;
    while let Some(first) = queue.recv().await {
        let mut batch = vec![first];
        let gathered = async {
            while batch.len() < AT_ONCE
                && let Some(span) = queue.recv().await
            {
                batch.push(span);
            }
        };
        let _ = tokio::time::timeout(GATHERING, gathered).await;
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let sent = tokio::time::timeout(LIMIT, send(&endpoint, batch)).await;
        let failure = match sent {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why),
            Err(_) => Some(format!("no answer within {} s", LIMIT.as_secs())),
        };
        let to = &endpoint.address;
        match failure {
            None => {
                metrics.spans_sent(count);
                if !well {
                    log(Level::Info, "traces are taken again", &[("collector", to)]);
                }
                well = true;
            }
            Some(why) => {
                metrics.spans_dropped(count);
                // Once; the metrics tell how many.
                if well {
                    let fields: [(&str, &dyn std::fmt::Display); 2] =
                        [("collector", to), ("error", &why)];
                    log(Level::Warn, "traces are lost", &fields);
                }
                well = false;
            }
        }
    }
}

async fn send(endpoint: &Endpoint, spans: Vec<Span>) -> Result<(), String> {
    let body = Bytes::from(request(spans).encode_to_vec());
    let request = Request::post(&endpoint.path)
        .header(HOST, &endpoint.authority)
        .header(CONTENT_TYPE, "application/x-protobuf")
        .body(Full::new(body))
        .map_err(|e| e.to_string())?;
    let stream = TcpStream::connect(&endpoint.address).await.map_err(|e| e.to_string())?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let mut answer = std::pin::pin!(sender.send_request(request));
    let answered = tokio::select! {
        biased;
        answered = answer.as_mut() => answered,
        // What it has brought, or why it has ended.
        _ = connection => answer.await,
    };
    // The head is all that counts of it.
    let status = answered.map_err(|e| e.to_string())?.status();
    match status {
        StatusCode::OK | StatusCode::ACCEPTED | StatusCode::NO_CONTENT => Ok(()),
        other => Err(format!("the collector answers {other}")),
    }
}
