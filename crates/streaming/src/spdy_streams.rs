//! Which streams of SPDY belong together.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::backend::{BackendError, StreamBackend};
use crate::command::{self, Command, CommandStreams, StreamType};
use crate::connection::Context;
use crate::forward;
use crate::pipe::StreamReader;
use crate::sender::Sender as _;
use crate::spdy::{SpdySender, SpdyStream};
use crate::status::report;

type Ends = (StreamReader, SpdySender);

/// Waits for the streams of a command, then runs it.
pub(crate) async fn command<B: StreamBackend>(
    context: &Context<'_, B>,
    version: u8,
    command: Command,
    mut incoming: mpsc::Receiver<SpdyStream>,
) {
    let wanted = || StreamType::ALL.into_iter().filter(|stream| command.has(*stream, version));
    let mut got: HashMap<&str, Ends> = HashMap::new();
    let missing = |got: &HashMap<&str, Ends>| -> Vec<&str> {
        wanted().map(StreamType::name).filter(|name| !got.contains_key(name)).collect()
    };
    let collect = async {
        while !missing(&got).is_empty() {
            let Some(stream) = incoming.recv().await else { return };
            let name = stream.header("streamtype").unwrap_or_default();
            let name = missing(&got).into_iter().find(|wanted| *wanted == name);
            // One that is unknown, not asked for or there already is refused by
            // being dropped.
            if let Some(name) = name
                && let Ok(ends) = stream.accept()
            {
                got.insert(name, ends);
            }
        }
    };
    let in_time = timeout(context.settings.creation_timeout, collect).await.is_ok();
    // From here on streams are refused.
    drop(incoming);
    let missing = missing(&got);
    let mut take = |stream: StreamType| got.remove(stream.name());
    // What the client sends here is dropped.
    let Some((_, mut error)) = take(StreamType::Error) else { return };
    if !missing.is_empty() {
        if !in_time {
            let text = format!("timed out waiting for the streams {}", missing.join(", "));
            let _ = error.send(&report(version, &Err(BackendError(text)))).await;
            let _ = error.finish().await;
        }
        return;
    }
    // Sending ends of what only the client sends, kept so that the streams
    // stay open.
    let (stdin, stdin_end) = take(StreamType::Stdin).unzip();
    let (resize, resize_end) = take(StreamType::Resize).unzip();
    let stdout = take(StreamType::Stdout).map(|(_, sender)| sender);
    let stderr = take(StreamType::Stderr).map(|(_, sender)| sender);
    let streams = CommandStreams { stdin, resize, stdout, stderr, error };
    let (backend, settings) = (context.backend.as_ref(), context.settings);
    command::run(backend, command, version, streams, settings, &context.activity).await;
    for end in [stdin_end, resize_end].into_iter().flatten() {
        let _ = end.finish().await;
    }
}

/// Streams of a forwarded connection that are there.
struct Pair {
    data: Option<Ends>,
    error: Option<Ends>,
    port: u16,
    until: Instant,
}

/// Serves one pair of streams after the other until the client goes.
pub(crate) async fn forward<B: StreamBackend>(
    context: &Context<'_, B>,
    pod: &str,
    mut incoming: mpsc::Receiver<SpdyStream>,
) {
    let mut running = JoinSet::new();
    let mut waiting: HashMap<String, Pair> = HashMap::new();
    loop {
        let next = waiting.values().map(|pair| pair.until).min();
        let expired = async {
            match next {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            stream = incoming.recv() => {
                let Some(stream) = stream else { return };
                let until = Instant::now() + context.settings.creation_timeout;
                let Some((id, port)) = add(&mut waiting, stream, until) else { continue };
                let Some(Pair { data: Some(data), error: Some((_, error)), .. }) = waiting.remove(&id)
                else {
                    continue;
                };
                let (backend, pod) = (Arc::clone(context.backend), pod.to_owned());
                running.spawn(async move {
                    forward::run(backend.as_ref(), &pod, port, data, error).await;
                });
            }
            Some(_) = running.join_next() => {}
            () = expired => {
                let now = Instant::now();
                for (id, pair) in waiting.extract_if(|_, pair| pair.until <= now) {
                    if let Some((_, mut error)) = pair.error {
                        running.spawn(async move {
                            let text = format!("timed out waiting for the data stream of request {id}");
                            let _ = error.send(text.as_bytes()).await;
                            let _ = error.finish().await;
                        });
                    }
                }
            }
        }
    }
}

/// Puts a stream to its pair; returns the pair's id and port if that is
/// complete now. What makes no sense is refused by being dropped.
fn add(
    waiting: &mut HashMap<String, Pair>,
    stream: SpdyStream,
    until: Instant,
) -> Option<(String, u16)> {
    let is_error = match stream.header("streamtype")? {
        "error" => true,
        "data" => false,
        _ => return None,
    };
    let port: u16 = stream.header("port")?.parse().ok().filter(|port| *port != 0)?;
    let id = match stream.header("requestid") {
        Some(id) if !id.is_empty() => id.to_owned(),
        // Old clients open the data stream right behind the error stream.
        _ if is_error => stream.id().to_string(),
        _ => stream.id().checked_sub(2)?.to_string(),
    };
    let pair = waiting.entry(id.clone()).or_insert(Pair { data: None, error: None, port, until });
    let slot = if is_error { &mut pair.error } else { &mut pair.data };
    if slot.is_some() || pair.port != port {
        return None;
    }
    *slot = stream.accept().ok();
    (pair.data.is_some() && pair.error.is_some()).then_some((id, port))
}
