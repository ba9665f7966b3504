//! A server with the programs of the tests, for clients that others wrote
//! (conformance/streaming). For each line of JSON on its input it prints an
//! address; it leaves when its input ends.

#[path = "../tests/programs/mod.rs"]
mod programs;

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use caisson_streaming::{
    AttachRequest, ExecRequest, PortForwardRequest, Settings, StreamingServer,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Line {
    kind: String,
    command: Vec<String>,
    ports: Vec<i32>,
    tty: bool,
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

fn answer(server: &StreamingServer, backend: &programs::Programs, line: &str) -> String {
    let line: Line = match serde_json::from_str(line) {
        Ok(line) => line,
        Err(error) => return format!("error: {error}"),
    };
    let Line { kind, command, ports, tty, stdin, stdout, stderr } = line;
    let url = match kind.as_str() {
        "exec" => {
            let container = "container".to_owned();
            server.exec(ExecRequest { container, command, tty, stdin, stdout, stderr })
        }
        "attach" => {
            let container = command.join(" ");
            server.attach(AttachRequest { container, tty, stdin, stdout, stderr })
        }
        "portforward" => server.port_forward(PortForwardRequest { pod: "pod".to_owned(), ports }),
        // How many programs run.
        "running" => return backend.running.load(Ordering::SeqCst).to_string(),
        other => return format!("error: unknown kind {other}"),
    };
    url.unwrap_or_else(|error| format!("error: {error}"))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let backend = Arc::new(programs::Programs::default());
    let settings =
        Settings { vanished_grace: std::time::Duration::from_secs(1), ..Settings::default() };
    let server = runtime.block_on(StreamingServer::bind(settings, Arc::clone(&backend)))?;
    for line in std::io::stdin().lock().lines() {
        println!("{}", answer(&server, &backend, &line?));
    }
    Ok(())
}
