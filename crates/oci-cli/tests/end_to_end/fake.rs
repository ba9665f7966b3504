//! An engine without walls: a directory of state and ordinary processes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use caisson_isolator::{
    ConsoleSocket, Container, ContainerId, ContainerInfo, ContainerRequest, ContainerStatus,
    ExecRequest, Isolator, Overhead, Resources, Sandbox, SandboxError, SandboxRequest,
    SpawnedProcess,
};
use caisson_oci_cli::{Runtime, RuntimeOptions};
use caisson_runtime_spec::{Process, Resources as Limits};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::termios::{OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr, tcsetwinsize};
use serde::{Deserialize, Serialize};

pub(crate) const RUNTIME: Runtime = Runtime {
    name: "caisson-fake",
    version: "1.2.3",
    description: "an engine without walls",
    protect: || {
        // Shows that the command asked for it.
        fs::write(std::env::temp_dir().join(format!("fake-protect-{}", std::process::id())), "")
            .and_then(|()| {
                fs::remove_file(
                    std::env::temp_dir().join(format!("fake-protect-{}", std::process::id())),
                )
            })
    },
    flags: &[],
    open: |options| Ok(Box::new(Fake(options.clone()))),
};

struct Fake(RuntimeOptions);

#[derive(Serialize, Deserialize)]
struct Saved {
    pid: i32,
    bundle: PathBuf,
    rootfs: PathBuf,
    created: SystemTime,
    oci_version: String,
    annotations: BTreeMap<String, String>,
}

struct Place {
    id: ContainerId,
    dir: PathBuf,
    child: Option<SpawnedProcess>,
}

impl Isolator for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn features(&self) -> caisson_runtime_spec::features::Features {
        caisson_runtime_spec::features::Features {
            oci_version_min: "1.0.0".into(),
            oci_version_max: "1.3.0".into(),
            ..Default::default()
        }
    }

    fn version(&self) -> Option<String> {
        None
    }

    fn overhead(&self) -> Overhead {
        Overhead::default()
    }

    fn create_sandbox(
        &self,
        request: &SandboxRequest<'_>,
    ) -> Result<Box<dyn Sandbox>, SandboxError> {
        let dir = self.0.root.join(request.id.as_str());
        fs::create_dir_all(&self.0.root).unwrap();
        match fs::create_dir(&dir) {
            Err(_) => Err(SandboxError::Exists(request.id.to_string())),
            Ok(()) => Ok(Box::new(Place { id: request.id.clone(), dir, child: None })),
        }
    }

    fn open_sandbox(&self, id: &ContainerId) -> Result<Box<dyn Sandbox>, SandboxError> {
        let dir = self.0.root.join(id.as_str());
        if dir.is_dir() {
            Ok(Box::new(Place { id: id.clone(), dir, child: None }))
        } else {
            Err(SandboxError::NotFound(id.to_string()))
        }
    }

    fn sandboxes(&self) -> Result<Vec<ContainerId>, SandboxError> {
        let Ok(entries) = fs::read_dir(&self.0.root) else { return Ok(Vec::new()) };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut ids: Vec<ContainerId> = names.filter_map(|name| name.parse().ok()).collect();
        ids.sort();
        Ok(ids)
    }
}

impl Place {
    fn saved(&self) -> Result<Saved, SandboxError> {
        let text = fs::read(self.dir.join("state.json"))
            .map_err(|e| SandboxError::step(format!("read the state of {}", self.id), e))?;
        Ok(serde_json::from_slice(&text).unwrap())
    }

    fn status(&self, saved: &Saved) -> ContainerStatus {
        let stat = fs::read_to_string(format!("/proc/{}/stat", saved.pid)).unwrap_or_default();
        let letter = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        match letter {
            None | Some('Z' | 'X') => ContainerStatus::Stopped,
            Some(_) if self.dir.join("paused").exists() => ContainerStatus::Paused,
            Some(_) if self.dir.join("gate").exists() => ContainerStatus::Created,
            Some(_) => ContainerStatus::Running,
        }
    }

