//! Bundles for tests that drive the real binary, and what is left of them.
//!
//! Needs root and `/bin/busybox` (Debian: busybox-static). A [`Bundle`] has a
//! state root, a root file system and a configuration of its own, below a
//! temporary directory; dropping it deletes its containers and fails the test
//! if a cgroup stays.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "every test program uses a part of it"
)]

mod census;
mod outcome;
mod process;

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use census::{Census, cgroups_named};
pub use outcome::Ended;
pub use process::{eventually, proc_field};

/// The program under test.
pub const RUNTIME: &str = env!("CARGO_BIN_EXE_caisson-native");
/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(150);

/// A bundle with one container's name.
pub struct Bundle {
    dir: tempfile::TempDir,
    /// The container's name, unique on this host.
    pub id: String,
    /// What becomes `config.json`.
    pub config: Value,
    /// Global flags beside `--root`.
    pub globals: Vec<String>,
    /// Further environment of the runtime.
    pub env: Vec<(String, String)>,
    /// Shell commands that are run before the runtime, in private mount and
    /// network namespaces; `$B` is the bundle's directory.
    pub prelude: Option<String>,
    calls: AtomicU32,
    ids: RefCell<Vec<String>>,
}

/// A name that no other test and no other run of the tests uses.
pub fn unique_id() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let nanos = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    format!("ct{}-{count}-{nanos:x}", std::process::id())
}

fn applets() -> &'static [String] {
    static APPLETS: OnceLock<Vec<String>> = OnceLock::new();
    APPLETS.get_or_init(|| {
        let list = Command::new("/bin/busybox").arg("--list").output();
        let list = list.expect("these tests need /bin/busybox: apt-get install busybox-static");
        String::from_utf8(list.stdout).unwrap().lines().map(str::to_owned).collect()
    })
}

