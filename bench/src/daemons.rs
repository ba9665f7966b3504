//! Peers' daemons on directories of the bench's own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::BenchError;

/// How long a daemon may take to answer or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running daemon; ended when dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) socket: PathBuf,
}

impl Daemon {
    /// containerd, without its CRI part.
    pub(crate) fn containerd(scratch: &Path) -> Result<Self, BenchError> {
        let dir = scratch.join("containerd");
        let socket = dir.join("sock");
        fs::create_dir_all(&dir).map_err(BenchError::path("create", &dir))?;
        let config = dir.join("config.toml");
        let text = format!(
            "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\noom_score = 0\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n\
             [grpc]\naddress = \"{0}/sock\"\n[ttrpc]\naddress = \"{0}/sock.ttrpc\"\n",
            dir.display()
        );
        fs::write(&config, text).map_err(BenchError::path("write", &config))?;
        let mut command = Command::new("/usr/bin/containerd");
        command.arg("--config").arg(&config);
        Self::start(command, &dir, socket, &["/usr/bin/ctr", "--address"], &["version"])
    }

    /// dockerd with its default bridge network.
    pub(crate) fn dockerd(scratch: &Path) -> Result<Self, BenchError> {
        let dir = scratch.join("docker");
        let socket = dir.join("sock");
        fs::create_dir_all(&dir).map_err(BenchError::path("create", &dir))?;
        let config = dir.join("daemon.json");
        fs::write(&config, "{}").map_err(BenchError::path("write", &config))?;
        let mut command = Command::new("/usr/sbin/dockerd");
        command
            .arg("--host")
            .arg(format!("unix://{}", socket.display()))
            .arg("--data-root")
            .arg(dir.join("data"))
            .arg("--exec-root")
            .arg(dir.join("exec"))
            .arg("--pidfile")
            .arg(dir.join("pid"))
            .arg("--config-file")
            .arg(config)
            .args(["--group", "root", "--oom-score-adjust", "0", "--storage-driver", "overlay2"])
            .args(["--exec-opt", "native.cgroupdriver=cgroupfs", "--ip6tables=false"])
            .args(["--default-ulimit", &nofile()]);
        Self::start(command, &dir, socket, &["/usr/bin/docker", "--host"], &["version"])
    }

    fn start(
        mut command: Command,
        dir: &Path,
        socket: PathBuf,
        client: &[&str],
        question: &[&str],
    ) -> Result<Self, BenchError> {
        let log = dir.join("log");
        let file = File::create(&log).map_err(BenchError::path("create", &log))?;
        let errors = file.try_clone().map_err(BenchError::path("share", &log))?;
        command.stdin(Stdio::null()).stdout(file).stderr(errors);
        let name = command.get_program().to_string_lossy().into_owned();
        let failed = |reason| BenchError::Runtime { command: name.clone(), reason };
        let child = command.spawn().map_err(|e| failed(e.to_string()))?;
        let daemon = Self { child, socket };
        let address = match client.first() {
            Some(name) if name.ends_with("docker") => format!("unix://{}", daemon.socket.display()),
            _ => daemon.socket.display().to_string(),
        };
        let began = Instant::now();
        loop {
            let [program, options @ ..] = client else { return Ok(daemon) };
            let answer = Command::new(program)
                .args(options)
                .arg(&address)
                .args(question)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if answer.is_ok_and(|status| status.success()) {
                return Ok(daemon);
            }
            if began.elapsed() > PATIENCE {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(failed(said.lines().next_back().unwrap_or("no answer").to_owned()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The daemon's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // One that has ended already needs no signal.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The limit of open files that a container may get here: docker asks for
/// more than a root without CAP_SYS_RESOURCE may give.
fn nofile() -> String {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let most = most.unwrap_or(1 << 20);
    format!("nofile={most}:{most}")
}
