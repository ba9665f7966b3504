//! An engine with state of its own, a busybox image, and the supervisor where
//! it is looked for.
#![allow(dead_code, reason = "each test uses a part")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::{Duration, Instant};

use caisson_image::NoProgress;
use caisson_image::archive::{Input, load};
use caisson_node::paths::{Identity, Paths};
use caisson_node::pods::Pods;
use caisson_node::pods::request::{ImageChoice, NamespaceChoice, PodContainerRequest, PodRequest};
use caisson_node::pods::session::Abandon;
use caisson_node::pods::view::{ContainerState, ContainerStatus};
use caisson_node::settings::Settings;
use caisson_node::{Engine, EngineOptions};
use tempfile::TempDir;

/// Whether pods can be run here; says so if not.
pub(crate) fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("left out: needs root");
    }
    root
}

/// Builds the supervisor, and puts it where a program in `target/…/deps` looks.
fn supervisor() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let own = std::env::current_exe().unwrap();
        let profile = own.parent().unwrap().parent().unwrap();
        let built = Command::new(env!("CARGO"))
            .args(["build", "-q", "-p", "caisson-shim", "--bins"])
            .status();
        assert!(built.unwrap().success());
        let libexec = profile.join("libexec/caisson");
        std::fs::create_dir_all(&libexec).unwrap();
        for name in ["caisson-shim", "caisson-init"] {
            // Another test may be faster.
            let _ = std::os::unix::fs::symlink(profile.join(name), libexec.join(name));
            assert!(libexec.join(name).exists());
        }
    });
}

/// A node.
pub(crate) struct Node {
    pub(crate) dir: TempDir,
    pods: Option<Pods>,
}

impl Node {
    /// With the image `busybox`: its tools, `/etc/passwd` with `www` (33, also
    /// in `video`, 44).
    pub(crate) fn new() -> Self {
        supervisor();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("cni")).unwrap();
        let mut node = Self { dir, pods: None };
        node.open();
        let archive = node.archive();
        let store = node.pods().engine().store().unwrap();
        load(store, Input::Path(&archive), None, &NoProgress).unwrap();
        node
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn open(&mut self) {
        let paths = Paths::choose(
            Some(self.path("state")),
            Some(self.path("run")),
            Identity::System,
            &|_| None,
        );
        let mut settings = Settings::default();
        settings.network.cni_conf_dirs = Some(vec![self.path("cni")]);
        settings.network.cni_bin_dirs = Some(vec![self.path("plugins")]);
        let engine = Engine::open(EngineOptions {
            paths: paths.unwrap(),
            settings,
            rootless: false,
            exit_command: Vec::new(),
        });
        self.pods = Some(Pods::open(engine.unwrap()).unwrap());
    }

    pub(crate) fn pods(&self) -> &Pods {
        self.pods.as_ref().unwrap()
    }

    /// As if the process had been killed and another one started.
    pub(crate) fn restart(&mut self) {
        self.pods = None;
        self.open();
    }

    /// The engine is gone for a while.
    pub(crate) fn stop(&mut self) {
        self.pods = None;
    }

    pub(crate) fn start(&mut self) {
        self.open();
    }

    pub(crate) fn wait_until(&self, id: &str, state: ContainerState) -> ContainerStatus {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let status = self.pods().container_status(id, false).unwrap();
            if status.summary.state == state {
                return status;
            }
            assert!(Instant::now() < end, "{id} is {:?}", status.summary.state);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Makes and starts a container that runs this shell script.
    pub(crate) fn run(&self, pod: &str, name: &str, script: &str) -> String {
        self.run_with(pod, shell(name, script))
    }

    pub(crate) fn run_with(&self, pod: &str, request: PodContainerRequest) -> String {
        let id = self.pods().create_container(pod, request).unwrap();
        self.pods().start_container(&id).unwrap();
        id
    }

    /// What a container of the pod prints; it must end with `code`.
    pub(crate) fn output(&self, id: &str, command: &[&str]) -> String {
        let command: Vec<String> = command.iter().map(|arg| (*arg).to_owned()).collect();
        let done = self
            .pods()
            .exec_sync(id, &command, Some(Duration::from_secs(20)), &Abandon::default())
            .unwrap();
        let error = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.exit_code, 0, "{command:?}: {error}");
        String::from_utf8(done.stdout).unwrap()
    }

