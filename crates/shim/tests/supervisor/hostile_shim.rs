//! Shims that lie, hang or talk nonsense: the supervisor says what is wrong,
//! harms nobody, and nothing is left.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;

use caisson_containerd::protobuf::Writer;
use caisson_containerd::ttrpc::{Call, response, take_frame};
use caisson_shim::client::LaunchFds;
use serde_json::json;

use crate::needs_root;
use crate::pod::{Pod, is_rootless, shim};

/// A pod whose shim's program is this shell script.
fn pod(script: &str) -> Option<Pod> {
    if is_rootless() {
        return None;
    }
    let mut pod = Pod::sleeper();
    let program = pod.path("containerd-shim-hostile-v1");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    pod.config["isolator"] = json!("shim");
    pod.config["shim"] = shim(&program, &pod.path("runtime"));
    pod.config["state_root"] = json!(pod.path("pod/shim"));
    pod.config["step_limit_ms"] = json!(9000);
    Some(pod)
}

/// What the launcher hears; nothing is left.
fn refused(pod: &Pod) -> String {
    let error = pod.launch_with(&LaunchFds::default()).unwrap_err().to_string();
    pod.await_gone();
    pod.await_clean();
    error
}

/// A script that starts a shim which listens where a thread of ours does, and
/// answers each call as `answer` says: with bytes for the connection, or not.
fn served(
    name: &str,
    answer: impl Fn(&Call, u32) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let socket: PathBuf = dir.path().join(name);
    let listener = UnixListener::bind(&socket).unwrap();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || serve(stream, &*answer));
        }
    });
    (dir, format!("[ \"$9\" = start ] || exit 1; echo unix://{}", socket.display()))
}

/// Serves one connection until its caller leaves.
fn serve(mut stream: UnixStream, answer: &dyn Fn(&Call, u32) -> Option<Vec<u8>>) {
    let (mut incoming, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut chunk) {
            Ok(count @ 1..) => incoming.extend(&chunk[..count]),
            _ => return,
        }
        while let Ok(Some(frame)) = take_frame(&mut incoming) {
            let call = Call::parse(&frame.data).unwrap();
            if let Some(bytes) = answer(&call, frame.stream) {
                let _ = stream.write_all(&bytes);
            }
        }
    }
}

#[test]
fn what_is_no_shim_is_told() {
    needs_root!();
    for (script, word) in [
        ("exit 3", "exit status 3"),
        ("echo it is broken >&2; exit 1", "it is broken"),
        ("echo unix:///no/such/socket", "/no/such/socket"),
        ("echo", "no address"),
        (r#"echo '{"version":3,"address":"unix:///x","protocol":"grpc"}'"#, "grpc"),
        (r#"echo '{"version":9,"address":"unix:///x","protocol":"ttrpc"}'"#, "version 9"),
        ("head -c 3000000 /dev/zero", "longer than 1 MiB"),
    ] {
        let Some(pod) = pod(script) else { return };
        let error = refused(&pod);
        assert!(error.contains(word), "{script}: {error}");
    }
}

#[test]
fn one_that_hangs_is_given_up() {
    needs_root!();
    let Some(starting) = pod("exec sleep 1000") else { return };
    let error = refused(&starting);
    assert!(error.contains("did not end within"), "{error}");
    let (_dir, script) = served("mute", |_, _| None);
    let mute = pod(&script).unwrap();
    let error = refused(&mute);
    assert!(error.contains("did not end within"), "{error}");
}

#[test]
fn nonsense_is_called_so() {
    needs_root!();
    if is_rootless() {
        return;
    }
    let (_dir, script) = served("nonsense", |_, _| Some(vec![0xff; 4096]));
    let error = refused(&pod(&script).unwrap());
    assert!(error.contains("malformed"), "{error}");
}

#[test]
fn a_number_that_it_gives_is_not_believed() {
    needs_root!();
    if is_rootless() {
        return;
    }
    // It says that the container's process, and its own, are a process of ours.
    let mut victim = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = u64::from(victim.id());
    let (_dir, script) = served("liar", move |call, stream| {
        let payload = match call.method.as_str() {
            "Create" | "Connect" => Writer::default().number(1, pid).done(),
            "State" => Writer::default().number(3, pid).number(4, 1).done(),
            // Nobody waits: the stand-in hears no end.
            "Wait" => return None,
            _ => Vec::new(),
        };
        Some(response(stream, Ok(&payload)))
    });
    let mut pod = pod(&script).unwrap();
    pod.config["step_limit_ms"] = json!(30_000);
    let launched = pod.launch_with(&LaunchFds::default());
    drop(launched);
    pod.await_gone();
    assert!(victim.try_wait().unwrap().is_none(), "somebody has killed a stranger");
    victim.kill().unwrap();
    victim.wait().unwrap();
}
