//! Bytes that are no request.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use caisson_cri::v1;

use crate::client::Daemon;

/// A small generator: the same bytes in each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| u8::try_from(self.next() & 0xff).unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_leaves_the_daemon_well() {
    let Some(daemon) = Daemon::start() else { return };
    let mut numbers = Numbers(7);
    for round in 0..300 {
        let mut stream = UnixStream::connect(&daemon.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut bytes = Vec::new();
        if round % 4 != 0 {
            bytes.extend(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
            bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        }
        for _ in 0..numbers.next() % 8 {
            let length = numbers.next() % 64;
            let payload = numbers.bytes(usize::try_from(length).unwrap());
            bytes.extend([0, 0, u8::try_from(length).unwrap()]);
            let (kind, flags) = (numbers.next() % 11, numbers.next() % 256);
            bytes.extend([u8::try_from(kind).unwrap(), u8::try_from(flags).unwrap()]);
            bytes.extend([0, 0, 0, u8::try_from(numbers.next() % 4).unwrap()]);
            bytes.extend(payload);
        }
        // The other side may have had enough already.
        let _ = stream.write_all(&bytes);
        let _ = stream.read(&mut [0; 4096]);
    }
    // Requests that are well framed, and nonsense inside.
    for call in ["RunPodSandbox", "CreateContainer", "ListContainers", "ExecSync"] {
        for _ in 0..50 {
            let count = usize::try_from(numbers.next() % 100).unwrap();
            let body = numbers.bytes(count);
            daemon.raw(&format!("/runtime.v1.RuntimeService/{call}"), &body).await;
        }
    }
    let path = "/runtime.v1.RuntimeService/Version";
    let answer: v1::VersionResponse =
        daemon.call(path, &v1::VersionRequest::default()).await.unwrap();
    assert_eq!(answer.runtime_name, "caisson");
}
