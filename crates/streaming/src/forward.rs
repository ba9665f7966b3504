//! One forwarded connection, once its streams are there.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::activity::Activity;
use crate::backend::{PortStream, StreamBackend};
use crate::outlet::CHUNK;
use crate::pipe::StreamReader;
use crate::sender::{Closed, Sender};

/// The pod has said its last; so long the client may still find something to
/// send. Older clients close nothing before they see that we are done, so this
/// can't be long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Connects, carries both directions to their ends, and tells the client what
/// went wrong, or nothing.
pub(crate) async fn run<B: StreamBackend, S: Sender>(
    backend: &B,
    pod: &str,
    port: u16,
    (from_client, to_client): (StreamReader, S),
    mut error: S,
) {
    match backend.port_forward(pod, port).await {
        Ok(stream) => {
            let _ = carry(stream, from_client, to_client).await;
        }
        Err(cause) => {
            let text = format!("error forwarding port {port} to pod {pod}: {cause}");
            let _ = error.send(text.as_bytes()).await;
            let _ = to_client.finish().await;
        }
    }
    let _ = error.finish().await;
}

async fn carry<S: Sender>(
    stream: PortStream,
    mut from_client: StreamReader,
    mut to_client: S,
) -> Result<(), Closed> {
    let (mut from_pod, mut to_pod) = tokio::io::split(stream);
    let sent = Activity::new();
    let up = async {
        let mut buffer = Vec::with_capacity(CHUNK);
        loop {
            buffer.clear();
            let read = from_client.read_buf(&mut buffer).await;
            if !matches!(read, Ok(1..)) || to_pod.write_all(&buffer).await.is_err() {
                break;
            }
            sent.touch();
        }
        let _ = to_pod.shutdown().await;
        // Closed to the client's data; what it still sends goes nowhere.
        drop(from_client);
    };
    let down = async {
        let mut buffer = Vec::with_capacity(CHUNK);
        loop {
            buffer.clear();
            match from_pod.read_buf(&mut buffer).await {
                Ok(1..) => to_client.send(&buffer).await?,
                _ => return to_client.finish().await,
            }
        }
    };
    tokio::pin!(up, down);
    let mut up_done = false;
    loop {
        tokio::select! {
            ended = &mut down => {
                ended?;
                break;
            }
            () = &mut up, if !up_done => up_done = true,
        }
    }
    if !up_done {
        sent.touch();
        tokio::select! {
            () = &mut up => {}
            () = sent.idle_for(LAST_WORDS) => {}
        }
    }
    Ok(())
}
