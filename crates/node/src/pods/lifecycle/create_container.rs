//! Making a container in a pod.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use caisson_image::{FindImageError, ImageRecord};
use caisson_shim::{
    ContainerConfig, LogConfig, LogDriver, RestartPolicy, RootfsMount, State, Status, StdinMode,
};

use super::run_pod::{
    mapped_root, no_supervisor, remove_dir, searchable, sysctls, unified, write_json,
};
use crate::clock::now_nanos;
use crate::handlers::{HandlerKind, IsolatorKind};
use crate::identity::new_id;
use crate::metadata::{ContainerDocument, ContainerOutcome, Phase, PodContainerRecord, PodPhase};
use crate::pods::cgroups::{self, PodCgroup};
use crate::pods::namespaces::Wanted;
use crate::pods::request::{ContainerMount, NamespaceChoice, PodContainerRequest, PodRequest};
use crate::pods::spec::{self, SpecInput, Volume};
use crate::pods::table::{ContainerEntry, PodEntry, locked};
use crate::pods::view::{ContainerUser, PodEventKind};
use crate::pods::{PodError, Pods, Step, check};
use crate::rootfs::Layers;

const QUICK: Duration = Duration::from_secs(30);
const SUPERVISOR: Duration = Duration::from_secs(120);

/// Seconds for a container to end when its supervisor is told to leave.
const GRACE: u64 = 10;

impl Pods {
    /// Makes a container in a pod; its id. One of the same name and attempt that
    /// is being made is joined; one that waits to be started is returned if it
    /// was asked for in the same words.
    ///
    /// # Errors
    /// [`PodError`]; then nothing is left. [`PodError::Exists`] if there is
    /// another one of that name and attempt.
    pub fn create_container(
        &self,
        pod: &str,
        request: PodContainerRequest,
    ) -> Result<String, PodError> {
        let pod = self.table().pod(pod)?;
        let asked = pod.request();
        check::container(&asked, &request)?;
        let key = format!("container {:?} attempt {} of {}", request.name, request.attempt, pod.id);
        self.operate("create container", &key, |step| {
            let gate = pod.read_gate();
            if pod.phase() != PodPhase::Ready {
                return Err(PodError::State {
                    what: "make a container in pod",
                    id: pod.id.clone(),
                    state: "not ready".to_owned(),
                });
            }
            let made = match self.waiting(&pod, &request)? {
                Some(id) => id,
                None => self.make_container(&pod, &asked, request, step)?,
            };
            drop(gate);
            Ok(made)
        })
    }

    fn waiting(
        &self,
        pod: &PodEntry,
        request: &PodContainerRequest,
    ) -> Result<Option<String>, PodError> {
        for other in self.table().containers_of(&pod.id) {
            let live = other.live();
            if (&live.request.name, live.request.attempt) != (&request.name, request.attempt) {
                continue;
            }
            if live.record.phase == Phase::Created && *live.request == *request {
                return Ok(Some(other.id.clone()));
            }
            return Err(PodError::Exists {
                what: "container",
                name: request.name.clone(),
                id: other.id.clone(),
            });
        }
        Ok(None)
    }

    fn make_container(
        &self,
        pod: &PodEntry,
        asked: &PodRequest,
        request: PodContainerRequest,
        step: &Step<'_>,
    ) -> Result<String, PodError> {
        step.step("find its image", QUICK);
        let image = self.image(&request.image.image)?;
        let volumes =
            request.mounts.iter().map(|mount| self.volume(mount)).collect::<Result<Vec<_>, _>>()?;
        let id = new_id().map_err(|e| PodError::failed("name the container", e))?;
        let log_path = match (asked.log_directory.as_str(), request.log_path.as_str()) {
            ("", _) | (_, "") => PathBuf::new(),
            (dir, path) => Path::new(dir).join(path),
        };
        let mut record = PodContainerRecord {
            pod: pod.id.clone(),
            phase: Phase::Creating,
            created: now_nanos(),
            document: ContainerDocument {
                image: image.id.clone(),
                image_ref: reference(&image),
                volume_refs: volumes
                    .iter()
                    .map(|v| v.as_ref().map(|v| v.image_ref.clone()).unwrap_or_default())
                    .collect(),
                user: ContainerUser::default(),
                stop_signal: spec::stop_signal(&request, &image.config)?,
                log_path: log_path.to_string_lossy().into_owned(),
                request,
            },
            outcome: ContainerOutcome::default(),
            id,
        };
        self.engine().metadata().insert_pod_container(&record)?;
        let made = self.build_container(pod, asked, &mut record, &image, &volumes, step);
        match made {
            Ok(()) => Ok(record.id),
            Err(error) => {
                // What can't be undone now, the next start of the engine does.
                let _ = self.undo_container(&record);
                Err(error)
            }
        }
    }

