//! A pod as a node would make it, and what is left of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use caisson_shim::client::{
    ClientError, Container, LaunchError, LaunchFds, Launched, Shim, collect, connect, exit_record,
    is_alive, launch,
};
use caisson_shim::{AttachSpec, ContainerConfig, ExitRecord, OnStall, State};
use serde_json::{Value, json};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_caisson-shim");
/// Names another runtime, by its absolute path, to run all of this with.
pub(crate) const RUNTIME_VARIABLE: &str = "CAISSON_TEST_RUNTIME";
/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// A pod. Dropping it removes it and fails the test if something stays.
pub(crate) struct Pod {
    dir: tempfile::TempDir,
    pub(crate) id: String,
    /// What becomes `shim.json`, beside its only container.
    pub(crate) config: Value,
    /// The container, if the pod starts with one.
    pub(crate) container: Value,
    /// What becomes `config.json`.
    pub(crate) spec: Value,
}

/// A read-only layer with busybox in it, for all tests.
fn base_layer() -> &'static Path {
    static LAYER: OnceLock<PathBuf> = OnceLock::new();
    LAYER.get_or_init(|| {
        // Test programs leave it to the next: it is always the same.
        let layer = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("busybox-layer");
        if layer.exists() {
            return layer;
        }
        let new = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep();
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
            fs::create_dir_all(new.join(name)).unwrap();
        }
        fs::copy("/bin/busybox", new.join("bin/busybox"))
            .expect("these tests need /bin/busybox: apt-get install busybox-static");
        let list = Command::new("/bin/busybox").arg("--list").output().unwrap().stdout;
        for applet in String::from_utf8(list).unwrap().lines().filter(|name| *name != "busybox") {
            symlink("busybox", new.join("bin").join(applet)).unwrap();
        }
        if fs::rename(&new, &layer).is_err() {
            fs::remove_dir_all(&new).unwrap();
        }
        layer
    })
}

/// Whether all of this runs with a shim that others made.
pub(crate) fn is_foreign_shim() -> bool {
    let runtime = std::env::var_os(RUNTIME_VARIABLE).unwrap_or_default();
    let name = Path::new(&runtime).file_name().unwrap_or_default();
    name.to_string_lossy().starts_with("containerd-shim-")
}

/// The part of `shim.json` for a shim that others made, with runc behind it.
pub(crate) fn shim(program: &Path, root: &Path) -> Value {
    let options = json!({"BinaryName": "/usr/sbin/runc", "Root": root});
    let options = caisson_containerd::options::encode(&serde_json::from_value(options).unwrap());
    let address = root.join("no-daemon.sock");
    json!({
        "program": program, "namespace": "test", "address": address, "options": options.unwrap(),
    })
}

impl Pod {
    /// A pod whose program is this text for busybox's shell.
    pub(crate) fn script(text: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let nanos = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
        let id = format!("shim{}-{count}-{nanos:x}", std::process::id());
        let dir = tempfile::Builder::new().prefix("caisson-shim-").tempdir().unwrap();
        for name in ["pod/bundle", "layer", "upper", "work", "native"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("layer/from-layer"), "hello").unwrap();
        let path = |name: &str| dir.path().join(name);
        let config = json!({
            "id": id, "isolator": "native", "state_root": path("native"),
        });
        let mut container = json!({
            "id": id,
            "rootfs": {"overlay": {
                "lowers": [path("layer"), base_layer()], "upper": [path("upper"), path("work")],
            }},
            "log": {"driver": "json-file", "path": path("log"), "max_size": 0, "max_files": 1},
        });
        let mut spec = default_spec();
        spec["process"]["args"] = json!(["sh", "-c", text]);
        spec["process"]["env"] = json!(["PATH=/bin", format!("POD={id}")]);
        let mut config = config;
        if let Some(runtime) = std::env::var_os(RUNTIME_VARIABLE) {
            let runtime = PathBuf::from(runtime);
            if is_foreign_shim() {
                config["isolator"] = json!("shim");
                config["shim"] = shim(&runtime, &path("runtime"));
                config["state_root"] = json!(path("pod/shim"));
            } else {
                config["isolator"] = json!("oci");
                config["oci"] = json!({"program": runtime, "root": path("runtime")});
            }
        }
        if is_rootless() {
            container["rootfs"]["overlay"]["userxattr"] = json!(true);
        } else {
            spec["linux"]["cgroupsPath"] = json!(format!("/{id}"));
        }
        Self { dir, id, config, container, spec }
    }

