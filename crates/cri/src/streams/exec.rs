//! A program with streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use caisson_node::pods::Pods;
use caisson_node::pods::session::{ExecControl, ExecRequest as EngineRequest, ExecSession};
use caisson_node::signals;
use caisson_streaming::{
    BackendError, ExecRequest, ExitCode, ProcessIo, Resizes, StreamReader, StreamWriter,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::descriptor::Descriptor;
use super::text;
use crate::blocking::blocking;
use crate::error;

/// A program has ended, but something that it started holds its streams: they
/// are let go once nothing has come for so long.
const QUIET: Duration = Duration::from_secs(2);

/// Bytes that are carried at once.
const PIECE: usize = 32 << 10;

/// How the outputs get on.
#[derive(Debug, Default)]
struct Carried {
    /// Pieces that were read.
    pieces: AtomicU64,
    /// Outputs that wait for the client.
    writing: AtomicU64,
}

/// Runs the program to its end.
pub(super) async fn run(
    pods: Pods,
    request: ExecRequest,
    io: ProcessIo,
) -> Result<ExitCode, BackendError> {
    let tty = request.tty;
    let wanted = EngineRequest {
        command: request.command,
        stdin: request.stdin,
        stdout: request.stdout,
        stderr: request.stderr,
        tty,
    };
    let container = request.container;
    let start = move || pods.exec(&container, &wanted).map_err(error::of_pods);
    let session = blocking(start).await.map_err(text)?;
    let mut running = Running { control: Some(session.control.clone()), tty };
    let control = session.control.clone();
    let carried = Arc::new(Carried::default());
    let mut output = carry(session, io, &carried).map_err(|e| BackendError(e.to_string()))?;
    let wait = move || control.wait(None).map_err(error::of_pods);
    let code = blocking(wait).await.map_err(text)?;
    running.control = None;
    // The streams of input and sizes end with this future.
    finish(&mut output.outputs, &carried).await;
    Ok(ExitCode(code))
}

/// Waits for the outputs of a program that has ended. What something else still
/// holds is let go of once it is quiet; a client that is slow to take what there
/// is has a limit of its own.
async fn finish(outputs: &mut JoinSet<()>, carried: &Carried) {
    let mut before = carried.pieces.load(Ordering::Relaxed);
    while !outputs.is_empty() {
        match tokio::time::timeout(QUIET, outputs.join_next()).await {
            Ok(_) => {}
            Err(_) => {
                let now = carried.pieces.load(Ordering::Relaxed);
                if now == before && carried.writing.load(Ordering::Relaxed) == 0 {
                    break;
                }
                before = now;
            }
        }
    }
}

/// Nobody waits for it any more: a program without a terminal is killed; one
/// with a terminal gets SIGHUP from the kernel when that goes.
struct Running {
    control: Option<ExecControl>,
    tty: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(control) = self.control.take()
            && !self.tty
        {
            tokio::task::spawn_blocking(move || {
                // It may have ended by itself.
                let _ = control.signal(signals::KILL);
            });
        }
    }
}

/// What carries bytes. Dropping it stops all of them.
struct Carriers {
    outputs: JoinSet<()>,
    _inputs: JoinSet<()>,
}

fn carry(session: ExecSession, io: ProcessIo, carried: &Arc<Carried>) -> std::io::Result<Carriers> {
    let (mut outputs, mut inputs) = (JoinSet::new(), JoinSet::new());
    if let Some(terminal) = session.terminal {
        let terminal = Arc::new(Descriptor::new(terminal)?);
        if let Some(stdin) = io.stdin {
            inputs.spawn(feed(stdin, Arc::clone(&terminal)));
        }
        if let Some(sizes) = io.resize {
            inputs.spawn(resize(sizes, Arc::clone(&terminal)));
        }
        outputs.spawn(drain(terminal, io.stdout, Arc::clone(carried)));
        return Ok(Carriers { outputs, _inputs: inputs });
    }
    if let (Some(stdin), Some(fd)) = (io.stdin, session.stdin) {
        inputs.spawn(feed(stdin, Arc::new(Descriptor::new(fd)?)));
    }
    for (fd, to) in [(session.stdout, io.stdout), (session.stderr, io.stderr)] {
        if let Some(fd) = fd {
            outputs.spawn(drain(Arc::new(Descriptor::new(fd)?), to, Arc::clone(carried)));
        }
    }
    Ok(Carriers { outputs, _inputs: inputs })
}

/// From the client to the program; the end, too.
async fn feed(mut from: StreamReader, to: Arc<Descriptor>) {
    let mut buffer = vec![0; PIECE];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                let piece = buffer.get(..count).unwrap_or_default();
                if to.write_all(piece).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// From the program to the client, to the end. What nobody takes is dropped: a
/// client that closes one stream does not stop the program.
async fn drain(from: Arc<Descriptor>, mut to: Option<StreamWriter>, carried: Arc<Carried>) {
    let mut buffer = vec![0; PIECE];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                let piece = buffer.get(..count).unwrap_or_default();
                carried.pieces.fetch_add(1, Ordering::Relaxed);
                carried.writing.fetch_add(1, Ordering::Relaxed);
                if let Some(client) = &mut to
                    && client.write_all(piece).await.is_err()
                {
                    to = None;
                }
                carried.writing.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

async fn resize(mut sizes: Resizes, terminal: Arc<Descriptor>) {
    while let Some(size) = sizes.next().await {
        // A size that the terminal does not take changes nothing.
        let _ = terminal.resize(size.height, size.width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many outputs are left when [`finish`] has ended, of one that takes
    /// longer than [`QUIET`].
    fn left(writing: u64) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let carried = Carried::default();
            carried.writing.store(writing, Ordering::Relaxed);
            let mut outputs = JoinSet::new();
            outputs.spawn(tokio::time::sleep(QUIET + Duration::from_secs(1)));
            finish(&mut outputs, &carried).await;
            outputs.len()
        })
    }

    #[test]
    fn a_slow_client_gets_all_of_the_output() {
        assert_eq!(left(1), 0);
    }

    #[test]
    fn what_is_held_and_quiet_is_let_go_of() {
        assert_eq!(left(0), 1);
    }
}
