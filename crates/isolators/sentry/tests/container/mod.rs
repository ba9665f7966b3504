//! Bundles and containers for tests of the command line.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::sandbox::{Ended, Sandbox, finish};

/// A container, removed with all that it has when dropped.
pub struct Container {
    pub sandbox: Sandbox,
    pub bundle: TempDir,
    pub id: String,
    /// Where the runtime keeps its state.
    root: PathBuf,
}

impl Container {
    /// With a bundle for `words`, which `change` has the last word on.
    pub fn new(words: &[&str], change: impl FnOnce(&mut Value)) -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::SeqCst);
        let id = format!("sentry-test-{}-{number}", std::process::id());
        let (sandbox, bundle) = (Sandbox::new(), tempfile::tempdir().unwrap());
        let mount = |kind: &str, at: &str| json!({"type": kind, "source": kind, "destination": at});
        let mut config = json!({
            "ociVersion": "1.3.0",
            "root": {"path": sandbox.root()},
            "hostname": "box",
            "process": {
                "args": words, "cwd": "/", "user": {"uid": 0, "gid": 0},
                "env": ["PATH=/bin"],
            },
            "mounts": [mount("proc", "/proc"), mount("tmpfs", "/dev"), mount("tmpfs", "/tmp")],
            "linux": {
                "cgroupsPath": format!("/{id}"),
                "namespaces": [
                    {"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"},
                    {"type": "network"},
                ],
            },
        });
        change(&mut config);
        std::fs::write(bundle.path().join("config.json"), config.to_string()).unwrap();
        let root = bundle.path().join("state");
        Container { sandbox, bundle, id, root }
    }

    /// The same, of which the runtime knows as of this one.
    #[must_use]
    pub fn beside(mut self, other: &Container) -> Self {
        self.root.clone_from(&other.root);
        self
    }

    /// Where the runtime keeps its state.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A command of the runtime, with words behind the container's name.
    pub fn command(&self, words: &[&str], behind: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_caisson-sentry"));
        command.arg("--root").arg(&self.root);
        command.args(words).arg(&self.id).args(behind).current_dir(self.bundle.path());
        command
    }

    pub fn call(&self, words: &[&str], behind: &[&str]) -> Ended {
        finish(&mut self.command(words, behind))
    }

    /// Calls the runtime, which must succeed.
    pub fn does(&self, words: &[&str], behind: &[&str]) {
        let ended = self.call(words, behind);
        assert_eq!(ended.code, 0, "{words:?} {behind:?}: {}", ended.stderr);
    }

    /// Makes it, with nobody to read what it writes.
    pub fn create(&self) {
        let mut command = self.command(&["create"], &[]);
        let null = std::process::Stdio::null;
        let status = command.stdin(null()).stdout(null()).stderr(null()).status().unwrap();
        assert!(status.success());
    }

    pub fn state(&self) -> Value {
        let ended = self.call(&["state"], &[]);
        serde_json::from_str(&ended.stdout).unwrap_or(Value::Null)
    }

    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Runs a program inside.
    pub fn exec(&self, words: &[&str]) -> Ended {
        self.call(&["exec"], words)
    }

    /// Its cgroup directories.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
        let below = hierarchies.map(|hierarchy| hierarchy.path().join(&self.id));
        let own = Path::new("/sys/fs/cgroup").join(&self.id);
        below.chain([own]).filter(|path| path.exists()).collect()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.command(&["delete", "--force"], &[]).output();
    }
}
