//! Exec and attach, once their streams are there.

use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

use crate::activity::Activity;
use crate::backend::{BackendError, ExitCode, ProcessIo, Resizes, StreamBackend, TerminalSize};
use crate::pipe::{StreamReader, pipe};
use crate::requests::{AttachRequest, ExecRequest};
use crate::sender::{Sender, pump};
use crate::settings::Settings;
use crate::status::report;

/// A size in JSON takes 30 bytes or so.
const MAX_SIZE: usize = 1024;

/// What is run.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Exec(ExecRequest),
    Attach(AttachRequest),
}

/// Streams of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamType {
    Stdin,
    Stdout,
    Stderr,
    Error,
    Resize,
}

impl StreamType {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Stdin, Self::Stdout, Self::Stderr, Self::Error, Self::Resize];

    /// WebSocket's number.
    pub(crate) fn channel(self) -> u8 {
        match self {
            Self::Stdin => 0,
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::Error => 3,
            Self::Resize => 4,
        }
    }

    /// SPDY's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Error => "error",
            Self::Resize => "resize",
        }
    }
}

impl Command {
    /// Whether the request has this stream in this version of the protocol.
    pub(crate) fn has(&self, stream: StreamType, version: u8) -> bool {
        let (tty, stdin, stdout, stderr) = match self {
            Self::Exec(r) => (r.tty, r.stdin, r.stdout, r.stderr),
            Self::Attach(r) => (r.tty, r.stdin, r.stdout, r.stderr),
        };
        match stream {
            StreamType::Stdin => stdin,
            StreamType::Stdout => stdout,
            StreamType::Stderr => stderr,
            StreamType::Error => true,
            StreamType::Resize => tty && version >= 3,
        }
    }
}

/// A command's streams, as the protocols give them.
pub(crate) struct CommandStreams<S> {
    pub(crate) stdin: Option<StreamReader>,
    pub(crate) resize: Option<StreamReader>,
    pub(crate) stdout: Option<S>,
    pub(crate) stderr: Option<S>,
    pub(crate) error: S,
}

/// Runs the command to its end and tells the client how it ended.
pub(crate) async fn run<B: StreamBackend, S: Sender>(
    backend: &B,
    command: Command,
    version: u8,
    streams: CommandStreams<S>,
    settings: &Settings,
    activity: &Activity,
) {
    let CommandStreams { stdin, resize, stdout, stderr, mut error } = streams;
    let output = |sender: Option<S>| match sender {
        Some(sender) => {
            let (reader, writer) = pipe(settings.buffer);
            (Some(writer), Some(pump(reader, sender)))
        }
        None => (None, None),
    };
    let (stdout, stdout_pump) = output(stdout);
    let (stderr, stderr_pump) = output(stderr);
    let (sizes, resize) = match resize {
        Some(reader) => {
            let (sizes, resizes) = Resizes::channel();
            (Some(read_sizes(reader, sizes)), Some(resizes))
        }
        None => (None, None),
    };
    let io = ProcessIo { stdin, stdout, stderr, resize };
    let program = async {
        match command {
            Command::Exec(request) => backend.exec(request, io).await,
            Command::Attach(request) => backend.attach(request, io).await.map(|()| ExitCode(0)),
        }
    };
    let pumps = async { tokio::join!(maybe(stdout_pump), maybe(stderr_pump)) };
    let sizes = maybe(sizes);
    tokio::pin!(program, pumps, sizes);
    let (mut pumped, mut sized) = (None, false);
    let end: Result<ExitCode, BackendError> = loop {
        tokio::select! {
            end = &mut program => break end,
            outputs = &mut pumps, if pumped.is_none() => pumped = Some(outputs),
            _ = &mut sizes, if !sized => sized = true,
        }
    };
    activity.touch();
    let (stdout, stderr) = match pumped {
        Some(outputs) => outputs,
        None => tokio::select! {
            outputs = &mut pumps => outputs,
            () = activity.idle_for(settings.drain_timeout) => return,
        },
    };
    // Clients of the first version take the end of an output for the end of
    // all: the status comes before that. Who has gone won't hear it.
    if error.send(&report(version, &end)).await.is_ok() {
        let _ = error.finish().await;
    }
    // An output that the client has closed was lost on the way.
    for output in [stdout, stderr].into_iter().flatten().flatten() {
        let _ = output.finish().await;
    }
}

async fn maybe<F: Future>(future: Option<F>) -> Option<F::Output> {
    match future {
        Some(future) => Some(future.await),
        None => None,
    }
}

/// Reads JSON values, one behind the other, until the end or the first that is
/// no size.
async fn read_sizes(mut from: StreamReader, to: watch::Sender<Option<TerminalSize>>) {
    let mut text = Vec::with_capacity(MAX_SIZE);
    while text.len() < MAX_SIZE {
        if !matches!(from.read_buf(&mut text).await, Ok(1..)) {
            return;
        }
        let mut sizes = serde_json::Deserializer::from_slice(&text).into_iter::<TerminalSize>();
        loop {
            match sizes.next() {
                Some(Ok(size)) => drop(to.send_replace(Some(size))),
                Some(Err(error)) if error.is_eof() => break,
                Some(Err(_)) => return,
                None => break,
            }
        }
        let read = sizes.byte_offset();
        text.drain(..read.min(text.len()));
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn sizes_in_pieces() {
        let (reader, mut writer) = pipe(64);
        let (sender, mut sizes) = Resizes::channel();
        let reading = tokio::spawn(read_sizes(reader, sender));
        writer.write_all(b"{\"Width\":80,\"Hei").await.expect("written");
        writer.write_all(b"ght\":24}\n").await.expect("written");
        assert_eq!(sizes.next().await, Some(TerminalSize { width: 80, height: 24 }));
        let two = b"{\"Width\":1,\"Height\":2}{\"Width\":3,\"Height\":4}";
        writer.write_all(two).await.expect("written");
        drop(writer);
        reading.await.expect("a task");
        assert_eq!(sizes.next().await, Some(TerminalSize { width: 3, height: 4 }));
        assert_eq!(sizes.next().await, None);
    }

    #[tokio::test]
    async fn what_is_no_size_ends_them() {
        for text in ["[]", "{\"Width\":-1,\"Height\":2}", "{\"Width\":70000,\"Height\":2}", "x"] {
            let (reader, mut writer) = pipe(64);
            let (sender, mut sizes) = Resizes::channel();
            writer.write_all(text.as_bytes()).await.expect("written");
            read_sizes(reader, sender).await;
            assert_eq!(sizes.next().await, None, "{text}");
        }
        // A value without an end.
        let (reader, writer) = pipe(64);
        let (sender, _sizes) = Resizes::channel();
        let endless = tokio::spawn(async move {
            let mut writer = writer;
            let _ = writer.write_all(b"{\"Width\":").await;
            while writer.write_all(b"          ").await.is_ok() {}
        });
        read_sizes(reader, sender).await;
        endless.await.expect("the pipe breaks");
    }

    #[test]
    fn resizing_came_with_the_third_version() {
        let exec = ExecRequest { tty: true, stdin: true, ..ExecRequest::default() };
        let command = Command::Exec(exec);
        assert!(!command.has(StreamType::Resize, 2));
        assert!(command.has(StreamType::Resize, 3));
        assert!(!command.has(StreamType::Stderr, 3));
    }
}