    fn wrong<T>(&self, operation: &'static str) -> Result<T, SandboxError> {
        let status = self.status(&self.saved()?);
        Err(SandboxError::WrongStatus { id: self.id.to_string(), operation, status })
    }

    /// Notes what was asked, for tests to read.
    fn note(&self, what: &str) {
        let mut calls =
            fs::OpenOptions::new().create(true).append(true).open(self.dir.join("calls")).unwrap();
        writeln!(calls, "{what}").unwrap();
    }

    fn spawn(
        &self,
        process: &Process,
        console: Option<ConsoleSocket>,
        gate: bool,
    ) -> Result<SpawnedProcess, SandboxError> {
        let mut words: Vec<String> = Vec::new();
        if process.terminal {
            words.extend(["setsid".into(), "-c".into()]);
        }
        if gate {
            let path = self.dir.join("gate");
            assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
            let wait = "read go < \"$0\"; rm \"$0\"; exec \"$@\"".to_owned();
            words.extend(["sh".into(), "-c".into(), wait, path.display().to_string()]);
        }
        words.extend(process.args.iter().cloned());
        let (program, args) = words.split_first().unwrap();
        let mut command = Command::new(program);
        command.args(args).env_clear().current_dir(&process.cwd);
        for (name, value) in process.env.iter().filter_map(|entry| entry.split_once('=')) {
            command.env(name, value);
        }
        if let Some(console) = console {
            let (master, slave) = crate::terminal::pair();
            let mut modes = tcgetattr(&slave).unwrap();
            modes.output_modes.set(OutputModes::ONLCR, !console.plain_newlines);
            tcsetattr(&slave, OptionalActions::Now, &modes).unwrap();
            if let Some(size) = process.console_size {
                let (ws_row, ws_col) = (size.height, size.width);
                let size = Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
                tcsetwinsize(&master, size).unwrap();
            }
            send(&console.socket, &master);
            let stdio = || Stdio::from(slave.try_clone().unwrap());
            command.stdin(stdio()).stdout(stdio()).stderr(stdio());
        }
        // An engine starts processes with no signal blocked; a thread may do
        // so without giving up the caller's own mask. The child is waited for
        // by the command line, not by this handle.
        let spawner = std::thread::spawn(move || {
            caisson_sys::signals::unblock_all().unwrap();
            command.spawn()
        });
        let child = spawner
            .join()
            .unwrap()
            .map_err(|e| SandboxError::step(format!("exec: {:?}", process.args[0]), e))?;
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        Ok(SpawnedProcess { pid, pidfd, stands_for: None })
    }
}

