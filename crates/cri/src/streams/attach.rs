//! The streams of a container's first process.

use std::os::fd::{AsFd as _, OwnedFd};

use caisson_node::pods::Pods;
use caisson_node::pods::session::{AttachControl, AttachRequest as EngineRequest};
use caisson_node::supervisor::{Attachment, Input, Output, Piece};
use caisson_streaming::{AttachRequest, BackendError, ProcessIo, Resizes, StreamReader};
use rustix::net::{Shutdown, shutdown};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::text;
use crate::blocking::blocking;
use crate::error;

/// Pieces that wait for a client that reads slowly; then the container's
/// supervisor does what it does with such clients.
const WAITING: usize = 16;
/// Bytes of input that are carried at once.
const PIECE: usize = 32 << 10;

/// Carries until the container ends or the client goes.
pub(super) async fn run(
    pods: Pods,
    request: AttachRequest,
    io: ProcessIo,
) -> Result<(), BackendError> {
    let wanted =
        EngineRequest { stdin: request.stdin, stdout: request.stdout, stderr: request.stderr };
    let container = request.container;
    let attach = move || pods.attach(&container, wanted).map_err(error::of_pods);
    let session = blocking(attach).await.map_err(text)?;
    let Attachment { output, input, .. } = session.attachment;
    let socket = output.as_fd().try_clone_to_owned().map_err(|e| BackendError(e.to_string()))?;
    // Wakes the threads below when this future is dropped.
    let _detach = Detach(socket);
    let mut inputs = JoinSet::new();
    if let Some(stdin) = io.stdin {
        inputs.spawn(feed(stdin, input));
    }
    if let Some(sizes) = io.resize {
        inputs.spawn(resize(sizes, session.control));
    }
    let (sender, mut pieces) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || read(output, &sender));
    let (mut stdout, mut stderr) = (io.stdout, io.stderr);
    while let Some(piece) = pieces.recv().await {
        let (client, bytes) = match piece {
            Piece::Stdout(bytes) => (&mut stdout, bytes),
            Piece::Stderr(bytes) => (&mut stderr, bytes),
            Piece::End => break,
        };
        if let Some(writer) = client
            && writer.write_all(&bytes).await.is_err()
        {
            *client = None;
        }
        if request_is_over(&stdout, &stderr, request.stdin) {
            break;
        }
    }
    Ok(())
}

/// Whether nobody is left to carry anything for.
fn request_is_over<T>(stdout: &Option<T>, stderr: &Option<T>, stdin: bool) -> bool {
    stdout.is_none() && stderr.is_none() && !stdin
}

struct Detach(OwnedFd);

impl Drop for Detach {
    fn drop(&mut self) {
        // A socket whose other side has gone is as good.
        let _ = shutdown(&self.0, Shutdown::Both);
    }
}

fn read(mut output: Output, to: &mpsc::Sender<Piece>) {
    while let Ok(Some(piece)) = output.read() {
        if to.blocking_send(piece).is_err() {
            return;
        }
    }
}

async fn feed(mut from: StreamReader, to: Input) {
    let mut buffer = vec![0; PIECE];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        let piece = buffer.get(..count).unwrap_or_default().to_vec();
        let input = to.clone();
        let send = move || match piece.as_slice() {
            [] => input.close(),
            piece => input.write(piece),
        };
        let sent = tokio::task::spawn_blocking(send).await;
        if count == 0 || !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

async fn resize(mut sizes: Resizes, control: AttachControl) {
    while let Some(size) = sizes.next().await {
        let control = control.clone();
        let set = move || control.resize(size.height, size.width);
        // A size that the terminal does not take changes nothing.
        let _ = tokio::task::spawn_blocking(set).await;
    }
}