    /// A pod that starts without containers.
    pub(crate) fn empty() -> Self {
        let mut pod = Self::script("");
        pod.container = Value::Null;
        pod.config["linger"] = json!(true);
        pod
    }

    /// A pod whose program runs until SIGTERM.
    pub(crate) fn sleeper() -> Self {
        Self::script("trap 'exit 7' TERM; echo up; while :; do sleep 1000 & wait $!; done")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn pod_dir(&self) -> PathBuf {
        self.path("pod")
    }

    pub(crate) fn with_terminal(mut self) -> Self {
        self.spec["process"]["terminal"] = json!(true);
        self
    }

    pub(crate) fn write(&self) {
        let write = |name: &str, value: &Value| {
            fs::write(self.pod_dir().join(name), serde_json::to_vec(value).unwrap()).unwrap();
        };
        let mut config = self.config.clone();
        if !self.container.is_null() {
            config["containers"] = json!([self.container]);
        }
        write("shim.json", &config);
        write("bundle/config.json", &self.spec);
    }

    pub(crate) fn launch_with(&self, fds: &LaunchFds<'_>) -> Result<Launched, LaunchError> {
        self.write();
        launch(Path::new(PROGRAM), &self.pod_dir(), fds)
    }

    #[track_caller]
    pub(crate) fn launched(&self) -> LaunchedPod<'_> {
        let launched = self.launch_with(&LaunchFds::default()).expect("launch");
        LaunchedPod { launched, pod: self }
    }

    /// Launched and committed, not started.
    #[track_caller]
    pub(crate) fn created(&self) -> Container {
        self.launched().commit()
    }

    /// Launched, committed and started.
    #[track_caller]
    pub(crate) fn started(&self) -> Container {
        let shim = self.created();
        shim.start().expect("start");
        shim
    }

    /// Runs to the end.
    #[track_caller]
    pub(crate) fn run(&self) -> ExitRecord {
        let shim = self.created();
        let watch = shim.watch_exit().unwrap();
        shim.start().expect("start");
        let record = watch.wait(Some(PATIENCE)).unwrap();
        self.await_gone();
        record
    }

    /// Waits until no supervisor lives.
    #[track_caller]
    pub(crate) fn await_gone(&self) {
        eventually("the supervisor leaves", || !is_alive(&self.pod_dir()).unwrap());
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The text of a json-file log.
    pub(crate) fn logged(&self, stream: &str) -> String {
        let log = self.log();
        let entries = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        entries
            .filter(|entry| entry["stream"] == stream)
            .map(|entry| entry["log"].as_str().unwrap().to_owned())
            .collect()
    }

    #[track_caller]
    pub(crate) fn await_log(&self, text: &str) {
        eventually(&format!("{text:?} is logged"), || self.log().contains(text));
    }

    /// What there is of this pod outside its directory.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        let dir = self.dir.path().to_str().unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        left.extend(mounts.lines().filter(|line| line.contains(dir)).map(str::to_owned));
        cgroups(Path::new("/sys/fs/cgroup"), &self.id, &mut left);
        for process in processes() {
            let named = |file: &str| {
                let text = fs::read(process.join(file)).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                text.contains(dir) || text.contains(&format!("POD={}", self.id))
            };
            if named("cmdline") || named("environ") || named("mountinfo") {
                let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
                left.push(format!("{} {}", process.display(), name.trim()));
            }
        }
        let states = fs::read_dir(self.path("native")).unwrap();
        left.extend(states.map(|entry| entry.unwrap().path().display().to_string()));
        let theirs = fs::read_dir(self.path("runtime").join(&self.id));
        left.extend(theirs.map(|_| format!("runtime/{}", self.id)));
        let socket = self.pod_dir().join("shim.sock");
        left.extend(socket.exists().then(|| socket.display().to_string()));
        left
    }

