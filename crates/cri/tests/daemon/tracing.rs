//! Traces, as a collector on loopback gets them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use caisson_cri::v1;
use prost::Message as _;

use crate::client::Daemon;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What is looked at of OTLP, by numbers of its own.
mod otlp {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Request {
        #[prost(message, repeated, tag = "1")]
        pub(super) resources: Vec<Resource>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Resource {
        #[prost(message, repeated, tag = "2")]
        pub(super) scopes: Vec<Scope>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Scope {
        #[prost(message, repeated, tag = "2")]
        pub(super) spans: Vec<Span>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) trace: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) id: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")]
        pub(super) parent: Vec<u8>,
        #[prost(string, tag = "5")]
        pub(super) name: String,
        #[prost(int32, tag = "6")]
        pub(super) kind: i32,
        #[prost(fixed64, tag = "7")]
        pub(super) began: u64,
        #[prost(fixed64, tag = "8")]
        pub(super) ended: u64,
        #[prost(message, optional, tag = "15")]
        pub(super) status: Option<Status>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Status {
        #[prost(string, tag = "2")]
        pub(super) message: String,
        #[prost(int32, tag = "3")]
        pub(super) code: i32,
    }
}

/// Takes spans until nobody listens any more.
fn collector() -> (SocketAddr, Receiver<otlp::Span>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (spans, received) = channel();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            if !take(stream, &spans) {
                break;
            }
        }
    });
    (address, received)
}

fn take(stream: TcpStream, spans: &Sender<otlp::Span>) -> bool {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_ascii_lowercase());
    }
    assert_eq!(head[0], "post /v1/traces http/1.1");
    assert!(head.contains(&"content-type: application/x-protobuf".to_owned()), "{head:?}");
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    let request = otlp::Request::decode(body.as_slice()).unwrap();
    let mut all = request.resources.into_iter().flat_map(|r| r.scopes).flat_map(|s| s.spans);
    all.all(|span| spans.send(span).is_ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_its_operation_and_its_steps_continue_the_clients_trace() {
    let (address, received) = collector();
    let Some(daemon) = Daemon::start_with(|settings| {
        settings.tracing.endpoint = Some(format!("http://{address}"));
        // Only what belongs to a trace.
        settings.tracing.sampling_per_million = Some(0);
    }) else {
        return;
    };
    let metadata = v1::PodSandboxMetadata {
        name: "traced".to_owned(),
        uid: "u1".to_owned(),
        namespace: "n".to_owned(),
        attempt: 0,
    };
    // The operation fails at its first step, before anything is made.
    let cgroup_parent = "none\nsuch".to_owned();
    let linux = v1::LinuxPodSandboxConfig { cgroup_parent, ..v1::LinuxPodSandboxConfig::default() };
    let config = v1::PodSandboxConfig {
        metadata: Some(metadata),
        linux: Some(linux),
        ..v1::PodSandboxConfig::default()
    };
    let request =
        v1::RunPodSandboxRequest { config: Some(config), ..v1::RunPodSandboxRequest::default() };
    let version = "/runtime.v1.RuntimeService/Version";
    assert_eq!(daemon.raw(version, &[]).await.0, 0);
    let path = "/runtime.v1.RuntimeService/RunPodSandbox";
    let (code, text, _) =
        daemon.raw_with(path, &request.encode_to_vec(), &[("traceparent", PARENT)]).await;
    assert!(code != 0 && text.contains("cgroup_parent"), "{code} {text}");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(daemon.temp.path().to_str().unwrap()), "{mounts}");

    let until = Instant::now() + Duration::from_secs(30);
    let mut spans: Vec<otlp::Span> = Vec::new();
    while !spans.iter().any(|span| span.kind == 2) {
        let left = until.saturating_duration_since(Instant::now());
        spans.push(received.recv_timeout(left).expect("the call's span"));
    }
    let call = spans.iter().find(|span| span.kind == 2).unwrap();
    assert_eq!(call.name, "runtime.v1.RuntimeService/RunPodSandbox");
    assert_eq!(call.parent, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    let status = call.status.as_ref().unwrap();
    assert!(status.code == 2 && status.message.contains("cgroup_parent"), "{status:?}");
    // Version belongs to no trace.
    assert!(spans.iter().all(|span| span.trace == call.trace && span.trace[0] == 0x4b));
    let below = |parent: &[u8]| -> Vec<&otlp::Span> {
        spans.iter().filter(|span| span.parent == parent).collect()
    };
    let [operation] = below(&call.id)[..] else { panic!("{spans:?}") };
    assert_eq!((operation.name.as_str(), operation.status.as_ref().unwrap().code), ("run pod", 2));
    let steps = below(&operation.id);
    assert!(steps.iter().any(|step| step.name == "plan"), "{steps:?}");
    assert_eq!(spans.len(), 2 + steps.len());
    for (outer, inner) in
        [(call, operation)].into_iter().chain(steps.iter().map(|step| (operation, *step)))
    {
        assert!(outer.began <= inner.began && inner.began <= inner.ended, "{outer:?} {inner:?}");
        assert!(inner.ended <= outer.ended, "{outer:?} {inner:?}");
    }
}
