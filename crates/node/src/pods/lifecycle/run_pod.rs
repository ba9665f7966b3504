//! Running a pod.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use caisson_net::NetResult;
use caisson_runtime_spec::{DeviceCgroup, Resources};
use caisson_shim::client::{LaunchFds, Launched, find_program, launch};
use caisson_shim::{PodConfig, names as shim_names};

use crate::clock::now_nanos;
use crate::handlers::Handler;
use crate::identity::new_id;
use crate::metadata::{PodDocument, PodOutcome, PodPhase, PodRecord};
use crate::pods::cgroups::{self, PodCgroup};
use crate::pods::namespaces::{PodNamespaces, Wanted, set_sysctls};
use crate::pods::request::PodRequest;
use crate::pods::table::PodEntry;
use crate::pods::view::{CgroupDriver, PodEventKind};
use crate::pods::{PodError, Pods, Step, check, names, network, shared_memory, spec};

/// Limits of the steps. CNI plugins and the supervisor keep their own, which
/// are shorter.
const QUICK: Duration = Duration::from_secs(30);
const NETWORK: Duration = Duration::from_secs(120);
const SUPERVISOR: Duration = Duration::from_secs(120);

/// What one step in the supervisor may take.
const SHIM_STEP: Duration = Duration::from_secs(110);

impl Pods {
    /// Runs a pod; its id. A pod of the same name, uid and attempt that is being
    /// made is joined; one that stands is returned if it was asked for in the
    /// same words.
    ///
    /// # Errors
    /// [`PodError`]; then nothing is left. [`PodError::Exists`] if another pod
    /// stands under the same name, uid and attempt.
    pub fn run_pod(&self, request: PodRequest) -> Result<String, PodError> {
        check::pod(&request)?;
        let wanted = Some(request.handler.as_str()).filter(|name| !name.is_empty());
        let handler = self.engine().handlers().get(wanted)?;
        handler.isolator()?;
        let key = format!(
            "pod {}/{} uid {:?} attempt {}",
            request.namespace, request.name, request.uid, request.attempt
        );
        self.operate("run pod", &key, |step| match self.standing(&request)? {
            Some(id) => Ok(id),
            None => self.make_pod(request, &handler, step),
        })
    }

    /// The pod that stands under the request's name, uid and attempt.
    fn standing(&self, request: &PodRequest) -> Result<Option<String>, PodError> {
        for pod in self.table().pods() {
            if pod.phase() != PodPhase::Ready {
                continue;
            }
            let other = pod.request();
            let key =
                |r: &PodRequest| (r.namespace.clone(), r.name.clone(), r.uid.clone(), r.attempt);
            if key(&other) != key(request) {
                continue;
            }
            if *other == *request {
                return Ok(Some(pod.id.clone()));
            }
            return Err(PodError::Exists {
                what: "pod",
                name: format!("{}/{}", request.namespace, request.name),
                id: pod.id.clone(),
            });
        }
        Ok(None)
    }

    fn make_pod(
        &self,
        request: PodRequest,
        handler: &Handler,
        step: &Step<'_>,
    ) -> Result<String, PodError> {
        step.step("plan", QUICK);
        let id = new_id().map_err(|e| PodError::failed("name the pod", e))?;
        let driver = cgroups::driver(&self.engine().settings());
        let cgroup = PodCgroup::plan(driver, &request.cgroup_parent, &id)?;
        let prepared = cgroup.prepare(&id)?;
        let hostname = match (Wanted::of(&request).uts, request.hostname.as_str()) {
            (true, "") => crate::identity::short(&id).to_owned(),
            (true, own) => own.to_owned(),
            (false, _) => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        };
        let mut record = PodRecord {
            phase: PodPhase::Creating,
            created: now_nanos(),
            outcome: PodOutcome {
                cgroup: Some(prepared.state().clone()),
                own_limits: request.cgroup_parent.is_empty(),
                hostname,
                ..PodOutcome::default()
            },
            document: PodDocument { request, handler: handler.name.clone() },
            id: id.clone(),
        };
        self.engine().metadata().insert_pod(&record)?;
        match self.build_pod(&mut record, prepared, handler, step) {
            Ok(()) => Ok(record.id),
            Err(error) => {
                if self.undo_pod(&record).is_err() {
                    self.keep_remains(record, &error);
                }
                Err(error)
            }
        }
    }

