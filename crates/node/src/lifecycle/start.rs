//! Handing a container to a supervisor.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use caisson_net::NetworkMode;
use caisson_rootpath::Root;
use caisson_shim::client::{Container, LaunchFds, find_program, launch};
use caisson_shim::{
    ContainerConfig, LogConfig, LogDriver, NamespaceKind, PodConfig, RootfsMount, StdinMode, names,
};

use super::connect::{Connection, network_record};
use super::create::{NewContainer, event};
use super::error::StartError;
use super::settle::LEAVING;
use crate::clock::now_nanos;
use crate::container_lock::ContainerLock;
use crate::engine::Engine;
use crate::handlers::EngineChoice;
use crate::identity::short;
use crate::metadata::{ContainerRecord, Outcome, Phase};
use crate::oci_spec::{NamespacePaths, SpecInput, build};
use crate::request::{NamespaceMode, RestartPolicy};
use crate::rootfs::Layers;

/// Bytes of a log before it is rotated, and how many files are kept, where
/// nobody says otherwise.
const LOG_SIZE: u64 = 32 << 20;
const LOG_FILES: u32 = 3;

/// How a container is started.
#[derive(Debug, Default)]
pub struct StartOptions<'a> {
    /// Streams that become the container's own. Then nothing is logged.
    pub stdio: Option<[BorrowedFd<'a>; 3]>,
    /// Input ends when the first client that attached has left.
    pub stdin_once: bool,
}

/// A container that was started.
#[derive(Debug)]
pub struct StartedContainer {
    /// What it is.
    pub record: ContainerRecord,
    /// Its supervisor.
    pub shim: Container,
}

impl Engine {
    /// Starts a container that was just made. `before` is called when all is
    /// ready but the program does not run yet: to attach.
    ///
    /// # Errors
    /// [`StartError`]; the container is as it was before, or removed if it is
    /// one that removes itself.
    pub fn start_new<T>(
        &self,
        new: NewContainer,
        options: &StartOptions<'_>,
        before: impl FnOnce(&Container) -> Result<T, StartError>,
    ) -> Result<(StartedContainer, T), StartError> {
        let NewContainer { record, lock } = new;
        self.start_locked(record, &lock, options, before)
    }

