//! Connections.

use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::authority::WithHost;
use super::dispatch::Services;
use crate::log::{Level, log};

/// Calls at once of one connection. A kubelet has a goroutine per pod.
const MAX_CALLS: u32 = 4096;
/// Bytes of a call's head.
const MAX_HEAD: u32 = 64 << 10;
/// Bytes that may be under way to us, for a call and for a connection.
const WINDOW: u32 = 1 << 20;

/// Serves whoever connects, until `stopping`; then lets what runs end.
pub(super) async fn accept(
    listener: UnixListener,
    services: Services,
    mut stopping: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let stop = stopping.clone();
    let stopped = async move { stopping.wait_for(|stop| *stop).await.map(drop) };
    let mut stopped = std::pin::pin!(stopped);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, services.clone(), stop.clone()));
                }
                // Out of descriptors, most likely; those come back.
                Err(error) => {
                    log(Level::Error, "cannot accept a connection", &[("error", &error)]);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = stopped.as_mut() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: UnixStream, services: Services, mut stopping: watch::Receiver<bool>) {
    let answer = service_fn(move |request| services.clone().call(request));
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_CALLS)
        .max_header_list_size(MAX_HEAD)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .serve_connection(TokioIo::new(WithHost::new(stream)), answer);
    let mut connection = std::pin::pin!(connection);
    let stop = async move { stopping.wait_for(|stop| *stop).await.map(drop) };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        log(Level::Debug, "a connection broke", &[("error", &crate::error::chain(&error))]);
    }
}
