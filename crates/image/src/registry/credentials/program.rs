//! The protocol of `docker-credential-*` programs: `get` as argument, the server
//! on standard input, JSON on standard output.

use std::io::{Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Credential, CredentialError};

/// The longest answer.
const MAX_ANSWER: u64 = 64 << 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks `docker-credential-<name>` who the user is at `server`; none if it does
/// not know. It is ended after `limit`.
pub(super) fn get(
    name: &str,
    server: &str,
    limit: Duration,
) -> Result<Option<Credential>, CredentialError> {
    let failed = |why: String| CredentialError::Helper {
        helper: name.chars().take(100).collect(),
        server: server.to_owned(),
        why,
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > 100 || !name.bytes().all(plain) {
        return Err(failed("its name is no word".to_owned()));
    }
    let mut child = Command::new(format!("docker-credential-{name}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(format!("can't be started ({error}): is it in PATH?")))?;
    let exchanged = exchange(&mut child, server, limit);
    if exchanged.is_err() {
        // What remains of it must not outlive the question.
        let _ = child.kill();
        let _ = child.wait();
    }
    let (status, output) = exchanged.map_err(failed)?;
    if !status.success() {
        // The protocol has no code for "unknown", only this sentence.
        let text = String::from_utf8_lossy(&output);
        if text.contains("credentials not found") {
            return Ok(None);
        }
        let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
        return Err(failed(format!("{status}: {text}")));
    }
    let answer: Answer = serde_json::from_slice(&output)
        .map_err(|_| failed("its answer is no JSON with Username and Secret".to_owned()))?;
    if answer.secret.is_empty() {
        return Ok(None);
    }
    Ok(Some(if answer.username == "<token>" {
        Credential::IdentityToken(answer.secret)
    } else {
        Credential::Basic { username: answer.username, password: answer.secret }
    }))
}

fn exchange(
    child: &mut Child,
    server: &str,
    limit: Duration,
) -> Result<(ExitStatus, Vec<u8>), String> {
    let deadline = Instant::now() + limit;
    let too_slow = || format!("no answer within {limit:?}");
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("has no pipes".to_owned());
    };
    // A pipe holds so short a text; a helper that does not read it is no error.
    let _ = stdin.write_all(server.as_bytes());
    drop(stdin);
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut output = Vec::new();
        let read = stdout.take(MAX_ANSWER + 1).read_to_end(&mut output);
        let _ = sender.send(read.map(|_| output));
    });
    let output = receiver
        .recv_timeout(limit)
        .map_err(|_| too_slow())?
        .map_err(|error| format!("its answer can't be read: {error}"))?;
    if output.len() as u64 > MAX_ANSWER {
        return Err(format!("its answer is longer than {MAX_ANSWER} bytes"));
    }
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok((status, output)),
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(2)),
            Ok(None) => return Err(too_slow()),
            Err(error) => return Err(format!("can't be waited for: {error}")),
        }
    }
}
