//! A client that can do all that a client should not.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::sync::Arc;
use std::time::Duration;

use caisson_streaming::{ExecRequest, PortForwardRequest, Settings, StreamingServer};
use flate2::{Compress, Compression, FlushCompress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::programs::Programs;

/// Long enough for a loaded machine; a test that needs it has hung.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Fixture {
    pub(crate) server: StreamingServer,
    pub(crate) backend: Arc<Programs>,
}

pub(crate) fn impatient() -> Settings {
    Settings {
        creation_timeout: Duration::from_millis(300),
        handshake_timeout: Duration::from_millis(500),
        vanished_grace: Duration::from_millis(100),
        drain_timeout: Duration::from_millis(500),
        ..Settings::default()
    }
}

impl Fixture {
    pub(crate) async fn new(settings: Settings) -> Self {
        let backend = Arc::new(Programs::default());
        let server = StreamingServer::bind(settings, Arc::clone(&backend)).await.expect("a server");
        Self { server, backend }
    }

    /// The path of an address for an exec with stdin, stdout and stderr.
    pub(crate) fn exec(&self, command: &str) -> String {
        let command = command.split(' ').map(str::to_owned).collect();
        let container = "c".to_owned();
        let (stdin, stdout, stderr) = (true, true, true);
        let request = ExecRequest { container, command, tty: false, stdin, stdout, stderr };
        self.path(&self.server.exec(request).expect("an address"))
    }

    pub(crate) fn port_forward(&self, ports: &[i32]) -> String {
        let request = PortForwardRequest { pod: "p".to_owned(), ports: ports.to_vec() };
        self.path(&self.server.port_forward(request).expect("an address"))
    }

    fn path(&self, url: &str) -> String {
        let base = format!("http://{}", self.server.address());
        url.strip_prefix(&base).expect("our address").to_owned()
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.address()).await.expect("a connection")
    }

    /// Sends a request; returns the answer's head.
    pub(crate) async fn request(&self, head: &str) -> (TcpStream, String) {
        let mut stream = self.connect().await;
        stream.write_all(head.as_bytes()).await.expect("written");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let byte = timeout(PATIENCE, stream.read_u8()).await.expect("an answer in time");
            match byte {
                Ok(byte) => answer.push(byte),
                Err(_) => break,
            }
        }
        (stream, String::from_utf8(answer).expect("text"))
    }

    pub(crate) async fn spdy(&self, path: &str) -> Spdy {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
             Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\
             X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n"
        );
        let (stream, answer) = self.request(&head).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        Spdy { stream, compress: Compress::new(Compression::fast(), true) }
    }

    pub(crate) async fn websocket(&self, path: &str, protocol: &str) -> TcpStream {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: {protocol}\r\n\r\n"
        );
        let (stream, answer) = self.request(&head).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        stream
    }

    /// Waits until nothing runs.
    pub(crate) async fn idle(&self) {
        let running = || self.backend.running.load(std::sync::atomic::Ordering::SeqCst);
        let idle = async {
            while running() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(timeout(PATIENCE, idle).await.is_ok(), "{} still run", running());
    }
}

/// Reads to the end, in time; errors are an end, too.
pub(crate) async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "the server does not hang up");
    rest
}

/// A connection that speaks SPDY.
pub(crate) struct Spdy {
    pub(crate) stream: TcpStream,
    compress: Compress,
}

/// A frame that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Data { stream: u32, fin: bool, payload: Vec<u8> },
    Control { kind: u16, payload: Vec<u8> },
}

pub(crate) fn control(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80, 3, 0, kind, flags];
    frame.extend(&u32::try_from(payload.len()).expect("short").to_be_bytes()[1..]);
    frame.extend(payload);
    frame
}

pub(crate) fn data(stream: u32, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = stream.to_be_bytes().to_vec();
    frame.push(u8::from(fin));
    frame.extend(&u32::try_from(payload.len()).expect("short").to_be_bytes()[1..]);
    frame.extend(payload);
    frame
}

impl Spdy {
    pub(crate) async fn send(&mut self, frame: &[u8]) {
        self.stream.write_all(frame).await.expect("written");
    }

    /// The frame that opens a stream.
    pub(crate) fn opening(&mut self, id: u32, headers: &[(&str, &str)]) -> Vec<u8> {
        let length = |text: &str| u32::try_from(text.len()).expect("short").to_be_bytes();
        let mut plain = u32::try_from(headers.len()).expect("few").to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            plain.extend(length(text));
            plain.extend(text.bytes());
        }
        let mut block = Vec::with_capacity(plain.len() + 100);
        self.compress.compress_vec(&plain, &mut block, FlushCompress::Sync).expect("a block");
        let mut payload = id.to_be_bytes().to_vec();
        payload.extend([0; 6]);
        payload.extend(block);
        control(1, 0, &payload)
    }

    pub(crate) async fn open(&mut self, id: u32, headers: &[(&str, &str)]) {
        let frame = self.opening(id, headers);
        self.send(&frame).await;
    }

    /// Opens error (1), stdin (3), stdout (5) and stderr (7).
    pub(crate) async fn open_all(&mut self) {
        for (id, name) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")] {
            self.open(id, &[("streamtype", name)]).await;
            let reply = self.next().await.expect("a reply");
            assert!(matches!(reply, Frame::Control { kind: 2, .. }), "{reply:?}");
        }
    }

    /// The next frame; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        timeout(PATIENCE, self.frame()).await.expect("a frame in time")
    }

    async fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 8];
        self.stream.read_exact(&mut head).await.ok()?;
        let [a, b, c, d, flags, x, y, z] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, x, y, z]) as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some(if a & 0x80 == 0 {
            let stream = u32::from_be_bytes([a, b, c, d]);
            Frame::Data { stream, fin: flags & 1 != 0, payload }
        } else {
            Frame::Control { kind: u16::from_be_bytes([c, d]), payload }
        })
    }

    /// All data of a stream up to its end.
    pub(crate) async fn data_of(&mut self, wanted: u32) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(frame) = self.next().await {
            if let Frame::Data { stream, fin, payload } = frame
                && stream == wanted
            {
                all.extend(payload);
                if fin {
                    break;
                }
            }
        }
        all
    }
}

/// Numbers that look like chance and are the same each time.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `sides`.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        usize::try_from(self.next() % sides as u64).expect("below sides")
    }

    pub(crate) fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.roll(most + 1)).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// Changes, cuts or doubles some of it.
    pub(crate) fn spoil(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.roll(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.roll(bytes.len());
            match self.roll(4) {
                0 => bytes[at] = self.next().to_le_bytes()[0],
                1 => bytes[at] ^= 1 << self.roll(8),
                2 => bytes.truncate(at),
                _ => {
                    let piece = bytes[at..].to_vec();
                    bytes.extend(piece.iter().take(20));
                }
            }
        }
    }
}

/// Counts panics from now on: the runtime would swallow them.
pub(crate) fn count_panics() -> &'static std::sync::atomic::AtomicUsize {
    static PANICS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        before(info);
    }));
    &PANICS
}