impl Bundle {
    /// A bundle whose program ends at once with 0.
    pub fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests need root");
        let dir = tempfile::Builder::new().prefix("caisson-test-").tempdir().unwrap();
        // Users of a container's user namespace have to come through.
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let mut bundle = Self {
            dir,
            id: unique_id(),
            config: default_config(),
            globals: Vec::new(),
            env: Vec::new(),
            prelude: None,
            calls: AtomicU32::new(0),
            ids: RefCell::new(Vec::new()),
        };
        bundle.ids.borrow_mut().push(bundle.id.clone());
        bundle.config["process"]["env"] = json!(["PATH=/bin", format!("CONTAINER={}", bundle.id)]);
        bundle.make_rootfs();
        bundle
    }

    /// A bundle whose program is this text for busybox's shell.
    pub fn script(text: &str) -> Self {
        let mut bundle = Self::new();
        bundle.config["process"]["args"] = json!(["sh", "-c", text]);
        bundle
    }

    /// A bundle whose program runs until it is killed.
    pub fn sleeper() -> Self {
        Self::script("trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done")
    }

    fn make_rootfs(&self) {
        let rootfs = self.rootfs();
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp", "root", "mnt"] {
            std::fs::create_dir_all(rootfs.join(name)).unwrap();
        }
        std::fs::set_permissions(rootfs.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
        let copied = std::fs::copy("/bin/busybox", rootfs.join("bin/busybox"));
        copied.expect("these tests need /bin/busybox: apt-get install busybox-static");
        for applet in applets().iter().filter(|name| *name != "busybox") {
            symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
        }
        std::fs::write(
            rootfs.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:u:/home/user:/bin/sh\n",
        )
        .unwrap();
    }

    /// The bundle's directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The root file system as the host sees it.
    pub fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    /// The value of `--root`.
    pub fn state_root(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Where the container's state lies.
    pub fn state_dir(&self) -> PathBuf {
        self.state_root().join(&self.id)
    }

    /// Makes `config.json` from `config`.
    pub fn write_config(&self) {
        let text = serde_json::to_vec_pretty(&self.config).unwrap();
        std::fs::write(self.path().join("config.json"), text).unwrap();
    }

    /// Adds a mount.
    pub fn mount(&mut self, mount: Value) {
        self.config["mounts"].as_array_mut().unwrap().push(mount);
    }

    /// Leaves out the namespaces of this type.
    pub fn without_namespace(&mut self, kind: &str) {
        let list = self.config["linux"]["namespaces"].as_array_mut().unwrap();
        list.retain(|namespace| namespace["type"] != kind);
    }

    /// Asks for a namespace, in the place of one of this type.
    pub fn namespace(&mut self, kind: &str, path: Option<&str>) {
        self.without_namespace(kind);
        let mut namespace = json!({"type": kind});
        if let Some(path) = path {
            namespace["path"] = json!(path);
        }
        self.config["linux"]["namespaces"].as_array_mut().unwrap().push(namespace);
    }

    /// Puts the container into a user namespace whose ids 0 to 65535 are
    /// `host` and up, and gives it the root file system.
    pub fn user_namespace(&mut self, host: u32) {
        self.namespace("user", None);
        let map = json!([{"containerID": 0, "hostID": host, "size": 65536}]);
        self.config["linux"]["uidMappings"] = map.clone();
        self.config["linux"]["gidMappings"] = map;
        let owner = format!("{host}:{host}");
        let done = Command::new("chown").args(["-R", &owner]).arg(self.rootfs()).status();
        assert!(done.unwrap().success());
    }

    /// Gives all five capability sets these capabilities.
    pub fn capabilities(&mut self, names: &[&str]) {
        let sets = ["bounding", "effective", "inheritable", "permitted", "ambient"];
        for set in sets {
            self.config["process"]["capabilities"][set] = json!(names);
        }
    }

    /// The runtime with its global flags and these arguments.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = match &self.prelude {
            None => Command::new(RUNTIME),
            Some(prelude) => {
                let mut command = Command::new("unshare");
                let script = format!("set -e\n{prelude}\nexec \"$@\"");
                command.args(["-mn", "sh", "-c", &script, "sh", RUNTIME]).env("B", self.path());
                command
            }
        };
        command.arg("--root").arg(self.state_root()).args(&self.globals).args(args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end. Its output, and that of processes that
    /// outlive it, goes to files.
    pub fn finish(&self, mut command: Command) -> Ended {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let out = self.path().join(format!("call-{call}.out"));
        let err = self.path().join(format!("call-{call}.err"));
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let mut child = command.spawn().expect("start the runtime");
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                let said = std::fs::read_to_string(&err).unwrap_or_default();
                panic!("{command:?} hangs; it said {said:?}");
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        Ended::new(format!("{command:?}"), status, out, err)
    }

    /// Runs the runtime with these arguments to its end.
    pub fn call(&self, args: &[&str]) -> Ended {
        self.finish(self.command(args))
    }

    /// `run`, in the foreground, with `config.json` written first.
    pub fn run(&self) -> Ended {
        self.run_with(&[])
    }

    /// `run` with further flags.
    pub fn run_with(&self, flags: &[&str]) -> Ended {
        self.launch("run", flags)
    }

    /// `create`, with `config.json` written first. The container's own output
    /// is that of the value returned.
    pub fn create(&self) -> Ended {
        self.create_with(&[])
    }

    /// `create` with further flags.
    pub fn create_with(&self, flags: &[&str]) -> Ended {
        self.launch("create", flags)
    }

    fn launch(&self, command: &str, flags: &[&str]) -> Ended {
        self.write_config();
        let bundle = self.path().to_str().unwrap();
        let mut args = vec![command, "--bundle", bundle];
        args.extend(flags);
        args.push(&self.id);
        self.call(&args)
    }

    /// Creates and starts; both have to succeed. Returns `create`'s outcome,
    /// whose output is the container's.
    #[track_caller]
    pub fn started(&self) -> Ended {
        let created = self.create().ok();
        self.start().ok();
        created
    }

    /// `start`.
    pub fn start(&self) -> Ended {
        self.call(&["start", &self.id])
    }

    /// `kill` with a signal.
    pub fn kill(&self, signal: &str) -> Ended {
        self.call(&["kill", &self.id, signal])
    }

    /// `delete`.
    pub fn delete(&self) -> Ended {
        self.call(&["delete", &self.id])
    }

    /// `exec` of a command.
    pub fn exec(&self, command: &[&str]) -> Ended {
        self.exec_with(&[], command)
    }

    /// `exec` with flags.
    pub fn exec_with(&self, flags: &[&str], command: &[&str]) -> Ended {
        let mut args = vec!["exec"];
        args.extend(flags);
        args.push(&self.id);
        args.extend(command);
        self.call(&args)
    }

    /// The state document.
    #[track_caller]
    pub fn state(&self) -> Value {
        let ended = self.call(&["state", &self.id]).ok();
        serde_json::from_str(&ended.stdout()).unwrap()
    }

    /// The word for the container's state.
    #[track_caller]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    /// The first process's id.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        self.state()["pid"].as_i64().unwrap().try_into().unwrap()
    }

    /// Waits until the container is in this state.
    #[track_caller]
    pub fn await_status(&self, wanted: &str) {
        eventually(&format!("status {wanted}"), || self.status() == wanted);
    }

    /// A further name to be cleaned up after.
    pub fn also(&self, id: &str) {
        self.ids.borrow_mut().push(id.to_owned());
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let mut left = Vec::new();
        for id in self.ids.borrow().iter() {
            if self.state_root().join(id).exists() {
                let deleted = self.command(&["delete", "--force", id]).output().unwrap();
                if !deleted.status.success() {
                    left.push(String::from_utf8_lossy(&deleted.stderr).into_owned());
                }
            }
            left.extend(cgroups_named(id).iter().map(|path| path.display().to_string()));
            census::remove_cgroups(id);
        }
        if std::thread::panicking() {
            eprintln!("left behind: {left:?}");
        } else {
            assert!(left.is_empty(), "left behind: {left:?}");
        }
    }
}

fn default_config() -> Value {
    let caps = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    json!({
        "ociVersion": "1.3.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["true"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs"},
        "hostname": "caisson",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
                "options": ["nosuid", "noexec", "nodev", "ro"]}
        ],
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"},
                {"type": "mount"}, {"type": "cgroup"}
            ]
        }
    })
}