    fn build_container(
        &self,
        pod: &PodEntry,
        asked: &PodRequest,
        record: &mut PodContainerRecord,
        image: &ImageRecord,
        volumes: &[Option<Volume>],
        step: &Step<'_>,
    ) -> Result<(), PodError> {
        step.step("make its root file system", QUICK);
        let store = self.engine().store()?;
        store.retain(&record.id, image)?;
        let layers = self.writable_layers(&record.id, image)?;
        let (uid, gid) = mapped_root(asked);
        std::os::unix::fs::chown(&layers.upper, Some(uid), Some(gid)).map_err(|e| {
            PodError::io(format!("change the owner of {}", layers.upper.display()), e)
        })?;

        step.step("configure it", QUICK);
        let pod_dir = self.pod_dir(&pod.id);
        let cgroup = self.cgroup_of(pod)?;
        let hostname = pod.live().record.outcome.hostname.clone();
        let built = {
            let what = "look into the container's image";
            let root = layers.view_image().map_err(|e| PodError::failed(what, e))?;
            spec::build(&SpecInput {
                pod_id: &pod.id,
                pod: asked,
                pod_dir: &pod_dir,
                hostname: &hostname,
                request: &record.document.request,
                image: &image.config,
                root: &root,
                volumes,
                cgroup: cgroup.of_container(&record.id),
                unified: unified(),
            })?
        };
        record.document.user = built.user;
        let bundle = bundle_dir(&pod_dir, &record.id);
        make_dir(&bundle.join("rootfs"))?;
        let mapped = Wanted::of(asked).user;
        if mapped {
            open_path(&bundle)?;
        }
        write_json(&bundle.join("config.json"), &built.spec)?;
        if let Some(parent) = Path::new(&record.document.log_path).parent()
            && !record.document.log_path.is_empty()
        {
            std::fs::create_dir_all(parent)
                .map_err(|e| PodError::io(format!("make {}", parent.display()), e))?;
        }

        step.step("have the supervisor make it", SUPERVISOR);
        if self.wants_sandbox_container(pod) {
            self.pod_init(pod, asked)?;
        }
        let share_pids_with = self.pid_lender(pod, asked, &record.document.request)?;
        let config = shim_config(record, bundle, &layers, mapped, share_pids_with);
        let pid = self.shim(&pod.id)?.create(config)?;
        record.phase = Phase::Created;
        record.outcome.pid = Some(pid);
        {
            let mut metadata = self.engine().metadata();
            metadata.amend_pod_container(record)?;
            metadata.advance_pod_container(&record.id, Phase::Created, &record.outcome)?;
        }
        let container = ContainerEntry::new(record.clone());
        self.table().add_container(Arc::clone(&container));
        self.write_event("create", &container);
        self.tell(PodEventKind::Created, &pod.id, &record.id);
        Ok(())
    }

    /// The image that a request names.
    fn image(&self, name: &str) -> Result<ImageRecord, PodError> {
        match self.engine().store()?.find(name) {
            Ok(image) => Ok(image),
            Err(FindImageError::NotFound { .. } | FindImageError::OtherPlatform { .. }) => {
                Err(PodError::NoImage(name.to_owned()))
            }
            Err(FindImageError::Store(error)) => Err(error.into()),
            Err(error) => Err(PodError::invalid("image", error.to_string())),
        }
    }

    fn volume(&self, mount: &ContainerMount) -> Result<Option<Volume>, PodError> {
        let Some(choice) = &mount.image else {
            return match mount.image_sub_path.is_empty() {
                true => Ok(None),
                false => Err(PodError::invalid("mounts.image_sub_path", "there is no image")),
            };
        };
        if !mount.host_path.is_empty() {
            let reason = "a path of the host and an image are one too many";
            return Err(PodError::invalid("mounts.host_path", reason));
        }
        if !mount.readonly {
            let reason = "an image is only mounted read-only: set readonly";
            return Err(PodError::invalid("mounts.readonly", reason));
        }
        let image = self.image(&choice.image)?;
        let layers = self.engine().store()?.rootfs(&image)?.lowers;
        let layers = spec::volume(&layers, &mount.image_sub_path)?;
        Ok(Some(Volume { layers, image_ref: image.id.to_string() }))
    }

