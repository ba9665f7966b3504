//! Debian's docker-registry on loopback, and a slow way to it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A registry of its own; ends when dropped.
pub(crate) struct Registry {
    child: Child,
    pub(crate) port: u16,
}

impl Registry {
    /// Starts one with its storage below `folder`; `auth` is added to its
    /// configuration. `None`, with a line that says so, where it is not
    /// installed.
    pub(crate) fn start(folder: &Path, auth: &str) -> Option<Self> {
        let port = free_port();
        let config = folder.join("registry.yml");
        let storage = folder.join("registry");
        std::fs::create_dir_all(&storage).unwrap();
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n{auth}",
            storage.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdin(Stdio::null());
        let child = match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => child,
            Err(error) => {
                eprintln!("left out: docker-registry: {error}");
                return None;
            }
        };
        let registry = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "docker-registry does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A port on which nobody listens now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A port that leads to `port`, where answers come `chunk` bytes at a time,
/// with a pause after each. It serves until the test's process ends.
pub(crate) fn slow_way(port: u16, chunk: usize, pause: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (there, back) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || copy(there, server, 1 << 16, Duration::ZERO));
            std::thread::spawn(move || copy(back, client, chunk, pause));
        }
    });
    own
}

fn copy(mut from: TcpStream, mut to: TcpStream, chunk: usize, pause: Duration) {
    let mut buffer = vec![0; chunk];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
        std::thread::sleep(pause);
    }
    // The other side may have gone first.
    let _ = (to.shutdown(Shutdown::Write), from.shutdown(Shutdown::Read));
}
