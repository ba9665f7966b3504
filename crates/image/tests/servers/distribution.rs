//! Debian's docker-registry.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::have;

/// A running server, ended and removed when dropped.
pub(crate) struct Distribution {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub(crate) host: String,
    _dir: tempfile::TempDir,
}

impl Drop for Distribution {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Distribution {
    /// Plain HTTP, open to all; none if it is not installed.
    pub(crate) fn start() -> Option<Self> {
        Self::with("", "")
    }

    /// `http` and `top` are YAML to go below `http:` (indented) and at the top.
    pub(crate) fn with(http: &str, top: &str) -> Option<Self> {
        if !have("docker-registry") {
            return None;
        }
        for _ in 0..10 {
            let dir = tempfile::tempdir().unwrap();
            let port = free_port();
            let root = dir.path().join("data");
            let config = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n\
                 http:\n  addr: 127.0.0.1:{port}\n{http}\n{top}\n",
                root.display()
            );
            let path = dir.path().join("config.yml");
            std::fs::write(&path, config).unwrap();
            let mut child = Command::new("docker-registry")
                .arg("serve")
                .arg(&path)
                .env("OTEL_TRACES_EXPORTER", "none")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(std::fs::File::create(dir.path().join("log")).unwrap())
                .spawn()
                .unwrap();
            let host = format!("127.0.0.1:{port}");
            let deadline = Instant::now() + Duration::from_secs(30);
            loop {
                if TcpStream::connect(&host).is_ok() && child.try_wait().unwrap().is_none() {
                    return Some(Self { child, host, _dir: dir });
                }
                // Someone else took the port.
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                assert!(Instant::now() < deadline, "docker-registry does not start");
                std::thread::sleep(Duration::from_millis(20));
            }
            let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
            assert!(log.contains("address already in use"), "docker-registry: {log}");
        }
        panic!("no port is free for docker-registry");
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
