//! What clients that send and never read can make the server hold.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "programs/mod.rs"]
mod programs;
#[path = "raw/mod.rs"]
mod raw;

use std::time::Duration;

use caisson_streaming::Settings;
use raw::{Fixture, control, data};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

const CONNECTIONS: usize = 64;
/// Four frames that wait, a frame on its way in each direction, a pipe of 64 KiB
/// for each of three streams, and what allocators and tasks add.
const EACH_KIB: usize = 768;

/// Memory of this process, in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

#[tokio::test]
async fn stalled_connections_hold_little() {
    let fixture = Fixture::new(Settings::default()).await;
    let before = resident();
    let mut clients = Vec::new();
    let frame = data(3, false, &[0; 30_000]);
    // Each answer that is due may wait, too.
    let ping = control(6, 0, &1_u32.to_be_bytes());
    for _ in 0..CONNECTIONS {
        // It writes without end, and does not read.
        let mut client = fixture.spdy(&fixture.exec("endless")).await;
        client.open_all().await;
        for _ in 0..200 {
            let _ = timeout(Duration::from_millis(5), client.stream.write_all(&ping)).await;
        }
        let patience = Duration::from_millis(50);
        while timeout(patience, client.stream.write_all(&frame)).await.is_ok() {}
        clients.push(client.stream);
    }
    let each = resident().saturating_sub(before) / CONNECTIONS;
    println!("{each} KiB for each stalled connection");
    assert!(each < EACH_KIB, "{each} KiB for each connection");
    drop(clients);
}
