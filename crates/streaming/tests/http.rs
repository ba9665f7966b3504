//! The request that a connection begins with, over real sockets.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "programs/mod.rs"]
mod programs;
#[path = "raw/mod.rs"]
mod raw;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use caisson_streaming::{ServerError, Settings, StreamingServer};
use programs::Programs;
use raw::{Dice, Fixture, impatient, rest};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

fn upgrade(path: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
         X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n"
    )
}

async fn status(fixture: &Fixture, head: &str) -> u16 {
    let (_, answer) = fixture.request(head).await;
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    let address = SocketAddr::from(([0, 0, 0, 0], 0));
    let settings = Settings { address, ..Settings::default() };
    let bound = StreamingServer::bind(settings, Arc::new(Programs::default())).await;
    assert!(matches!(bound, Err(ServerError::NotLoopback(_))));
    let fixture = Fixture::new(Settings::default()).await;
    let settings = Settings { address: fixture.server.address(), ..Settings::default() };
    let bound = StreamingServer::bind(settings, Arc::new(Programs::default())).await;
    let error = bound.expect_err("the port is taken").to_string();
    assert!(error.contains("can't listen on 127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn tokens_open_one_connection_of_their_kind() {
    let fixture = Fixture::new(Settings::default()).await;
    let path = fixture.exec("cat");
    assert_eq!(status(&fixture, &upgrade(&path.replace("/exec/", "/attach/"))).await, 404);
    // What can't be served does not spend it.
    let refused = upgrade(&path).replace("v4.channel", "v9.channel");
    assert_eq!(status(&fixture, &refused).await, 403);
    assert_eq!(status(&fixture, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await, 426);
    assert_eq!(status(&fixture, &upgrade(&path)).await, 101);
    assert_eq!(status(&fixture, &upgrade(&path)).await, 404);
    assert_eq!(status(&fixture, &upgrade("/")).await, 404);
}

#[tokio::test]
async fn channels_need_ports() {
    let fixture = Fixture::new(Settings::default()).await;
    let head = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    };
    assert_eq!(status(&fixture, &head(&fixture.port_forward(&[]))).await, 400);
    assert_eq!(status(&fixture, &head(&fixture.port_forward(&[7; 40]))).await, 400);
    assert_eq!(status(&fixture, &head(&fixture.port_forward(&[7; 39]))).await, 101);
}

#[tokio::test]
async fn slow_and_silent_clients_are_let_go() {
    let fixture = Fixture::new(impatient()).await;
    let mut silent = fixture.connect().await;
    let mut slow = fixture.connect().await;
    slow.write_all(b"POST /exec/x HTTP/1.1\r\nX: ").await.expect("written");
    rest(&mut silent).await;
    rest(&mut slow).await;
}

#[tokio::test]
async fn connections_are_bounded_and_others_wait() {
    let fixture = Fixture::new(Settings { max_connections: 2, ..impatient() }).await;
    let (one, two) = (fixture.connect().await, fixture.connect().await);
    let path = fixture.exec("cat");
    let third = tokio::spawn(async move {
        let status = status(&fixture, &upgrade(&path)).await;
        (fixture, status)
    });
    sleep(Duration::from_millis(100)).await;
    assert!(!third.is_finished());
    drop((one, two));
    let (_fixture, status) = third.await.expect("a task");
    assert_eq!(status, 101);
}

#[tokio::test]
async fn dropping_the_server_ends_all() {
    let Fixture { server, backend } = Fixture::new(Settings::default()).await;
    let fixture = Fixture { server, backend: Arc::clone(&backend) };
    let mut client = fixture.spdy(&fixture.exec("sleep")).await;
    client.open_all().await;
    drop(fixture);
    rest(&mut client.stream).await;
    assert_eq!(backend.running.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn malformed_requests_do_no_harm() {
    let panics = raw::count_panics();
    let fixture = Fixture::new(impatient()).await;
    let mut dice = Dice(0x5eed_0003);
    for _ in 0..400 {
        let mut bytes = match dice.roll(5) {
            0 => dice.bytes(500),
            1 => format!("GET /exec/x HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(dice.roll(9000)))
                .into_bytes(),
            _ => upgrade(&fixture.exec("cat")).into_bytes(),
        };
        dice.spoil(&mut bytes);
        dice.spoil(&mut bytes);
        let mut client = fixture.connect().await;
        // The server may hang up before it has got it all.
        let _ = client.write_all(&bytes).await;
        let _ = client.shutdown().await;
        rest(&mut client).await;
    }
    fixture.idle().await;
    assert_eq!(panics.load(Ordering::SeqCst), 0);
}
