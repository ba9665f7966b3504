//! Clients that follow the streams.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use caisson_shim::client::{Output, Piece};
use caisson_shim::{AttachSpec, OnStall, Status};
use serde_json::json;

use crate::needs_root;
use crate::pod::{PATIENCE, Pod, await_state, eventually, follow};

/// All output of one run.
pub(crate) fn to_end(output: &mut Output) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match output.read().unwrap().expect("the end comes before the connection's") {
            Piece::Stdout(data) => out.extend(data),
            Piece::Stderr(data) => err.extend(data),
            Piece::End => break,
        }
    }
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn who_attaches_before_the_start_misses_nothing() {
    needs_root!();
    let pod = Pod::script("echo out; echo err >&2; head -c 300000 /dev/zero | tr '\\0' y");
    let shim = pod.created();
    let mut both = shim.attach(follow(false)).unwrap();
    let errors_only = AttachSpec { stdout: false, ..follow(false) };
    let mut errors = shim.attach(errors_only).unwrap();
    shim.start().unwrap();
    let (out, err) = to_end(&mut both.output);
    assert_eq!((out.len(), err.as_str()), (300_004, "err\n"));
    assert_eq!(to_end(&mut errors.output), (String::new(), "err\n".to_owned()));
    assert_eq!(both.output.read().unwrap(), None);
}

#[test]
fn input_arrives_and_ends_once() {
    needs_root!();
    let mut pod = Pod::script("cat; echo end");
    pod.container["stdin"] = json!("once");
    let shim = pod.created();
    let mut client = shim.attach(follow(true)).unwrap();
    shim.start().unwrap();
    let input = client.input.clone();
    let long = "z".repeat(500_000);
    let sender = std::thread::spawn(move || {
        input.write(long.as_bytes()).unwrap();
        input.close().unwrap();
    });
    let (out, _) = to_end(&mut client.output);
    sender.join().unwrap();
    assert_eq!(out.len(), 500_004);
    // Leaving is an end, too.
    let mut pod = Pod::script("cat; echo end");
    pod.container["stdin"] = json!("once");
    let shim = pod.started();
    let client = shim.attach(follow(true)).unwrap();
    client.input.write(b"hello\n").unwrap();
    pod.await_log("hello");
    drop(client);
    pod.await_log("end");
}

#[test]
fn open_input_outlives_its_clients() {
    needs_root!();
    let mut pod = Pod::script("cat");
    pod.container["stdin"] = json!("open");
    let shim = pod.started();
    for text in ["first\n", "second\n"] {
        let client = shim.attach(follow(true)).unwrap();
        client.input.write(text.as_bytes()).unwrap();
        pod.await_log(text.trim());
        client.input.close().unwrap();
    }
    assert_eq!(shim.state().unwrap().status, Status::Running);
    await_state(&shim, "all have left", |state| state.attached == 0);
}

#[test]
fn a_client_that_does_not_read_holds_up_whom_it_asked_to() {
    needs_root!();
    let script = "head -c 3000000 /dev/zero | tr '\\0' '\\n'; echo done > /done; cat";
    let mut pod = Pod::script(script);
    pod.container["stdin"] = json!("open");
    pod.container["log"] = json!({"driver": "none"});
    let shim = pod.created();
    let mut waited_for = shim.attach(follow(false)).unwrap();
    shim.start().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(!pod.path("upper/done").exists(), "the output went nowhere");
    assert_eq!(shim.state().unwrap().status, Status::Running);
    let mut read = 0;
    while read < 3_000_000 {
        match waited_for.output.read().unwrap() {
            Some(Piece::Stdout(data)) => read += data.len(),
            other => panic!("{other:?} after {read}"),
        }
    }
    eventually("the container goes on", || pod.path("upper/done").exists());

    let mut pod = Pod::script(script);
    pod.container["stdin"] = json!("open");
    let shim = pod.created();
    let stalled = shim.attach(AttachSpec { on_stall: OnStall::Detach, ..follow(false) }).unwrap();
    shim.start().unwrap();
    eventually("the container goes on", || pod.path("upper/done").exists());
    await_state(&shim, "the client was let go of", |state| state.attached == 0);
    drop(stalled);
}

#[test]
fn the_supervisor_does_not_care_about_malformed_and_stalled_clients() {
    needs_root!();
    let pod = Pod::sleeper();
    let shim = pod.started();
    let path = pod.pod_dir().join("shim.sock");
    let connect = || UnixStream::connect(&path).unwrap();
    let mut stalled: Vec<UnixStream> = (0..20).map(|_| connect()).collect();
    for client in &mut stalled {
        client.write_all(&[200, 0]).unwrap();
    }
    let mut giant = connect();
    giant.write_all(&[255; 64]).unwrap();
    let mut nonsense = connect();
    nonsense.write_all(b"\x07\0\0\0{\"no\":1").unwrap();
    assert_eq!(shim.state().unwrap().status, Status::Running);
    use std::io::Read as _;
    let mut rest = Vec::new();
    let _ = giant.read_to_end(&mut rest);
    assert!(rest.is_empty());
    let mut answer = [0; 4];
    nonsense.read_exact(&mut answer).unwrap();
    // A crowd is told so, and one that leaves makes room.
    let crowd: Vec<UnixStream> = (0..200).map(|_| connect()).collect();
    eventually("it is too much", || {
        shim.state().is_err_and(|error| error.to_string().contains("clients"))
    });
    drop(crowd);
    eventually("there is room again", || shim.state().is_ok());
    assert_eq!(shim.stop(Some(PATIENCE), None).unwrap().code, 7);
}