    /// Nothing of any pod is left: no directory, mount, cgroup or process.
    pub(crate) fn assert_nothing_left(&self) {
        let mut left = Vec::new();
        let root = self.dir.path().canonicalize().unwrap();
        for _ in 0..100 {
            left.clear();
            for dir in ["state/containers", "run/pods", "run/native", "state/net/pods"] {
                let entries = std::fs::read_dir(self.path(dir)).into_iter().flatten().flatten();
                left.extend(entries.map(|entry| entry.path()));
            }
            let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
            let ours = mounts.lines().filter(|l| l.contains(root.to_str().unwrap()));
            left.extend(ours.map(PathBuf::from));
            if left.is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("left: {left:?}");
    }

    fn archive(&self) -> PathBuf {
        let work = self.path("busybox");
        let tree = work.join("tree");
        for dir in ["bin", "etc", "data", "root", "home/www", "tmp"] {
            std::fs::create_dir_all(tree.join(dir)).unwrap();
        }
        let path = std::env::var_os("PATH").unwrap();
        let busybox =
            std::env::split_paths(&path).map(|dir| dir.join("busybox")).find(|p| p.exists());
        let busybox = busybox.expect("busybox-static is installed (scripts/test.sh)");
        std::fs::copy(&busybox, tree.join("bin/busybox")).unwrap();
        let tools = Command::new(&busybox).arg("--list").output().unwrap();
        let tools = String::from_utf8(tools.stdout).unwrap();
        for tool in tools.lines().filter(|tool| *tool != "busybox") {
            std::fs::hard_link(tree.join("bin/busybox"), tree.join("bin").join(tool)).unwrap();
        }
        let passwd = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/home/www:/bin/sh\n";
        std::fs::write(tree.join("etc/passwd"), passwd).unwrap();
        std::fs::write(tree.join("etc/group"), "root:x:0:\nwww:x:33:\nvideo:x:44:www\n").unwrap();
        std::fs::write(tree.join("data/seed"), "seeded\n").unwrap();
        let layer = work.join("layer.tar");
        tar(&layer, &tree, &["bin", "etc", "data", "root", "home", "tmp"]);
        let sum = Command::new("sha256sum").arg(&layer).output().unwrap();
        let digest = String::from_utf8(sum.stdout).unwrap();
        let digest = digest.split(' ').next().unwrap();
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"Env":["PATH=/bin","FROM=image"],
            "Cmd":["sh"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{digest}"]}}}}"#
        );
        std::fs::write(work.join("config.json"), config).unwrap();
        let manifest =
            r#"[{"Config":"config.json","RepoTags":["busybox:latest"],"Layers":["layer.tar"]}]"#;
        std::fs::write(work.join("manifest.json"), manifest).unwrap();
        let archive = self.path("busybox.tar");
        tar(&archive, &work, &["manifest.json", "config.json", "layer.tar"]);
        archive
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let Some(pods) = &self.pods else { return };
        for pod in pods.pods(&Default::default()).unwrap_or_default() {
            let _ = pods.remove_pod(&pod.id);
        }
        let _ = pods.engine().prune_network();
    }
}

fn tar(archive: &Path, dir: &Path, files: &[&str]) {
    let status = Command::new("tar")
        .args(["--owner=0", "--group=0", "--mtime=@0", "-C"])
        .arg(dir)
        .arg("-cf")
        .arg(archive)
        .args(files)
        .status();
    assert!(status.unwrap().success());
}

/// A pod in the host's network, which most tests need nothing of. Its name is
/// its uid too.
pub(crate) fn pod(name: &str) -> PodRequest {
    let mut request = PodRequest {
        name: name.to_owned(),
        namespace: "tests".to_owned(),
        uid: format!("uid-{name}"),
        ..PodRequest::default()
    };
    request.security.namespaces.network = NamespaceChoice::Node;
    request.security.namespaces.pid = NamespaceChoice::Container;
    request
}

/// A container that runs a shell script, in a PID namespace of its own.
pub(crate) fn shell(name: &str, script: &str) -> PodContainerRequest {
    let mut request = PodContainerRequest {
        name: name.to_owned(),
        image: ImageChoice { image: "busybox".to_owned(), ..ImageChoice::default() },
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        log_path: format!("{name}.log"),
        ..PodContainerRequest::default()
    };
    request.security.namespaces.pid = NamespaceChoice::Container;
    request
}