fn send(socket: &OwnedFd, master: &OwnedFd) {
    let descriptors = [master.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
    assert!(control.push(rustix::net::SendAncillaryMessage::ScmRights(&descriptors)));
    let payload = [std::io::IoSlice::new(b"/dev/pts/x")];
    rustix::net::sendmsg(socket, &payload, &mut control, rustix::net::SendFlags::empty()).unwrap();
}

impl Sandbox for Place {
    fn create_container(
        &self,
        request: ContainerRequest,
    ) -> Result<Box<dyn Container>, SandboxError> {
        let spec = request.spec;
        let process = spec.process.as_ref().unwrap();
        self.note(&format!(
            "create preserve_fds={} no_pivot={} no_new_keyring={} start={} console={}",
            request.preserve_fds,
            request.no_pivot,
            request.no_new_keyring,
            request.start,
            request.console.is_some()
        ));
        fs::write(self.dir.join("spec.json"), serde_json::to_vec(&spec).unwrap()).unwrap();
        let child = self.spawn(process, request.console, !request.start)?;
        let saved = Saved {
            pid: child.pid.as_raw_nonzero().get(),
            rootfs: request.bundle.join(&spec.root.as_ref().unwrap().path),
            bundle: request.bundle,
            created: SystemTime::now(),
            oci_version: spec.oci_version.clone(),
            annotations: spec.annotations.clone(),
        };
        fs::write(self.dir.join("state.json"), serde_json::to_vec(&saved).unwrap()).unwrap();
        Ok(Box::new(Place { id: self.id.clone(), dir: self.dir.clone(), child: Some(child) }))
    }

    fn container(&self, id: &ContainerId) -> Result<Box<dyn Container>, SandboxError> {
        assert_eq!(*id, self.id);
        Ok(Box::new(Place { id: self.id.clone(), dir: self.dir.clone(), child: None }))
    }

    fn containers(&self) -> Result<Vec<ContainerId>, SandboxError> {
        Ok(vec![self.id.clone()])
    }

    fn delete(&self, force: bool) -> Result<(), SandboxError> {
        if let Ok(saved) = self.saved()
            && self.status(&saved) != ContainerStatus::Stopped
        {
            if !force {
                return self.wrong("delete");
            }
            let pid = Pid::from_raw(saved.pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        fs::remove_dir_all(&self.dir).map_err(|e| SandboxError::step("remove the state", e))
    }
}

impl Container for Place {
    fn info(&self) -> Result<ContainerInfo, SandboxError> {
        let saved = self.saved()?;
        let status = self.status(&saved);
        Ok(ContainerInfo {
            id: self.id.clone(),
            pid: if status == ContainerStatus::Stopped { 0 } else { saved.pid },
            status,
            bundle: saved.bundle,
            rootfs: saved.rootfs,
            created: saved.created,
            owner_uid: 0,
            oci_version: saved.oci_version,
            annotations: saved.annotations,
        })
    }

    fn start(&self) -> Result<(), SandboxError> {
        match self.status(&self.saved()?) {
            ContainerStatus::Created => {
                fs::write(self.dir.join("gate"), "go\n").unwrap();
                while self.dir.join("gate").exists() {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                Ok(())
            }
            _ => self.wrong("start"),
        }
    }

    fn exec(&self, request: ExecRequest) -> Result<SpawnedProcess, SandboxError> {
        match self.status(&self.saved()?) {
            ContainerStatus::Running => {}
            ContainerStatus::Paused if request.ignore_paused => {}
            _ => return self.wrong("exec in"),
        }
        self.note(&format!(
            "exec {} preserve_fds={} cgroups={:?} console={}",
            serde_json::to_string(&request.process).unwrap(),
            request.preserve_fds,
            request.cgroups,
            request.console.is_some()
        ));
        self.spawn(&request.process, request.console, false)
    }

    fn signal(&self, signal: i32, all: bool) -> Result<(), SandboxError> {
        let saved = self.saved()?;
        if self.status(&saved) == ContainerStatus::Stopped {
            return self.wrong("kill");
        }
        self.note(&format!("signal {signal} all={all}"));
        let pid = Pid::from_raw(saved.pid).unwrap();
        let signal = rustix::process::Signal::from_named_raw(signal).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        Ok(())
    }

    fn first_process(&self) -> Option<&SpawnedProcess> {
        self.child.as_ref()
    }

    fn resources(&self) -> &dyn Resources {
        self
    }
}

impl Resources for Place {
    fn processes(&self) -> Result<Vec<Pid>, SandboxError> {
        Ok(Pid::from_raw(self.saved()?.pid).into_iter().collect())
    }

    fn stats(&self) -> Result<caisson_cgroup::stats::Stats, SandboxError> {
        Ok(caisson_cgroup::stats::Stats::default())
    }

    fn update(&self, limits: &Limits) -> Result<(), SandboxError> {
        self.note(&format!("update {}", serde_json::to_string(limits).unwrap()));
        Ok(())
    }

    fn set_frozen(&self, frozen: bool) -> Result<(), SandboxError> {
        let paused = self.status(&self.saved()?) == ContainerStatus::Paused;
        let running = self.status(&self.saved()?) == ContainerStatus::Running;
        let path = self.dir.join("paused");
        match frozen {
            true if running => fs::write(path, "").unwrap(),
            false if paused => fs::remove_file(path).unwrap(),
            _ => return self.wrong(if frozen { "pause" } else { "resume" }),
        }
        Ok(())
    }

    fn watch_oom(&self) -> Result<caisson_cgroup::OomEvents, SandboxError> {
        Err(SandboxError::Unsupported { isolator: "fake", operation: "watch memory".into() })
    }
}
