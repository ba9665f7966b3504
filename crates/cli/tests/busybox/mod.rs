//! The real program with a busybox image, and with the supervisor beside it.
#![allow(dead_code, reason = "each test uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;

use crate::caisson::{Caisson, Ran};

/// Whether containers can be run here; says so if not.
pub(crate) fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("left out: needs root");
    }
    root
}

/// Builds the supervisor where Cargo has not: a test of this package alone
/// does not ask for it.
fn supervisor() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let beside = Path::new(env!("CARGO_BIN_EXE_caisson")).with_file_name("caisson-shim");
        if !beside.exists() {
            let built = Command::new(env!("CARGO"))
                .args(["build", "-q", "-p", "caisson-shim", "--bins"])
                .status();
            assert!(built.unwrap().success() && beside.exists());
        }
    });
}

/// A caisson that has the image `busybox`: its tools, `/etc/passwd` with `www`
/// (33, also in `video`, 44), and `/data/seed`.
pub(crate) fn caisson() -> Caisson {
    supervisor();
    let caisson = Caisson::new();
    let archive = archive(&caisson);
    caisson.run(&["load", "-q", "-i", archive.to_str().unwrap()]);
    caisson
}

/// The archive of that image.
pub(crate) fn archive(caisson: &Caisson) -> PathBuf {
    let work = caisson.path("busybox");
    let tree = work.join("tree");
    for dir in ["bin", "etc", "data", "root", "home/www"] {
        std::fs::create_dir_all(tree.join(dir)).unwrap();
    }
    let path = std::env::var_os("PATH").unwrap();
    let busybox = std::env::split_paths(&path).map(|dir| dir.join("busybox")).find(|p| p.exists());
    let busybox = busybox.expect("busybox-static is installed (scripts/test.sh)");
    std::fs::copy(&busybox, tree.join("bin/busybox")).unwrap();
    let tools = Command::new(&busybox).arg("--list").output().unwrap();
    for tool in String::from_utf8(tools.stdout).unwrap().lines().filter(|tool| *tool != "busybox") {
        std::fs::hard_link(tree.join("bin/busybox"), tree.join("bin").join(tool)).unwrap();
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/home/www:/bin/sh\n";
    std::fs::write(tree.join("etc/passwd"), passwd).unwrap();
    std::fs::write(tree.join("etc/group"), "root:x:0:\nwww:x:33:\nvideo:x:44:www\n").unwrap();
    std::fs::write(tree.join("data/seed"), "seeded\n").unwrap();
    let tar = |archive: &Path, dir: &Path, files: &[&str]| {
        let status = Command::new("tar")
            .args(["--owner=0", "--group=0", "--mtime=@0", "-C"])
            .arg(dir)
            .arg("-cf")
            .arg(archive)
            .args(files)
            .status();
        assert!(status.unwrap().success());
    };
    let layer = work.join("layer.tar");
    tar(&layer, &tree, &["bin", "etc", "data", "root", "home"]);
    let sum = Command::new("sha256sum").arg(&layer).output().unwrap();
    let digest = String::from_utf8(sum.stdout).unwrap();
    let digest = digest.split(' ').next().unwrap();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Env":["PATH=/bin","FROM=image"],
        "Cmd":["sh"],"Labels":{{"kind":"test"}}}},
        "rootfs":{{"type":"layers","diff_ids":["sha256:{digest}"]}}}}"#
    );
    std::fs::write(work.join("config.json"), config).unwrap();
    let manifest =
        r#"[{"Config":"config.json","RepoTags":["busybox:latest"],"Layers":["layer.tar"]}]"#;
    std::fs::write(work.join("manifest.json"), manifest).unwrap();
    let archive = caisson.path("busybox.tar");
    tar(&archive, &work, &["manifest.json", "config.json", "layer.tar"]);
    archive
}

/// Nothing of any container is left: no directory, process or cgroup.
pub(crate) fn assert_nothing_left(caisson: &Caisson) {
    let mut left = Vec::new();
    for _ in 0..100 {
        left.clear();
        for dir in ["state/containers", "run/pods", "run/native"] {
            let entries = std::fs::read_dir(caisson.path(dir)).into_iter().flatten().flatten();
            left.extend(entries.map(|entry| entry.path()));
        }
        if left.is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("left: {left:?}");
}

/// A network namespace of our own, with loopback up.
pub(crate) struct OwnNetwork {
    holder: Child,
}

impl OwnNetwork {
    pub(crate) fn new() -> Self {
        let holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up && echo ready && exec sleep 600"])
            .stdout(Stdio::piped())
            .spawn();
        let mut holder = holder.unwrap();
        let mut line = String::new();
        let mut out = std::io::BufReader::new(holder.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { holder }
    }

    /// The same command, in this network.
    pub(crate) fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net=/proc/{}/ns/net", self.holder.id()));
        inside.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            inside.env(name, value.unwrap_or_default());
        }
        inside
    }

    /// Runs caisson in it; it must succeed.
    pub(crate) fn run(&self, caisson: &Caisson, args: &[&str]) -> String {
        let ran = Ran::from(self.inside(&caisson.command(args)).output().unwrap());
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.stdout
    }
}

impl Drop for OwnNetwork {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