    fn build_pod(
        &self,
        record: &mut PodRecord,
        prepared: cgroups::Prepared<'_>,
        handler: &Handler,
        step: &Step<'_>,
    ) -> Result<(), PodError> {
        let systemd = cgroups::driver(&self.engine().settings()) == CgroupDriver::Systemd;
        let dir = self.pod_dir(&record.id);
        let engine = handler.engine(&self.engine().paths, &dir, systemd)?;
        let program = find_program().ok_or_else(no_supervisor)?;
        let request = record.document.request.clone();
        let wanted = Wanted::of(&request);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|e| PodError::io(format!("make {}", dir.display()), e))?;

        if wanted.user {
            let paths = &self.engine().paths;
            for dir in [paths.run(), &paths.pods(), &dir] {
                searchable(dir)?;
            }
        }

        step.step("make namespaces", QUICK);
        let namespaces = PodNamespaces::make(&request, &record.outcome.hostname)?;
        if wanted.ipc {
            let (uid, gid) = mapped_root(&request);
            shared_memory::mount(&dir, uid, gid)?;
        }

        step.step("make the cgroup", QUICK);
        let mut limits = match (&request.resources, record.outcome.own_limits) {
            (Some(limits), true) => spec::resources(limits, unified())?,
            _ => Resources::default(),
        };
        // Each container has rules of its own; the pod's must not be narrower.
        limits.devices = vec![DeviceCgroup {
            allow: true,
            access: Some("rwm".to_owned()),
            ..DeviceCgroup::default()
        }];
        record.outcome.cgroup = Some(prepared.make(Some(&limits))?);

        step.step("connect the network", NETWORK);
        let connected = match &namespaces.net {
            Some(net) => network::connect(self.engine(), &record.id, &request, net.as_fd())?,
            None => NetResult::default(),
        };
        record.outcome.interfaces.clone_from(&connected.interfaces);
        record.outcome.ports.clone_from(&connected.ports);

        step.step("set sysctls and names", QUICK);
        set_sysctls(&namespaces, &sysctls(&request, wanted)?, mapped_root(&request))?;
        names::write(&dir, &request, &record.outcome.hostname, &connected, !wanted.net)?;