    /// Starts a container by name or id.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start<T>(
        &self,
        name: &str,
        options: &StartOptions<'_>,
        before: impl FnOnce(&Container) -> Result<T, StartError>,
    ) -> Result<(StartedContainer, T), StartError> {
        let id = self.metadata().find(name)?.id;
        let lock = ContainerLock::wait(&self.paths.container(&id))?;
        // What an earlier run left is settled first.
        let _ = self.settle_locked(&id, &lock);
        let record = self.metadata().get(&id)?;
        if matches!(record.phase, Phase::Created | Phase::Exited) && self.paths.pod(&id).exists() {
            self.clear_pod(&id, LEAVING).map_err(|error| StartError::Leftover(Box::new(error)))?;
        }
        self.start_locked(record, &lock, options, before)
    }

    fn start_locked<T>(
        &self,
        record: ContainerRecord,
        lock: &ContainerLock,
        options: &StartOptions<'_>,
        before: impl FnOnce(&Container) -> Result<T, StartError>,
    ) -> Result<(StartedContainer, T), StartError> {
        let status = match record.phase {
            Phase::Creating | Phase::Created | Phase::Exited => None,
            Phase::Running => Some("running"),
            Phase::Removing => Some("being removed"),
        };
        if let Some(status) = status {
            return Err(StartError::WrongStatus { name: record.name, status });
        }
        let before_start = record.clone();
        match self.bring_up(record, options, before) {
            Ok(started) => Ok(started),
            Err(error) => {
                self.undo_start(&before_start, lock, &error);
                Err(error)
            }
        }
    }

    fn bring_up<T>(
        &self,
        mut record: ContainerRecord,
        options: &StartOptions<'_>,
        before: impl FnOnce(&Container) -> Result<T, StartError>,
    ) -> Result<(StartedContainer, T), StartError> {
        let handler = self.handlers().get(Some(&record.document.handler))?;
        let pod = self.paths.pod(&record.id);
        let engine = handler.engine(&self.paths, &pod, false)?;
        let program = find_program().ok_or(StartError::NoSupervisor)?;
        let layers = self.layers_of(&record)?;
        fresh_dir(&pod)?;
        let connection = self.connect(&record)?;
        let hostname = self.hostname(&record, &connection)?;
        let files = self.write_names(&record, &connection, &hostname)?;
        let spec = {
            // Only for the length of this look: the supervisor mounts the same.
            let root: Root = if record.phase == Phase::Exited {
                layers.view_container()?
            } else {
                layers.view_image()?
            };
            build(&SpecInput {
                record: &record,
                root: &root,
                files: &files,
                network: &connection.namespace,
                namespaces: &self.lent_namespaces(&record)?,
                hostname: &hostname,
                cgroup_v2: cgroup_v2(),
                rootless: self.rootless,
            })?
        };
        let spec = serde_json::to_vec(&spec).map_err(|error| StartError::File {
            path: pod.join("bundle/config.json"),
            source: error.into(),
        })?;
        write(&pod.join("bundle/config.json"), &spec)?;
        let config = self.shim_config(&record, engine, &layers, options);
        let config = serde_json::to_vec(&config).map_err(|error| StartError::File {
            path: pod.join(names::CONFIG),
            source: error.into(),
        })?;
        write(&pod.join(names::CONFIG), &config)?;

        let fds = LaunchFds {
            namespaces: connection
                .netns
                .iter()
                .map(|netns| (NamespaceKind::Net, netns.as_fd()))
                .collect(),
            stdio: options.stdio,
            held: connection.result.reservations.iter().map(AsFd::as_fd).collect(),
        };
        let launched = launch(&program, &pod, &fds)?;
        let shim = launched.shim().container(&record.id);
        let attached = before(&shim)?;
        record.outcome = Outcome {
            started: Some(now_nanos()),
            network: Some(network_record(&connection)),
            ..Outcome::default()
        };
        record.phase = Phase::Running;
        let started = event("start", &record);
        self.metadata().advance(&record.id, Phase::Running, &record.outcome, &[started])?;
        // Should we die before the commit, the supervisor takes it all back.
        shim.start()?;
        launched.commit()?;
        Ok((StartedContainer { record, shim }, attached))
    }

    /// Takes back what a failed start has made.
    fn undo_start(&self, before: &ContainerRecord, lock: &ContainerLock, error: &StartError) {
        // All of this is tried again by collect, should it fail now.
        let _ = self.clear_pod(&before.id, LEAVING);
        if before.document.request.auto_remove {
            let _ = self.remove_locked(before, lock, true);
            self.release_cgroup_parent();
            return;
        }
        let outcome = Outcome {
            error: Some(error.to_string()),
            exit_code: error.exit_code(),
            ..before.outcome.clone()
        };
        let phase = if before.phase == Phase::Creating { Phase::Created } else { before.phase };
        let _ = self.metadata().advance(&before.id, phase, &outcome, &[]);
        self.release_cgroup_parent();
    }

    pub(crate) fn layers_of(&self, record: &ContainerRecord) -> Result<Layers, StartError> {
        let id = record.document.image.to_string();
        let image = self.store()?.find(&id).map_err(|e| StartError::Image(e.to_string()))?;
        self.layers(&record.id, &image).map_err(|e| StartError::Image(e.to_string()))
    }

    fn shim_config(
        &self,
        record: &ContainerRecord,
        engine: EngineChoice,
        layers: &Layers,
        options: &StartOptions<'_>,
    ) -> PodConfig {
        let request = &record.document.request;
        let mut exit_command = self.exit_command.clone();
        if !exit_command.is_empty() {
            exit_command.push(record.id.clone());
        }
        let container = ContainerConfig {
            id: record.id.clone(),
            bundle: None,
            rootfs: RootfsMount::Overlay {
                lowers: layers.lowers.clone(),
                upper: Some((layers.upper.clone(), layers.work.clone())),
                // The configuration says so, after mount points are made.
                read_only: false,
                userxattr: layers.userxattr,
                volatile: request.auto_remove,
                mapped: false,
            },
            log: self.log_config(record),
            stdin: match (request.open_stdin, options.stdin_once) {
                (false, _) => StdinMode::Closed,
                (true, true) => StdinMode::Once,
                (true, false) => StdinMode::Open,
            },
            restart: restart_policy(request.restart),
            stop_signal: Some(record.document.program.stop_signal),
            stop_grace_ms: Some(u64::from(request.stop_timeout.unwrap_or(10)) * 1000),
            init: request.init,
            share_pids_with: None,
        };
        PodConfig {
            id: record.id.clone(),
            isolator: engine.isolator.to_owned(),
            sentry: engine.sentry.clone(),
            oci: engine.oci,
            shim: engine.shim,
            state_root: engine.state_root,
            systemd_cgroup: false,
            rootless: Some(self.rootless),
            cgroup: None,
            containers: vec![container],
            exit_command,
            linger: false,
            containerd: None,
            step_limit_ms: None,
        }
    }

    fn log_config(&self, record: &ContainerRecord) -> LogConfig {
        let request = &record.document.request.log;
        let settings = &self.settings().log;
        let driver = request.driver.as_ref().or(settings.driver.as_ref());
        LogConfig {
            driver: match driver.map(String::as_str) {
                Some("none") => LogDriver::None,
                Some("k8s-file") => LogDriver::K8s,
                _ => LogDriver::JsonFile,
            },
            path: self.paths.log(&record.id),
            max_size: request.max_size.or(settings.max_size).unwrap_or(LOG_SIZE),
            max_files: request.max_files.or(settings.max_files).unwrap_or(LOG_FILES).max(1),
        }
    }

    /// Its own, or that of whose network or UTS namespace it shares.
    fn hostname(
        &self,
        record: &ContainerRecord,
        connection: &Connection,
    ) -> Result<String, StartError> {
        let request = &record.document.request;
        if let Some(own) = &request.hostname {
            return Ok(own.clone());
        }
        if let NetworkMode::Container(lender) = &connection.mode {
            let lender = self.metadata().find(lender)?;
            let own = lender.document.request.hostname;
            return Ok(own.unwrap_or_else(|| short(&lender.id).to_owned()));
        }
        let hosts = connection.namespace == crate::oci_spec::NetworkNamespace::Host;
        if hosts || request.namespaces.uts == NamespaceMode::Host {
            return Ok(rustix::system::uname().nodename().to_string_lossy().into_owned());
        }
        Ok(short(&record.id).to_owned())
    }

    fn lent_namespaces(&self, record: &ContainerRecord) -> Result<NamespacePaths, StartError> {
        let request = &record.document.request.namespaces;
        let path = |mode: &NamespaceMode, kind| match mode {
            NamespaceMode::Container(name) => self.namespace_of(name, kind).map(Some),
            _ => Ok(None),
        };
        Ok(NamespacePaths {
            pid: path(&request.pid, "pid")?,
            ipc: path(&request.ipc, "ipc")?,
            uts: path(&request.uts, "uts")?,
            cgroup: path(&request.cgroup, "cgroup")?,
        })
    }

    /// The file of a running container's namespace.
    pub(super) fn namespace_of(&self, name: &str, kind: &str) -> Result<String, StartError> {
        let fail = |reason: String| StartError::Lender { name: name.to_owned(), reason };
        let lender = self.metadata().find(name)?;
        let state = self.shim(&lender.id).and_then(|shim| shim.state());
        let pid = state.ok().and_then(|state| state.pid);
        let pid = pid.ok_or_else(|| fail("it does not run: start it first".to_owned()))?;
        Ok(format!("/proc/{pid}/ns/{kind}"))
    }
}

pub(crate) fn restart_policy(policy: RestartPolicy) -> caisson_shim::RestartPolicy {
    match policy {
        RestartPolicy::No => caisson_shim::RestartPolicy::No,
        RestartPolicy::Always => caisson_shim::RestartPolicy::Always,
        RestartPolicy::UnlessStopped => caisson_shim::RestartPolicy::UnlessStopped,
        RestartPolicy::OnFailure { retries } => caisson_shim::RestartPolicy::OnFailure(retries),
    }
}

/// Whether the host has only cgroup v2.
fn cgroup_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// An empty directory; what a dead supervisor left there is gone.
fn fresh_dir(pod: &Path) -> Result<(), StartError> {
    let fail = |source| StartError::File { path: pod.to_owned(), source };
    match std::fs::remove_dir_all(pod) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(pod.join("bundle/rootfs")).map_err(fail)
}

fn write(path: &Path, content: &[u8]) -> Result<(), StartError> {
    std::fs::write(path, content)
        .map_err(|source| StartError::File { path: path.to_owned(), source })
}
