//! A root file system of busybox and compiled programs, and the command on it.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test uses a part of it")]

use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// What a program wrote, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    pub stdout: String,
    pub stderr: String,
    /// Exit code, or 128 plus the signal.
    pub code: i32,
}

impl Ended {
    /// Line by line, so that the first that differs is told, and to the end.
    pub fn assert_like(&self, host: &Ended, name: &str) {
        let lines = self.stdout.lines().zip(host.stdout.lines());
        for (number, (ours, linux)) in (1..).zip(lines) {
            assert_eq!(ours, linux, "{name}: line {number}");
        }
        assert_eq!(self, host, "{name}");
        assert!(self.stdout.ends_with("done\n"), "{name}: {self:?}");
    }
}

/// A folder that is a root file system.
pub struct Sandbox {
    folder: TempDir,
}

/// Whether sandboxes can be made here; says so if not.
pub fn possible() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("left out: not root, so no PID namespace");
    }
    root
}

impl Sandbox {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = Sandbox { folder };
        for name in ["bin", "tmp", "proc", "dev", "etc"] {
            std::fs::create_dir(sandbox.root().join(name)).unwrap();
        }
        std::fs::copy("/bin/busybox", sandbox.root().join("bin/busybox")).unwrap();
        let list = Command::new("/bin/busybox").arg("--list").output().unwrap();
        for applet in String::from_utf8(list.stdout).unwrap().lines() {
            if applet != "busybox" {
                symlink("busybox", sandbox.root().join("bin").join(applet)).unwrap();
            }
        }
        sandbox
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Compiles `tests/programs/<name>.c` into `/bin/<name>`.
    pub fn compile(&self, name: &str, flags: &[&str]) {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
        let output = Command::new("cc")
            .args(["-O1", "-w", "-o"])
            .arg(self.root().join("bin").join(name))
            .arg(source.join(format!("{name}.c")))
            .args(flags)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs a program inside.
    pub fn run(&self, words: &[&str]) -> Ended {
        run_in(self.root(), words)
    }

    /// Runs a program inside, with options of the command.
    pub fn run_with(&self, options: &[&str], words: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_caisson-sentry"));
        command.args(["do", "--env", "PATH=/bin", "--root"]).arg(self.root());
        finish(command.args(options).args(words))
    }

    /// Runs it on the host, in the same root.
    pub fn run_on_host(&self, words: &[&str]) -> Ended {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--net"]);
        let mount = "ip link set lo up && mount -t proc proc \"$0/proc\" && mount --rbind /dev \"$0/dev\" && \
                     root=$0 && exec chroot \"$root\" /bin/env -i PATH=/bin \"$@\"";
        command.args(["sh", "-c", mount]).arg(self.root()).args(words);
        finish(&mut command)
    }

    /// The same, but that the root is that of a mount namespace: who has changed his root
    /// can't make a user namespace.
    pub fn run_on_host_as_root(&self, words: &[&str]) -> Ended {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--net"]);
        let mount = "ip link set lo up && mount --bind \"$0\" \"$0\" && cd \"$0\" && \
                     mount -t proc proc proc && mount --rbind /dev dev && mkdir old && \
                     pivot_root . old && exec /bin/sh -c 'umount -l /old && rmdir /old && \
                     exec env -i PATH=/bin \"$0\" \"$@\"' \"$@\"";
        command.args(["sh", "-c", mount]).arg(self.root()).args(words);
        finish(&mut command)
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.root().join(inside)
    }
}

/// Runs a program inside, with this root.
pub fn run_in(root: &Path, words: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caisson-sentry"));
    command.args(["do", "--env", "PATH=/bin:/usr/bin", "--root"]).arg(root).args(words);
    finish(&mut command)
}

/// Runs a program on the host, with the same variables.
pub fn run_plain(words: &[&str]) -> Ended {
    let mut command = Command::new("env");
    command.args(["-i", "PATH=/bin:/usr/bin"]).args(words).current_dir("/");
    finish(&mut command)
}

/// Waits for the end, with a generous limit: other tests, and others, run at the same time.
pub fn finish(command: &mut Command) -> Ended {
    finish_within(command, 150)
}

/// Waits for the end for so many seconds.
pub fn finish_within(command: &mut Command, seconds: u64) -> Ended {
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let handle = rustix::process::pidfd_open(
        rustix::process::Pid::from_child(&child),
        rustix::process::PidfdFlags::empty(),
    )
    .unwrap();
    let waiter = std::thread::spawn(move || child.wait_with_output().unwrap());
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !waiter.is_finished() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    let late = !waiter.is_finished();
    if late {
        let _ = rustix::process::pidfd_send_signal(&handle, rustix::process::Signal::KILL);
    }
    let output: Output = waiter.join().unwrap();
    let ended = Ended {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap()),
    };
    assert!(!late, "it hangs: {command:?}: {ended:?}");
    ended
}

/// Waits until `found` says something.
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < end, "{what}: not so after 120 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}