    /// The container's own directories, over the image's layers.
    fn writable_layers(&self, id: &str, image: &ImageRecord) -> Result<Layers, PodError> {
        let dir = self.engine().paths.container(id);
        make_dir(&dir)?;
        let one = |name: &str, mode: u32| -> Result<PathBuf, PodError> {
            let path = dir.join(name);
            let fail = |e| PodError::io(format!("make {}", path.display()), e);
            std::fs::create_dir(&path).map_err(fail)?;
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).map_err(fail)?;
            Ok(path)
        };
        let (upper, work) = (one("upper", 0o755)?, one("work", 0o700)?);
        let mut lowers = self.engine().store()?.rootfs(image)?.lowers;
        if lowers.is_empty() {
            // Overlay wants one, and an image may have none.
            lowers.push(one("empty", 0o755)?);
        }
        Ok(Layers { lowers, upper, work, userxattr: false })
    }

    pub(super) fn cgroup_of(&self, pod: &PodEntry) -> Result<PodCgroup, PodError> {
        let parent = pod.request().cgroup_parent.clone();
        PodCgroup::plan(cgroups::driver(&self.engine().settings()), &parent, &pod.id)
    }

    /// The container whose PID namespace is shared; the built-in init, which is
    /// made when it is first needed, for the pod's.
    fn pid_lender(
        &self,
        pod: &PodEntry,
        asked: &PodRequest,
        request: &PodContainerRequest,
    ) -> Result<Option<String>, PodError> {
        let options = &request.security.namespaces;
        match options.pid {
            NamespaceChoice::Container | NamespaceChoice::Node => Ok(None),
            NamespaceChoice::Pod => self.pod_init(pod, asked).map(Some),
            NamespaceChoice::Target => {
                let target = self.table().container(&options.target)?;
                if target.pod != pod.id {
                    let reason = format!("{} is in another pod", options.target);
                    return Err(PodError::invalid("namespace_options.target_id", reason));
                }
                let (theirs, phase) = {
                    let live = target.live();
                    (live.request.security.namespaces.pid, live.record.phase)
                };
                match theirs {
                    NamespaceChoice::Node => Ok(None),
                    NamespaceChoice::Pod => self.pod_init(pod, asked).map(Some),
                    _ if !matches!(phase, Phase::Created | Phase::Running) => {
                        Err(PodError::State {
                            what: "share the PID namespace of container",
                            id: target.id.clone(),
                            state: "not running".to_owned(),
                        })
                    }
                    _ => Ok(Some(target.id.clone())),
                }
            }
        }
    }

    /// Whether the pod's handler makes its sandbox for a container that runs
    /// nothing.
    fn wants_sandbox_container(&self, pod: &PodEntry) -> bool {
        match self.handler_of(pod) {
            Some(HandlerKind::Shim(shim)) => shim.sandbox_container,
            // Its kernel outlives every other container of the pod.
            Some(HandlerKind::Isolator(kind)) => kind == IsolatorKind::Sentry,
            _ => false,
        }
    }

    fn handler_of(&self, pod: &PodEntry) -> Option<HandlerKind> {
        let name = pod.live().record.document.handler.clone();
        self.engine().handlers().get(Some(&name)).ok().map(|handler| handler.kind)
    }

    fn pod_init(&self, pod: &PodEntry, asked: &PodRequest) -> Result<String, PodError> {
        let only_one = locked(&pod.init);
        if pod.live().record.outcome.init {
            let init = self.shim(&pod.id)?.container(&pod.id);
            // One that has ended still counts as running while what it had is taken away.
            let runs = |state: State| state.status == Status::Running && state.pid.is_some();
            if init.state().is_ok_and(runs) {
                return Ok(pod.id.clone());
            }
            // Somebody has killed it, or the foreign shim that had it.
            init.remove(true)?;
        }
        let program = caisson_shim::client::find_program().ok_or_else(no_supervisor)?;
        let program = program.with_file_name("caisson-init");
        let pod_dir = self.pod_dir(&pod.id);
        let cgroup = self.cgroup_of(pod)?.of_container(&pod.id);
        let mut spec = spec::init_spec(&pod.id, asked, &program, cgroup)?;
        if self.handler_of(pod) == Some(HandlerKind::Isolator(IsolatorKind::Sentry))
            && let Some(linux) = spec.linux.as_mut()
        {
            // The namespaces have them; this kernel does not ask the host's.
            linux.sysctl = sysctls(asked, Wanted::of(asked))?.into_iter().collect();
        }
        let bundle = bundle_dir(&pod_dir, &pod.id);
        for dir in ["rootfs/proc", "rootfs/dev"] {
            make_dir(&bundle.join(dir))?;
        }
        if Wanted::of(asked).user {
            open_path(&bundle)?;
        }
        // Its root may be another than ours.
        for dir in [bundle.join("rootfs"), bundle.join("rootfs/proc"), bundle.join("rootfs/dev")] {
            std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755))
                .map_err(|e| PodError::io(format!("make {}", dir.display()), e))?;
        }
        write_json(&bundle.join("config.json"), &spec)?;
        let shim = self.shim(&pod.id)?;
        if shim.state()?.containers.iter().any(|known| known.id == pod.id) {
            // An engine that was killed before it could note it has made it.
            shim.container(&pod.id).remove(true)?;
        }
        shim.create(ContainerConfig {
            id: pod.id.clone(),
            bundle: Some(bundle),
            rootfs: RootfsMount::None,
            log: LogConfig::default(),
            stdin: StdinMode::Closed,
            restart: RestartPolicy::No,
            stop_signal: None,
            stop_grace_ms: Some(1000),
            init: false,
            share_pids_with: None,
        })?;
        shim.container(&pod.id).start()?;
        let outcome = {
            let mut live = pod.live();
            live.record.outcome.init = true;
            live.record.outcome.clone()
        };
        self.engine().metadata().advance_pod(&pod.id, PodPhase::Ready, &outcome)?;
        drop(only_one);
        Ok(pod.id.clone())
    }

    /// Takes back what a container that was never complete has. Idempotent.
    pub(super) fn undo_container(&self, record: &PodContainerRecord) -> Result<(), PodError> {
        if let Ok(shim) = self.shim(&record.pod) {
            // Most often the supervisor has never heard of it.
            let _ = shim.container(&record.id).remove(true);
        }
        self.forget_container(record)
    }
}

