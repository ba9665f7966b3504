//! SPDY over real sockets: what a client may do, and what it may not.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "programs/mod.rs"]
mod programs;
#[path = "raw/mod.rs"]
mod raw;

use std::sync::atomic::Ordering;
use std::time::Duration;

use caisson_streaming::Settings;
use raw::{Dice, Fixture, Frame, PATIENCE, control, data, impatient, rest};
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

const SUCCESS: &str = r#"{"metadata":{},"status":"Success"}"#;

#[tokio::test]
async fn input_comes_back_and_the_status_is_told() {
    let fixture = Fixture::new(Settings::default()).await;
    let mut client = fixture.spdy(&fixture.exec("cat")).await;
    client.open_all().await;
    client.send(&data(3, false, b"some ")).await;
    client.send(&data(3, true, b"text")).await;
    let (mut text, mut status) = (Vec::new(), Vec::new());
    let mut ended = Vec::new();
    while ended.len() < 3 {
        match client.next().await.expect("a frame") {
            Frame::Data { stream, fin, payload } => {
                match stream {
                    5 => text.extend(payload),
                    1 => status.extend(payload),
                    _ => assert!(payload.is_empty()),
                }
                if fin {
                    ended.push(stream);
                }
            }
            other @ Frame::Control { .. } => panic!("{other:?}"),
        }
    }
    assert_eq!(text, b"some text");
    assert_eq!(String::from_utf8(status).expect("text"), SUCCESS);
    fixture.idle().await;
}

#[tokio::test]
async fn pings_are_answered_and_others_ignored() {
    let fixture = Fixture::new(Settings::default()).await;
    let mut client = fixture.spdy(&fixture.exec("sleep")).await;
    client.send(&control(6, 0, &2_u32.to_be_bytes())).await;
    client.send(&control(6, 0, &7_u32.to_be_bytes())).await;
    let pong = Frame::Control { kind: 6, payload: 7_u32.to_be_bytes().to_vec() };
    assert_eq!(client.next().await, Some(pong));
}

#[tokio::test]
async fn streams_that_make_no_sense_are_reset() {
    let fixture = Fixture::new(Settings::default()).await;
    let mut client = fixture.spdy(&fixture.exec("sleep")).await;
    for (id, name) in [(1, "nonsense"), (3, "resize"), (5, "")] {
        client.open(id, &[("streamtype", name)]).await;
        let reset = client.next().await.expect("an answer");
        assert!(matches!(reset, Frame::Control { kind: 3, .. }), "{name}: {reset:?}");
    }
    client.open(7, &[("streamtype", "stdin")]).await;
    assert!(matches!(client.next().await, Some(Frame::Control { kind: 2, .. })));
    client.open(9, &[("streamtype", "stdin")]).await;
    assert!(matches!(client.next().await, Some(Frame::Control { kind: 3, .. })));
}

#[tokio::test]
async fn missing_streams_are_named() {
    let fixture = Fixture::new(impatient()).await;
    let mut client = fixture.spdy(&fixture.exec("sleep")).await;
    client.open(1, &[("streamtype", "error")]).await;
    client.open(3, &[("streamtype", "stdout")]).await;
    let status = String::from_utf8(client.data_of(1).await).expect("text");
    assert!(status.contains("timed out waiting for the streams stdin, stderr"), "{status}");
}

#[tokio::test]
async fn too_many_streams_are_refused() {
    let settings = Settings { max_streams: 4, ..Settings::default() };
    let fixture = Fixture::new(settings).await;
    let mut client = fixture.spdy(&fixture.port_forward(&[])).await;
    let mut answers = Vec::new();
    for i in 0..6_u32 {
        let id = i.to_string();
        client.open(2 * i + 1, &[("streamtype", "error"), ("port", "7"), ("requestid", &id)]).await;
        match client.next().await {
            Some(Frame::Control { kind, payload }) => answers.push((kind, payload.last().copied())),
            other => panic!("{other:?}"),
        }
    }
    assert!(answers[..4].iter().all(|(kind, _)| *kind == 2), "{answers:?}");
    // REFUSED_STREAM.
    assert_eq!(answers[4..], [(3, Some(3)), (3, Some(3))]);
    // One that the client gives up makes room.
    client.send(&control(3, 0, &[0, 0, 0, 1, 0, 0, 0, 5])).await;
    client.open(21, &[("streamtype", "error"), ("port", "7"), ("requestid", "9")]).await;
    assert!(matches!(client.next().await, Some(Frame::Control { kind: 2, .. })));
}

