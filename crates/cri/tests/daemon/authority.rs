//! Clients that name the socket's path as the host.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::client::Daemon;

const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(payload);
    frame
}

/// A literal that both sides keep in their tables, as grpc-go sends it.
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut field = name.to_vec();
    field.push(u8::try_from(value.len()).unwrap());
    field.extend_from_slice(value);
    field
}

/// Version, twice on one connection; the kinds of the frames that answer.
fn kinds(daemon: &Daemon, host: &str) -> Vec<u8> {
    let mut stream = UnixStream::connect(&daemon.socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // POST, http.
    let mut block = vec![0x83, 0x86];
    block.extend(literal(&[0x44], b"/runtime.v1.RuntimeService/Version"));
    block.extend(literal(&[0x41], host.as_bytes()));
    block.extend(literal(&[0x5f], b"application/grpc"));
    block.extend(literal(&[0x40, 2, b't', b'e'], b"trailers"));
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    bytes.extend(frame(1, 4, 1, &block));
    bytes.extend(frame(DATA, 1, 1, &[0; 5]));
    // The same by its places in the table, the newest first.
    bytes.extend(frame(1, 4, 3, &[0x83, 0x86, 65 | 0x80, 64 | 0x80, 63 | 0x80, 62 | 0x80]));
    bytes.extend(frame(DATA, 1, 3, &[0; 5]));
    stream.write_all(&bytes).unwrap();
    let mut kinds = Vec::new();
    let mut head = [0; 9];
    while kinds.iter().filter(|kind| **kind == DATA).count() < 2 {
        if stream.read_exact(&mut head).is_err() {
            break;
        }
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        stream.read_exact(&mut vec![0; length]).unwrap();
        kinds.push(head[3]);
        if [RST_STREAM, GOAWAY].contains(&head[3]) {
            break;
        }
    }
    kinds
}

#[test]
fn any_host_will_do() {
    let Some(daemon) = Daemon::start() else { return };
    let path = daemon.socket.display().to_string();
    let escaped = path.replace('/', "%2F");
    for host in ["localhost", &path, &escaped, "unix:///run/x.sock", "[", "a b"] {
        let kinds = kinds(&daemon, host);
        let answers = kinds.iter().filter(|kind| **kind == DATA).count();
        assert_eq!(answers, 2, "{host:?}: {kinds:?}");
    }
}
