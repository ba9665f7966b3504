//! A daemon with a directory of its own, and a client that says what it likes.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use caisson_cri::ServeOptions;
use caisson_node::paths::{Identity, Paths};
use caisson_node::settings::Settings;
use caisson_node::{Engine, EngineOptions};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tempfile::TempDir;
use tokio::net::UnixStream;

/// A daemon in this process. It ends with it.
pub(crate) struct Daemon {
    pub(crate) temp: TempDir,
    pub(crate) socket: PathBuf,
}

impl Daemon {
    pub(crate) fn engine(temp: &TempDir) -> Engine {
        Self::engine_with(temp, |_| {})
    }

    fn engine_with(temp: &TempDir, change: impl FnOnce(&mut Settings)) -> Engine {
        let (root, run) = (temp.path().join("root"), temp.path().join("run"));
        let paths = Paths::choose(Some(root), Some(run), Identity::System, &|_| None).unwrap();
        let mut settings = Settings::default();
        settings.serve.log_level = Some("error".to_owned());
        change(&mut settings);
        let (rootless, exit_command) = (false, Vec::new());
        Engine::open(EngineOptions { paths, settings, rootless, exit_command }).unwrap()
    }

    /// None, and a word about it, without root.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(|_| {})
    }

    /// With other settings.
    pub(crate) fn start_with(change: impl FnOnce(&mut Settings)) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("left out: the daemon needs root");
            return None;
        }
        let temp = tempfile::tempdir().unwrap();
        let socket = temp.path().join("cri.sock");
        let engine = Self::engine_with(&temp, change);
        let options = ServeOptions { engine, settings_file: None, socket: Some(socket.clone()) };
        std::thread::spawn(move || caisson_cri::serve(options).unwrap());
        let until = Instant::now() + Duration::from_secs(30);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < until, "the daemon does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { temp, socket })
    }

    /// One call, as grpc frames it: the code, the error's text, the message.
    pub(crate) async fn raw(&self, path: &str, body: &[u8]) -> (i32, String, Bytes) {
        self.raw_with(path, body, &[]).await
    }

    /// With more metadata.
    pub(crate) async fn raw_with(
        &self,
        path: &str,
        body: &[u8],
        metadata: &[(&str, &str)],
    ) -> (i32, String, Bytes) {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut framed = BytesMut::new();
        framed.put_u8(0);
        framed.put_u32(u32::try_from(body.len()).unwrap());
        framed.put_slice(body);
        let request = hyper::Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let with = |request: hyper::http::request::Builder, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        let request = metadata.iter().fold(request, with).body(Full::new(framed.freeze())).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = match head.headers.contains_key("grpc-status") {
            true => None,
            // A stream that does not end is good as it is.
            false => tokio::time::timeout(Duration::from_secs(2), body.collect()).await.ok(),
        };
        let collected = body.map(Result::unwrap);
        let trailers = collected.as_ref().and_then(|c| c.trailers()).cloned();
        let status = trailers.unwrap_or(head.headers);
        let text = |name: &str| {
            status.get(name).map_or_else(String::new, |v| v.to_str().unwrap().to_owned())
        };
        let code = text("grpc-status").parse().unwrap_or(0);
        let message = collected.map_or_else(Bytes::new, http_body_util::Collected::to_bytes);
        let message = if message.len() > 5 { message.slice(5..) } else { Bytes::new() };
        (code, text("grpc-message").replace("%20", " ").replace("%22", "\""), message)
    }

    pub(crate) async fn call<Q: Message, A: Message + Default>(
        &self,
        path: &str,
        request: &Q,
    ) -> Result<A, (i32, String)> {
        let (code, text, message) = self.raw(path, &request.encode_to_vec()).await;
        if code == 0 { Ok(A::decode(message).unwrap()) } else { Err((code, text)) }
    }
}