#[tokio::test]
async fn windows_bind_whoever_speaks_of_them() {
    let fixture = Fixture::new(Settings::default()).await;
    let mut client = fixture.spdy(&fixture.exec("yield 100000")).await;
    // SETTINGS: an initial window of 1,000.
    client.send(&control(4, 0, &[0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 3, 0xe8])).await;
    client.open_all().await;
    let mut got = 0;
    let mut collect = async |client: &mut raw::Spdy, until: usize| {
        while got < until {
            match client.next().await.expect("a frame") {
                Frame::Data { stream: 5, payload, .. } => got += payload.len(),
                Frame::Data { .. } | Frame::Control { .. } => {}
            }
        }
        assert_eq!(got, until);
        let more = timeout(Duration::from_millis(100), client.stream.peek(&mut [0])).await;
        assert!(more.is_err(), "the server sends on");
    };
    collect(&mut client, 1000).await;
    client.send(&control(9, 0, &[0, 0, 0, 5, 0, 0, 1, 0xf4])).await;
    collect(&mut client, 1500).await;
    // The stream may go on; the connection's own window is 64 KiB.
    client.send(&control(9, 0, &[0, 0, 0, 0, 0, 0, 0, 1])).await;
    client.send(&control(9, 0, &[0, 0, 0, 5, 0, 1, 0, 0])).await;
    collect(&mut client, 65537).await;
}

#[tokio::test]
async fn we_ask_for_more_when_we_have_taken() {
    let fixture = Fixture::new(Settings::default()).await;
    let mut client = fixture.spdy(&fixture.exec("sum")).await;
    client.open_all().await;
    client.send(&data(3, false, &[0; 40_000])).await;
    let mut asked = Vec::new();
    while asked.len() < 2 {
        if let Some(Frame::Control { kind: 9, payload }) = client.next().await {
            asked.push(payload[3]);
        }
    }
    asked.sort_unstable();
    assert_eq!(asked, [0, 3]);
}

#[tokio::test]
async fn a_client_that_reads_late_loses_no_answer() {
    let fixture = Fixture::new(Settings::default()).await;
    let mut client = fixture.spdy(&fixture.exec("both-ways")).await;
    client.open_all().await;
    // We would ask for more 600 times, and nobody reads it.
    let frame = data(3, false, &[0; 32 * 1024]);
    for _ in 0..300 {
        client.send(&frame).await;
    }
    client.open(9, &[("streamtype", "stdin")]).await;
    let refused = Frame::Control { kind: 3, payload: vec![0, 0, 0, 9, 0, 0, 0, 5] };
    let answered = async {
        while let Some(frame) = client.next().await {
            if frame == refused {
                return;
            }
        }
        panic!("no answer before the end");
    };
    timeout(PATIENCE, answered).await.expect("an answer in time");
}

#[tokio::test]
async fn a_client_that_never_reads_stops_the_program_and_is_let_go() {
    let settings = Settings { idle_timeout: Duration::from_millis(1500), ..impatient() };
    let fixture = Fixture::new(settings).await;
    let mut client = fixture.spdy(&fixture.exec("endless")).await;
    client.open_all().await;
    let mut before = 0;
    let mut still = 0;
    while still < 5 {
        sleep(Duration::from_millis(100)).await;
        let now = fixture.backend.written.load(Ordering::SeqCst);
        still = if now == before { still + 1 } else { 0 };
        before = now;
        // What sockets hold is the kernel's.
        assert!(now < 32 << 20, "{now} bytes and no end");
    }
    fixture.idle().await;
}