/// The bundle of a container.
pub(in crate::pods) fn bundle_dir(pod_dir: &Path, container: &str) -> PathBuf {
    pod_dir.join("bundles").join(container)
}

/// The directories of a bundle below the pod's own, and the root in it.
fn open_path(bundle: &Path) -> Result<(), PodError> {
    for dir in bundle.parent().into_iter().chain([bundle, &bundle.join("rootfs")]) {
        searchable(dir)?;
    }
    Ok(())
}

pub(super) fn make_dir(path: &Path) -> Result<(), PodError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| PodError::io(format!("make {}", path.display()), e))
}

/// The image by a repository's digest, else its id.
fn reference(image: &ImageRecord) -> String {
    image.digests.first().map_or_else(|| image.id.to_string(), ToString::to_string)
}

fn shim_config(
    record: &PodContainerRecord,
    bundle: PathBuf,
    layers: &Layers,
    mapped: bool,
    share_pids_with: Option<String>,
) -> ContainerConfig {
    let request = &record.document.request;
    let log = match record.document.log_path.is_empty() {
        true => LogConfig::default(),
        // The orchestrator rotates it.
        false => LogConfig {
            driver: LogDriver::K8s,
            path: PathBuf::from(&record.document.log_path),
            max_size: 0,
            max_files: 1,
        },
    };
    ContainerConfig {
        id: record.id.clone(),
        bundle: Some(bundle),
        rootfs: RootfsMount::Overlay {
            lowers: layers.lowers.clone(),
            upper: Some((layers.upper.clone(), layers.work.clone())),
            // The configuration says so, after mount points are made.
            read_only: false,
            userxattr: layers.userxattr,
            // Nobody starts it again after a crash of the machine.
            volatile: true,
            mapped,
        },
        log,
        stdin: match (request.stdin, request.stdin_once) {
            (false, _) => StdinMode::Closed,
            (true, true) => StdinMode::Once,
            (true, false) => StdinMode::Open,
        },
        restart: RestartPolicy::No,
        stop_signal: Some(record.document.stop_signal),
        stop_grace_ms: Some(GRACE * 1000),
        init: false,
        share_pids_with,
    }
}

impl Pods {
    /// Removes what is on the disk of a container that runs no more, and
    /// forgets it. Idempotent.
    pub(super) fn forget_container(&self, record: &PodContainerRecord) -> Result<(), PodError> {
        remove_dir(&bundle_dir(&self.pod_dir(&record.pod), &record.id))?;
        remove_dir(&self.engine().paths.container(&record.id))?;
        self.engine().store()?.release(&record.id)?;
        self.engine().metadata().forget_pod_container(&record.id)?;
        Ok(())
    }
}
