//! Running the command line from a test.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The variable that makes the test program the runtime.
pub(crate) const AS_RUNTIME: &str = "CAISSON_FAKE_RUNTIME";

/// A state directory and a bundle; what still runs is killed on drop.
pub(crate) struct Program {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) root: PathBuf,
    pub(crate) bundle: PathBuf,
}

impl Program {
    /// With a bundle whose process is `sh -c script`.
    pub(crate) fn new(script: &str) -> Self {
        Self::with(script, false)
    }

    pub(crate) fn with(script: &str, terminal: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (root, bundle) = (dir.path().join("root"), dir.path().join("bundle"));
        std::fs::create_dir_all(bundle.join("rootfs")).unwrap();
        let config = serde_json::json!({
            "ociVersion": "1.3.0",
            "process": {
                "terminal": terminal,
                "user": {"uid": 0, "gid": 0},
                "args": ["sh", "-c", script],
                "env": ["PATH=/usr/bin:/bin", "COLOUR=blue"],
                "cwd": "/",
            },
            "root": {"path": "rootfs"},
            "annotations": {"org.example.key": "value"},
            "linux": {"namespaces": [{"type": "mount"}]},
        });
        std::fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        Self { dir, root, bundle }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The runtime with `--root` and these arguments, not run yet.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(AS_RUNTIME, "1").env_remove("NOTIFY_SOCKET");
        command.arg("--root").arg(&self.root).args(args);
        command.current_dir(&self.bundle).stdin(Stdio::null());
        command
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs it detached from this test's pipes, which containers inherit.
    pub(crate) fn quiet<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        let log = std::fs::File::create(self.path("stderr")).unwrap();
        let status = self.command(args).stdout(Stdio::null()).stderr(log).status().unwrap();
        let stderr = std::fs::read(self.path("stderr")).unwrap();
        Output { status, stdout: Vec::new(), stderr }
    }

    /// Runs it and expects success; what it printed.
    pub(crate) fn ok<S: AsRef<OsStr>>(&self, args: &[S]) -> String {
        let output = self.run(args);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// As `ok`, for commands that leave a process behind.
    pub(crate) fn quiet_ok<S: AsRef<OsStr>>(&self, args: &[S]) {
        let output = self.quiet(args);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
    }

    /// Runs it and expects failure with this code; what it complained about.
    pub(crate) fn fails<S: AsRef<OsStr>>(&self, expected: i32, args: &[S]) -> String {
        let output = self.quiet(args);
        assert_eq!(code(&output), expected, "{}", stderr(&output));
        stderr(&output)
    }

    /// What the engine noted about `id`.
    pub(crate) fn calls(&self, id: &str) -> String {
        std::fs::read_to_string(self.root.join(id).join("calls")).unwrap_or_default()
    }

    pub(crate) fn state(&self, id: &str) -> serde_json::Value {
        serde_json::from_str(&self.ok(&["state", id])).unwrap()
    }

    pub(crate) fn exists(&self, id: &str) -> bool {
        self.root.join(id).exists()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let Ok(entries) = std::fs::read_dir(&self.root) else { return };
        for entry in entries.flatten() {
            self.quiet(&[OsStr::new("delete"), OsStr::new("--force"), &entry.file_name()]);
        }
    }
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until `condition` holds; fails after ten seconds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("still not: {what}");
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