    #[track_caller]
    pub(crate) fn await_clean(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = self.leftovers();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left behind: {left:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn exit_file(&self) -> Option<ExitRecord> {
        exit_record(&self.pod_dir(), &self.id)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Ok(shim) = connect(&self.pod_dir()) {
            let _ = shim.shutdown(true);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_alive(&self.pod_dir()).unwrap_or(false) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        if fs::read_dir(self.path("native")).unwrap().next().is_some() {
            let _ = collect(Path::new(PROGRAM), &self.pod_dir());
        }
        if std::thread::panicking() {
            let said = fs::read_to_string(self.pod_dir().join("shim.log")).unwrap_or_default();
            eprintln!("shim.log: {said}\nleft behind: {:#?}", self.leftovers());
        } else {
            self.await_clean();
        }
    }
}

/// A container of a pod, as a node would ask for it.
#[derive(Clone)]
pub(crate) struct Member {
    bundle: PathBuf,
    pub(crate) container: Value,
    pub(crate) spec: Value,
}

impl Member {
    /// One whose program is this text for busybox's shell.
    pub(crate) fn script(pod: &Pod, name: &str, text: &str) -> Self {
        let bundle = pod.path(name);
        for part in ["rootfs", "upper", "work"] {
            fs::create_dir_all(bundle.join(part)).unwrap();
        }
        let id = format!("{}-{name}", pod.id);
        let path = |part: &str| bundle.join(part);
        let container = json!({
            "id": id, "bundle": bundle,
            "rootfs": {"overlay": {
                "lowers": [pod.path("layer"), base_layer()], "upper": [path("upper"), path("work")],
            }},
            "log": {"driver": "json-file", "path": path("log"), "max_size": 0, "max_files": 1},
        });
        let mut spec = pod.spec.clone();
        spec["process"]["args"] = json!(["sh", "-c", text]);
        if !is_rootless() {
            spec["linux"]["cgroupsPath"] = json!(format!("/{id}"));
        }
        Self { bundle, container, spec }
    }

    /// Has it join a namespace of this kind.
    pub(crate) fn join(&mut self, kind: &str, path: &str) {
        self.drop_namespace(kind);
        let list = self.spec["linux"]["namespaces"].as_array_mut().unwrap();
        list.push(json!({"type": kind, "path": path}));
        if kind == "uts" {
            self.spec.as_object_mut().unwrap().remove("hostname");
        }
    }

    pub(crate) fn drop_namespace(&mut self, kind: &str) {
        let list = self.spec["linux"]["namespaces"].as_array_mut().unwrap();
        list.retain(|namespace| namespace["type"] != kind);
    }

    pub(crate) fn try_create(&self, shim: &Shim) -> Result<Container, ClientError> {
        fs::write(self.bundle.join("config.json"), serde_json::to_vec(&self.spec).unwrap())
            .unwrap();
        let config: ContainerConfig = serde_json::from_value(self.container.clone()).unwrap();
        let container = shim.container(&config.id);
        shim.create(config).map(|_| container)
    }

    #[track_caller]
    pub(crate) fn create(&self, shim: &Shim) -> Container {
        self.try_create(shim).expect("create")
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.bundle.join("log")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn await_log(&self, text: &str) {
        eventually(&format!("{text:?} is logged"), || self.log().contains(text));
    }
}

/// A pod that was launched and not committed.
pub(crate) struct LaunchedPod<'a> {
    launched: Launched,
    pod: &'a Pod,
}

impl LaunchedPod<'_> {
    pub(crate) fn container(&self) -> Container {
        self.launched.shim().container(&self.pod.id)
    }

    pub(crate) fn shim_pid(&self) -> i32 {
        self.launched.shim_pid()
    }

    pub(crate) fn commit(self) -> Container {
        self.launched.commit().unwrap().container(&self.pod.id)
    }
}

/// Whether this is root of a user namespace.
pub(crate) fn is_rootless() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    map.split_whitespace().nth(2) != Some("4294967295")
}

/// Directories of `/proc` that are processes.
pub(crate) fn processes() -> Vec<PathBuf> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(number))
        .map(|entry| entry.path())
        .collect()
}

fn cgroups(dir: &Path, id: &str, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // crun makes plain directories where a hybrid host's v2 tree is not.
            if dir.ends_with("unified") && !dir.join("cgroup.procs").exists() {
                continue;
            }
            if entry.file_name().to_string_lossy().contains(id) {
                found.push(entry.path().display().to_string());
            }
            cgroups(&entry.path(), id, found);
        }
    }
}

/// Follows everything and is waited for.
pub(crate) fn follow(stdin: bool) -> AttachSpec {
    AttachSpec { stdin, stdout: true, stderr: true, on_stall: OnStall::Wait, settles: false }
}

#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// Waits for a state that satisfies this.
#[track_caller]
pub(crate) fn await_state(shim: &Container, what: &str, holds: impl Fn(&State) -> bool) -> State {
    let mut state = shim.state().unwrap();
    eventually(what, || {
        state = shim.state().unwrap();
        holds(&state)
    });
    state
}

fn default_spec() -> Value {
    let caps = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_CHOWN"];
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": ["true"], "cwd": "/",
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs"},
        "hostname": "pod",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
        ],
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"},
                {"type": "mount"}, {"type": "cgroup"}
            ]
        }
    })
}