        step.step("start the supervisor", SUPERVISOR);
        let config = PodConfig {
            id: record.id.clone(),
            isolator: engine.isolator.to_owned(),
            sentry: engine.sentry.clone(),
            oci: engine.oci,
            shim: engine.shim,
            state_root: engine.state_root,
            systemd_cgroup: systemd,
            rootless: Some(false),
            cgroup: None,
            containers: Vec::new(),
            exit_command: Vec::new(),
            linger: true,
            containerd: None,
            step_limit_ms: u64::try_from(SHIM_STEP.as_millis()).ok(),
        };
        write_json(&dir.join(shim_names::CONFIG), &config)?;
        let fds = LaunchFds {
            namespaces: namespaces.all(),
            stdio: None,
            held: connected.reservations.iter().map(std::os::fd::AsFd::as_fd).collect(),
        };
        let launched = launch(&program, &dir, &fds)
            .map_err(|e| PodError::failed("start the pod's supervisor", e))?;
        self.commit_pod(record, launched)
    }

    /// Lets a pod that can't be undone now be seen as one that is not ready, so
    /// that whoever asked for it removes it. The next start of the engine does
    /// so if the database can't be told.
    fn keep_remains(&self, mut record: PodRecord, error: &PodError) {
        record.phase = PodPhase::Stopped;
        record.outcome.error = Some(error.to_string());
        let _ =
            self.engine().metadata().advance_pod(&record.id, PodPhase::Stopped, &record.outcome);
        let id = record.id.clone();
        self.table().add_pod(PodEntry::new(record));
        self.tell(PodEventKind::Stopped, &id, &id);
    }

    fn commit_pod(&self, record: &mut PodRecord, launched: Launched) -> Result<(), PodError> {
        record.phase = PodPhase::Ready;
        self.engine().metadata().advance_pod(&record.id, PodPhase::Ready, &record.outcome)?;
        // Should we die before this, the supervisor takes itself away, and the
        // pod is found dead.
        launched.commit().map_err(|e| PodError::failed("keep the pod's supervisor", e))?;
        let pod = PodEntry::new(record.clone());
        self.table().add_pod(Arc::clone(&pod));
        if let Err(error) = self.follow(&record.id) {
            self.table().drop_pod(&record.id);
            return Err(error);
        }
        self.write_pod_event("start", &pod);
        self.tell(PodEventKind::Created, &record.id, &record.id);
        self.tell(PodEventKind::Started, &record.id, &record.id);
        Ok(())
    }

    /// Takes back what a pod that never stood has. Idempotent.
    pub(super) fn undo_pod(&self, record: &PodRecord) -> Result<(), PodError> {
        self.end_supervisor(&record.id)?;
        self.release(record)?;
        remove_dir(&self.pod_dir(&record.id))?;
        self.engine().metadata().forget_pod(&record.id)?;
        Ok(())
    }
}

pub(super) fn no_supervisor() -> PodError {
    let reason = "caisson-shim is neither beside this program nor on the PATH: install it";
    PodError::failed("start the pod's supervisor", reason)
}

/// Whether the host has only cgroup v2.
pub(super) fn unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// The host's ids of the pod's root.
pub(super) fn mapped_root(request: &PodRequest) -> (u32, u32) {
    let user = request.security.namespaces.user.as_ref().filter(|_| Wanted::of(request).user);
    let root = |map: &[crate::pods::request::IdMapping]| {
        map.iter().find(|range| range.container == 0).map_or(0, |range| range.host)
    };
    user.map_or((0, 0), |user| (root(&user.uids), root(&user.gids)))
}

/// Those that were asked for, and docker's: low ports and ping need no
/// capability in a network of one's own.
pub(super) fn sysctls(
    request: &PodRequest,
    wanted: Wanted,
) -> Result<Vec<(String, String)>, PodError> {
    let mut list = check::sysctls(request)?;
    let mut default = |path: &str, value: &str| {
        if !list.iter().any(|(own, _)| own == path) {
            list.push((path.to_owned(), value.to_owned()));
        }
    };
    if wanted.net {
        default("net/ipv4/ip_unprivileged_port_start", "0");
        // Groups that are not mapped can't be named.
        if !wanted.user {
            default("net/ipv4/ping_group_range", "0 2147483647");
        }
    }
    Ok(list)
}

pub(super) fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<(), PodError> {
    let what = || format!("write {}", path.display());
    let text = serde_json::to_vec(value).map_err(|e| PodError::failed(what(), e))?;
    // Secrets come as variables.
    let mut file = std::fs::File::options();
    file.write(true).create(true).truncate(true).mode(0o600);
    file.open(path).and_then(|mut f| f.write_all(&text)).map_err(|e| PodError::io(what(), e))
}

/// Lets others pass through a directory, without seeing what is in it: root of
/// a pod's user namespace has to reach the container's root below it.
pub(super) fn searchable(dir: &Path) -> Result<(), PodError> {
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711))
        .map_err(|e| PodError::io(format!("change the mode of {}", dir.display()), e))
}

/// Removes a directory with all that is in it; none is no error.
pub(super) fn remove_dir(dir: &Path) -> Result<(), PodError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(PodError::io(format!("remove {}", dir.display()), error))
        }
        _ => Ok(()),
    }
}