#[tokio::test]
async fn a_program_that_never_reads_stops_the_client() {
    let fixture = Fixture::new(impatient()).await;
    let mut client = fixture.spdy(&fixture.exec("sleep")).await;
    client.open_all().await;
    let frame = data(3, false, &[0; 30_000]);
    let mut sent = 0;
    while timeout(Duration::from_millis(500), client.stream.write_all(&frame)).await.is_ok() {
        sent += frame.len();
        assert!(sent < 32 << 20, "{sent} bytes and no end");
    }
    // It vanishes behind all that.
    drop(client);
    fixture.idle().await;
}

#[tokio::test]
async fn outputs_that_the_client_closes_break() {
    let fixture = Fixture::new(Settings::default()).await;
    let mut client = fixture.spdy(&fixture.exec("endless")).await;
    client.open_all().await;
    client.send(&control(3, 0, &[0, 0, 0, 5, 0, 0, 0, 5])).await;
    let status = String::from_utf8(client.data_of(1).await).expect("text");
    assert!(status.contains("broken pipe"), "{status}");
    fixture.idle().await;
}

#[tokio::test]
async fn half_of_a_pair_is_told_after_a_while() {
    let fixture = Fixture::new(impatient()).await;
    let mut client = fixture.spdy(&fixture.port_forward(&[])).await;
    client.open(1, &[("streamtype", "error"), ("port", "7"), ("requestid", "0")]).await;
    let text = String::from_utf8(client.data_of(1).await).expect("text");
    assert!(text.contains("timed out"), "{text}");
    // Old clients name no request.
    client.open(3, &[("streamtype", "error"), ("port", "7")]).await;
    client.open(5, &[("streamtype", "data"), ("port", "7")]).await;
    client.send(&data(5, true, b"echo")).await;
    assert_eq!(client.data_of(5).await, b"echo");
}

#[tokio::test]
async fn whoever_asks_and_does_not_listen_is_let_go() {
    let fixture = Fixture::new(Settings::default()).await;
    let mut client = fixture.spdy(&fixture.exec("sleep")).await;
    let pings: Vec<u8> = (0..1000).flat_map(|_| control(6, 0, &1_u32.to_be_bytes())).collect();
    let flood = async {
        loop {
            // Ends when the server has hung up.
            if client.stream.write_all(&pings).await.is_err() {
                break;
            }
        }
    };
    assert!(timeout(PATIENCE, flood).await.is_ok(), "the flood is never stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn malformed_frames_do_no_harm() {
    let panics = raw::count_panics();
    let fixture = Fixture::new(impatient()).await;
    let mut dice = Dice(0x5eed_0001);
    for round in 0..400 {
        let path = if round % 2 == 0 { fixture.exec("cat") } else { fixture.port_forward(&[]) };
        let mut client = fixture.spdy(&path).await;
        let mut bytes = Vec::new();
        for i in 0..dice.roll(12) {
            let id = u32::try_from(2 * i + 1).expect("small");
            let mut frame = match dice.roll(10) {
                0 => dice.bytes(64),
                1 => data(id, dice.roll(2) == 0, &dice.bytes(2000)),
                2 => {
                    let payload = dice.bytes(40);
                    control(
                        dice.next().to_le_bytes()[0] % 12,
                        dice.next().to_le_bytes()[0],
                        &payload,
                    )
                }
                3 => control(9, 0, &[0, 0, 0, 5, 0x7f, 0xff, 0xff, 0xff]),
                4 => control(4, 0, &[0, 0, 0, 1, 0, 0, 0, 7, 0x80, 0, 0, 0]),
                5 => {
                    client.opening(id, &[("streamtype", "data"), ("port", "7"), ("requestid", "x")])
                }
                _ => {
                    let names = ["error", "stdin", "stdout", "stderr", "data"];
                    client.opening(id, &[("streamtype", names[i % 5]), ("port", "7")])
                }
            };
            if dice.roll(3) == 0 {
                dice.spoil(&mut frame);
            }
            bytes.extend(frame);
        }
        // The server may hang up before it has got it all.
        let _ = client.stream.write_all(&bytes).await;
        let _ = client.stream.shutdown().await;
        rest(&mut client.stream).await;
    }
    fixture.idle().await;
    assert_eq!(panics.load(Ordering::SeqCst), 0);
}
