//! WebSocket over real sockets: what a client may do, and what it may not.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "programs/mod.rs"]
mod programs;
#[path = "raw/mod.rs"]
mod raw;

use std::sync::atomic::Ordering;
use std::time::Duration;

use caisson_streaming::Settings;
use raw::{Dice, Fixture, PATIENCE, impatient, rest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const V5: &str = "v5.channel.k8s.io";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | u8::try_from(short).expect("short")),
        medium => {
            frame.push(0xfe);
            frame.extend(u16::try_from(medium).expect("medium").to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn message(payload: &[u8]) -> Vec<u8> {
    frame(0x82, payload)
}

/// First byte and payload of the server's next frame.
async fn next(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let read = async {
        let (first, second) = (stream.read_u8().await?, stream.read_u8().await?);
        let length = match second {
            126 => u64::from(stream.read_u16().await?),
            127 => stream.read_u64().await?,
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).expect("short")];
        stream.read_exact(&mut payload).await?;
        std::io::Result::Ok((first, payload))
    };
    timeout(PATIENCE, read).await.expect("a frame in time").expect("a frame")
}

/// The code of the close frame that comes next but for other messages.
async fn close_code(stream: &mut TcpStream) -> u16 {
    loop {
        let (first, payload) = next(stream).await;
        if first == 0x88 {
            return u16::from_be_bytes(payload.try_into().expect("a code"));
        }
    }
}

#[tokio::test]
async fn pieces_pings_and_the_close_signal() {
    let fixture = Fixture::new(Settings::default()).await;
    let mut client = fixture.websocket(&fixture.exec("sum"), V5).await;
    assert_eq!(next(&mut client).await, (0x82, vec![1]));
    let mut bytes = frame(0x02, b"\0a");
    bytes.extend(frame(0x89, b"ping"));
    bytes.extend(frame(0x00, b"b"));
    bytes.extend(frame(0x80, b"c"));
    bytes.extend(message(&[255, 0]));
    client.write_all(&bytes).await.expect("written");
    assert_eq!(next(&mut client).await, (0x8a, b"ping".to_vec()));
    let sum = "\u{1}ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(next(&mut client).await, (0x82, sum.as_bytes().to_vec()));
    let status = "\u{3}{\"metadata\":{},\"status\":\"Success\"}";
    assert_eq!(next(&mut client).await, (0x82, status.as_bytes().to_vec()));
    assert_eq!(next(&mut client).await, (0x88, vec![3, 0xe8]));
    client.write_all(&frame(0x88, &[3, 0xe8])).await.expect("written");
    assert_eq!(rest(&mut client).await, b"");
}

#[tokio::test]
async fn in_the_fourth_version_255_is_a_channel_like_others() {
    let fixture = Fixture::new(impatient()).await;
    let mut client = fixture.websocket(&fixture.exec("cat"), "v4.channel.k8s.io").await;
    client.write_all(&message(&[255, 0])).await.expect("written");
    client.write_all(&message(b"\0text")).await.expect("written");
    assert_eq!(next(&mut client).await, (0x82, vec![1]));
    assert_eq!(next(&mut client).await, (0x82, b"\x01text".to_vec()));
    // Its input ends when the client goes.
    drop(client);
    fixture.idle().await;
}

#[tokio::test]
async fn wrong_frames_are_answered_with_their_code() {
    let cases: [(&str, &[u8], u16); 6] = [
        (V5, &[0x82, 1, 0], 1002),
        (V5, &[0xc2, 0x80, 0, 0, 0, 0], 1002),
        (V5, &[0x80, 0x80, 0, 0, 0, 0], 1002),
        (V5, &[0x82, 0x82, 0, 0, 0, 0, 255, 77], 1002),
        (V5, &[0x88, 0x80, 0, 0, 0, 0], 1000),
        ("v4.base64.channel.k8s.io", &[0x81, 0x82, 0, 0, 0, 0, b'0', b'*'], 1007),
    ];
    for (protocol, bytes, code) in cases {
        let fixture = Fixture::new(impatient()).await;
        let mut client = fixture.websocket(&fixture.exec("sleep"), protocol).await;
        client.write_all(bytes).await.expect("written");
        assert_eq!(close_code(&mut client).await, code, "{bytes:02x?}");
        rest(&mut client).await;
        fixture.idle().await;
    }
}

#[tokio::test]
async fn a_frame_may_be_endless_and_goes_through() {
    let fixture = Fixture::new(impatient()).await;
    let mut client = fixture.websocket(&fixture.exec("cat"), V5).await;
    // Of 2^62 bytes, on channel 0.
    let mut bytes = vec![0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend([b'x'; 5000]);
    client.write_all(&bytes).await.expect("written");
    let mut got = 0;
    while got < 5000 {
        got += next(&mut client).await.1.len() - 1;
    }
    drop(client);
    fixture.idle().await;
}

#[tokio::test]
async fn a_client_that_never_reads_stops_the_program_and_is_let_go() {
    let settings = Settings { idle_timeout: Duration::from_millis(1500), ..impatient() };
    let fixture = Fixture::new(settings).await;
    let _client = fixture.websocket(&fixture.exec("endless"), V5).await;
    sleep(Duration::from_secs(1)).await;
    fixture.idle().await;
    let written = fixture.backend.written.load(Ordering::SeqCst);
    assert!(written > 0 && written < 32 << 20, "{written} bytes");
}

#[tokio::test]
async fn last_output_is_waited_for_but_not_for_ever() {
    let settings = Settings { drain_timeout: Duration::from_secs(2), ..impatient() };
    for patient in [true, false] {
        let fixture = Fixture::new(settings.clone()).await;
        let mut client = fixture.websocket(&fixture.exec("fill"), V5).await;
        sleep(Duration::from_millis(500)).await;
        fixture.idle().await;
        // The program has ended; what it wrote has not been read.
        sleep(if patient { Duration::ZERO } else { Duration::from_millis(2500) }).await;
        let output = rest(&mut client).await;
        let said = output.windows(7).any(|window| window == b"Success");
        assert_eq!(said, patient, "{} bytes", output.len());
    }
}

#[tokio::test]
async fn spdy_in_a_tunnel() {
    let fixture = Fixture::new(Settings::default()).await;
    let path = fixture.port_forward(&[]);
    let mut client = fixture.websocket(&path, "SPDY/3.1+portforward.k8s.io").await;
    // A ping of SPDY in two messages.
    let ping = raw::control(6, 0, &1_u32.to_be_bytes());
    client.write_all(&message(&ping[..5])).await.expect("written");
    client.write_all(&message(&ping[5..])).await.expect("written");
    assert_eq!(next(&mut client).await, (0x82, ping));
    // What is no SPDY ends both.
    client.write_all(&message(b"\x80\x09rubbish")).await.expect("written");
    let (_, go_away) = next(&mut client).await;
    assert_eq!(go_away[..4], [0x80, 3, 0, 7]);
    assert_eq!(next(&mut client).await.0, 0x88);
    client.write_all(&frame(0x88, &[3, 0xe8])).await.expect("written");
    rest(&mut client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn malformed_frames_do_no_harm() {
    let panics = raw::count_panics();
    let fixture = Fixture::new(impatient()).await;
    let mut dice = Dice(0x5eed_0002);
    let protocols =
        [V5, "v4.channel.k8s.io", "base64.channel.k8s.io", "SPDY/3.1+portforward.k8s.io"];
    for round in 0..400 {
        let protocol = protocols[round % 4];
        let path = if round % 4 == 3 { fixture.port_forward(&[]) } else { fixture.exec("cat") };
        let mut client = fixture.websocket(&path, protocol).await;
        let mut bytes = Vec::new();
        for _ in 0..dice.roll(12) {
            let first = [0x82, 0x81, 0x02, 0x80, 0x00, 0x89, 0x8a][dice.roll(7)];
            let mut piece = match dice.roll(8) {
                0 => dice.bytes(64),
                1 => frame(dice.next().to_le_bytes()[0], &dice.bytes(200)),
                2 => message(&[255, dice.next().to_le_bytes()[0] % 6]),
                3 => message(&raw::control(6, 0, &1_u32.to_be_bytes())),
                _ => frame(first, &dice.bytes(2000)),
            };
            if dice.roll(3) == 0 {
                dice.spoil(&mut piece);
            }
            bytes.extend(piece);
        }
        // The server may hang up before it has got it all.
        let _ = client.write_all(&bytes).await;
        let _ = client.shutdown().await;
        rest(&mut client).await;
    }
    fixture.idle().await;
    assert_eq!(panics.load(Ordering::SeqCst), 0);
}
