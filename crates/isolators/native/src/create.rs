//! Making a container, from the runtime's side.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use caisson_cgroup::{Cgroup, CgroupConfig, Driver, Joiner, UnitProperty};
use caisson_isolator::{ContainerRequest, SandboxError, SpawnedProcess};
use caisson_runtime_spec::{Hooks, Linux, Seccomp, Spec, Status};
use caisson_seccomp::Filter;
use caisson_sys::clone::{CloneFlags, Side, clone3};
use caisson_sys::process_stat::ProcessStat;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType, bind, listen, shutdown,
    socket_with,
};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use crate::channel::{Channel, Received, Word};
use crate::guest::{CONTROL, GuestKernel};
use crate::init::Init;
use crate::intel_rdt::Classes;
use crate::isolator::Settings;
use crate::namespaces::Namespaces;
use crate::sources::Sources;
use crate::state::{FirstProcess, Record, START, SeccompListener, StateDir, VERSION};
use crate::step::{Context, StepError};
use crate::{
    fault, hooks, host_mounts, intel_rdt, maps, net_devices, oom_score, seccomp_listener, successor,
};

/// A container that was just made.
pub(crate) struct Created {
    pub(crate) record: Record,
    pub(crate) process: SpawnedProcess,
}

/// Makes the container in `dir`. A failure takes back everything but `dir`.
pub(crate) fn create(
    settings: &Settings,
    dir: &StateDir,
    request: &ContainerRequest,
) -> Result<Created, SandboxError> {
    let none = Linux::default();
    let linux = request.spec.linux.as_ref().unwrap_or(&none);
    let mut making = Making::plan(settings, dir, request, linux)?;
    match making.make(dir, request, linux) {
        Ok(process) => Ok(Created { record: making.record, process }),
        Err(error) => {
            making.take_back();
            Err(error.into())
        }
    }
}

/// What has been made so far.
struct Making {
    record: Record,
    cgroup: Cgroup,
    filter: Option<Filter>,
    namespaces: Namespaces,
    sources: Sources,
    classes: Option<Classes>,
    /// The process, and the intermediate one while there is one.
    process: Option<SpawnedProcess>,
    intermediate: Option<OwnedFd>,
    kernel: Option<Rc<dyn GuestKernel>>,
}

impl Making {
    /// All that can fail without anything having been made; the cgroup last.
    fn plan(
        settings: &Settings,
        dir: &StateDir,
        request: &ContainerRequest,
        linux: &Linux,
    ) -> Result<Self, SandboxError> {
        let spec = &request.spec;
        maps::check_rights(spec)?;
        let rootfs = rootfs(spec, &request.bundle)?;
        let filter = compile(linux.seccomp.as_ref())?;
        let namespaces = Namespaces::open(&linux.namespaces)?;
        fault::point("namespaces")?;
        let sources = Sources::open(spec, linux, &namespaces, &request.bundle, &rootfs)?;
        fault::point("sources")?;
        let config = CgroupConfig {
            id: request.id.as_str(),
            cgroups_path: linux.cgroups_path.as_deref(),
            driver: if settings.systemd_cgroup { Driver::Systemd } else { Driver::Cgroupfs },
            rootless: settings.is_rootless(),
            scope_prefix: "caisson",
        };
        let classes = match &linux.intel_rdt {
            Some(rdt) => Some(Classes::open(rdt, request.id.as_str())?),
            None => None,
        };
        let host_mounts = match namespaces.has_mount() {
            true => None,
            false => Some(host_mounts::stacked(&rootfs)?),
        };
        let planning = || "create the container's cgroup";
        let planned = Cgroup::plan(&config).map_err(|error| error.to_string()).context(planning)?;
        let hooks = spec.hooks.clone().unwrap_or_default();
        let listener = linux.seccomp.as_ref().and_then(|profile| {
            Some(SeccompListener {
                path: profile.listener_path.clone()?,
                metadata: profile.listener_metadata.clone().unwrap_or_default(),
            })
        });
        let mut record = Record {
            version: VERSION,
            id: request.id.to_string(),
            oci_version: spec.oci_version.clone(),
            bundle: request.bundle.clone(),
            rootfs,
            created: SystemTime::now(),
            owner_uid: rustix::process::geteuid().as_raw(),
            annotations: spec.annotations.clone(),
            namespaces: linux.namespaces.iter().fold(0, |set, ns| set | ns.kind.clone_flag()),
            host_mounts,
            own_pids: namespaces.new.contains(CloneFlags::NEWPID)
                && settings.kernel.as_ref().is_none_or(|kernel| kernel.elsewhere().is_none()),
            cgroup: planned.state().clone(),
            poststart: hooks.poststart,
            poststop: hooks.poststop,
            resctrl: classes.as_ref().and_then(Classes::removable),
            seccomp_listener: listener,
        };
        // Before there is a cgroup: if we are killed, `delete` knows of it.
        let cgroup = save(dir, &record, spec).and_then(|()| {
            planned
                .create(&config, linux.resources.as_ref())
                .map_err(|error| error.to_string())
                .context(planning)
        });
        let cgroup = match cgroup {
            Ok(cgroup) => cgroup,
            Err(error) => {
                // The planned cgroup may be another's.
                dir.forget_record();
                return Err(error.into());
            }
        };
        let made = cgroup.state();
        let as_planned = made == record.cgroup;
        record.cgroup = made;
        let making = Self {
            record,
            cgroup,
            filter,
            namespaces,
            sources,
            classes,
            process: None,
            intermediate: None,
            kernel: settings.kernel.clone(),
        };
        let saved = fault::point("cgroup").and_then(|()| match as_planned {
            true => Ok(()),
            false => dir.save_record(&making.record),
        });
        match saved {
            Ok(()) => Ok(making),
            Err(error) => {
                making.take_back();
                Err(error.into())
            }
        }
    }

    fn make(
        &mut self,
        dir: &StateDir,
        request: &ContainerRequest,
        linux: &Linux,
    ) -> Result<SpawnedProcess, StepError> {
        let start = if request.start { None } else { Some(start_socket(dir)?) };
        fault::point("start-socket")?;
        let control = match self.kernel {
            Some(_) => Some(control_socket(dir)?),
            None => None,
        };
        let sockets = (start.as_ref(), control.as_ref());
        let ours = self.clone_first(request, linux, Channel::pair()?, sockets)?;
        drop((start, control));
        fault::point("clone")?;
        if self.namespaces.needs_intermediate() {
            self.follow_successor(&ours)?;
        }
        let pid = self.process()?.pid;
        let new_user = self.namespaces.new.contains(CloneFlags::NEWUSER);
        if new_user {
            maps::write(pid, &linux.uid_mappings, &linux.gid_mappings)?;
            fault::point("maps")?;
        }
        self.set_oom_score(&request.spec)?;
        if new_user || self.namespaces.needs_intermediate() {
            ours.send(Word::Mapped, b"")?;
        }
        let number = pid.as_raw_nonzero().get();
        let stat = ProcessStat::read(number)
            .ok_or("it ended at once")
            .context(|| "look at the container's first process")?;
        dir.save_first_process(FirstProcess { pid: number, start_time: stat.start_time })?;
        fault::point("pid")?;
        self.serve(&ours, &request.spec, linux)?;
        fault::point("ready")?;
        ours.send(Word::Ready, b"")?;
        let process = self.process.take().ok_or("lost").context(|| "the first process")?;
        if request.start {
            if let Err(error) = self.await_exec(&ours, &process) {
                self.process = Some(process);
                return Err(error);
            }
            let state = self.record.state_document(Status::Running, number);
            if let Err(error) = hooks::run("poststart", &self.record.poststart, &state) {
                self.process = Some(process);
                return Err(error);
            }
        }
        Ok(process)
    }

    fn clone_first(
        &mut self,
        request: &ContainerRequest,
        linux: &Linux,
        (ours, theirs): (Channel, Channel),
        (start, control): (Option<&OwnedFd>, Option<&OwnedFd>),
    ) -> Result<Channel, StepError> {
        let joiner = self.joiner()?;
        let template = self.record.state_template(Status::Created);
        let init = Init {
            spec: &request.spec,
            linux,
            rootfs: &self.record.rootfs,
            bundle: &request.bundle,
            namespaces: &self.namespaces,
            sources: &self.sources,
            cgroup: &self.cgroup,
            joiner: joiner.as_ref(),
            unit: Cell::default(),
            filter: self.filter.as_ref(),
            console: request.console.as_ref(),
            start,
            kernel: self.kernel.as_ref().zip(control),
            owner_may_enter: self.record.owner_uid != 0 && self.namespaces.has_user(),
            preserve_fds: request.preserve_fds,
            no_pivot: request.no_pivot,
            no_new_keyring: request.no_new_keyring,
            hook_state: &|pid| template.with_pid(pid),
            channel: &theirs,
        };
        let split = self.namespaces.needs_intermediate();
        let pid_namespace = self.namespaces.pid_join().filter(|_| !split);
        let flags = if split { CloneFlags::empty() } else { self.namespaces.at_clone() };
        let own = match pid_namespace {
            Some(join) => {
                let own = own_pid_namespace()?;
                join.enter()?;
                Some(own)
            }
            None => None,
        };
        let into = joiner.as_ref().and_then(Joiner::clone_into_fd);
        let side = clone3(flags, into);
        if let (Some(own), false) = (own, matches!(side, Ok(Side::Child))) {
            // Hooks are to run where the runtime runs.
            rustix::thread::move_into_link_name_space(own.as_fd(), None)
                .context(|| "return to the runtime's PID namespace")?;
        }
        match side.context(|| "clone the container's first process")? {
            Side::Child => {
                // With a copy of our end it would wait for us when we are gone.
                drop(ours);
                init.run()
            }
            Side::Parent { pidfd, .. } if split => self.intermediate = Some(pidfd),
            Side::Parent { pid, pidfd } => {
                self.process = Some(SpawnedProcess { pid, pidfd, stands_for: None });
            }
        }
        Ok(ours)
    }

    fn joiner(&self) -> Result<Option<Joiner>, StepError> {
        if self.record.cgroup.unit.is_some() {
            return Ok(None);
        }
        self.cgroup
            .joiner()
            .map(Some)
            .map_err(|error| error.to_string())
            .context(|| "open the container's cgroup")
    }

    /// Files by which a kernel elsewhere moves the container's processes; none if they
    /// are children of the first one.
    fn guest_cgroups(&self) -> Result<Vec<OwnedFd>, StepError> {
        if self.kernel.as_ref().is_none_or(|kernel| kernel.elsewhere().is_none()) {
            return Ok(Vec::new());
        }
        let step = || "open the cgroup of the container's systemd unit";
        let joiner = self.cgroup.joiner().map_err(|error| error.to_string()).context(step)?;
        joiner.writable().context(step)
    }

    /// The intermediate process reports the one that it cloned as our child.
    fn follow_successor(&mut self, channel: &Channel) -> Result<(), StepError> {
        self.process = Some(successor::follow(channel, "find the container's first process")?);
        if let Some(intermediate) = self.intermediate.take() {
            let _ = waitid(WaitId::PidFd(intermediate.as_fd()), WaitIdOptions::EXITED);
        }
        Ok(())
    }

    fn process(&self) -> Result<&SpawnedProcess, StepError> {
        self.process.as_ref().ok_or("there is none").context(|| "the container's first process")
    }

    /// Before the process hides from us, and while it has no memory to speak of.
    fn set_oom_score(&self, spec: &Spec) -> Result<(), StepError> {
        let Some(process) = &spec.process else { return Ok(()) };
        let pid = self.process()?.pid.as_raw_nonzero();
        oom_score::set(process, &format!("/proc/{pid}"), self.namespaces.has_user())
    }

    /// Answers the first process until it is ready.
    fn serve(&mut self, channel: &Channel, spec: &Spec, linux: &Linux) -> Result<(), StepError> {
        if let (Some(rdt), Some(classes)) = (&linux.intel_rdt, &self.classes) {
            classes.apply(rdt, self.process()?.pid)?;
        }
        loop {
            match channel.receive()? {
                Some((Word::Ready, _)) => return Ok(()),
                Some((Word::Hooks, _)) => {
                    self.runtime_hooks(spec.hooks.as_ref(), linux)?;
                    channel.send(Word::Hooks, b"")?;
                }
                Some((Word::Cgroup, _)) => {
                    let pid = self.process()?.pid;
                    self.cgroup
                        .start_unit(pid, linux.resources.as_ref(), &self.unit_properties()?)
                        .map_err(|error| error.to_string())
                        .context(|| "start the container's systemd unit")?;
                    channel.send_with(Word::Cgroup, &self.guest_cgroups()?)?;
                }
                Some((Word::Error, text)) => return Err(Channel::reported(&text)),
                Some((word, _)) => {
                    return Err(StepError::new("container creation", format!("{word:?} came")));
                }
                None => {
                    return Err(StepError::new(
                        "container creation",
                        "the first process ended without saying why (was it killed for memory?)",
                    ));
                }
            }
        }
    }

    /// What annotations ask of the systemd unit, as runc reads them.
    fn unit_properties(&self) -> Result<Vec<UnitProperty>, StepError> {
        self.record
            .annotations
            .iter()
            .filter_map(|(key, value)| UnitProperty::from_annotation(key, value).transpose())
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())
            .context(|| "config.json")
    }

    fn runtime_hooks(&self, hooks: Option<&Hooks>, linux: &Linux) -> Result<(), StepError> {
        let pid = self.process()?.pid.as_raw_nonzero().get();
        net_devices::move_all(&linux.net_devices, pid)?;
        let Some(hooks) = hooks else { return Ok(()) };
        let state = self.record.state_document(Status::Creating, pid);
        hooks::run("prestart", &hooks.prestart, &state)?;
        hooks::run("createRuntime", &hooks.create_runtime, &state)
    }

    /// Waits until the program runs: the channel closes when it is executed.
    fn await_exec(&self, channel: &Channel, process: &SpawnedProcess) -> Result<(), StepError> {
        await_exec(channel, process, &self.record).map(drop)
    }

    /// Takes back what was made. Best effort: the error that led here counts.
    fn take_back(&self) {
        for pidfd in self.process.iter().map(|process| &process.pidfd).chain(&self.intermediate) {
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
            let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
        }
        if let Err(error) = self.record.remove_host_mounts() {
            crate::warn(&error);
        }
        if let Some(path) = &self.record.resctrl {
            intel_rdt::remove(path);
        }
        if let Err(error) = self.cgroup.delete() {
            crate::warn(&StepError::new("remove the container's cgroup", error.to_string()));
        }
    }
}

/// Waits until the process on the other side has executed its program, and
/// serves its seccomp listener meanwhile. False if it never listened to us.
pub(crate) fn await_exec(
    channel: &Channel,
    process: &SpawnedProcess,
    record: &Record,
) -> Result<bool, StepError> {
    loop {
        match channel.next()? {
            Received::Closed => return Ok(true),
            Received::Reset => return Ok(false),
            Received::Message(Word::Error, text) => return Err(Channel::reported(&text)),
            Received::Message(Word::Listener, number) => {
                seccomp_listener::hand_over(record, process, &number)?;
                channel.send(Word::Listener, b"")?;
            }
            Received::Message(word, _) => {
                return Err(StepError::new("start of the program", format!("{word:?} came")));
            }
        }
    }
}

fn save(dir: &StateDir, record: &Record, spec: &Spec) -> Result<(), StepError> {
    dir.save_record(record)?;
    dir.save_config(spec)?;
    fault::point("record")
}

/// The filter that the configuration asks for.
pub(crate) fn compile(profile: Option<&Seccomp>) -> Result<Option<Filter>, StepError> {
    profile
        .map(Filter::compile)
        .transpose()
        .map_err(|error| error.to_string())
        .context(|| "config.json: linux.seccomp")
}

fn rootfs(spec: &Spec, bundle: &Path) -> Result<PathBuf, StepError> {
    let root = spec.root.as_ref().ok_or("it is missing").context(|| "config.json: root")?;
    let path = bundle.join(&root.path);
    let step = || format!("config.json: root.path: {}", path.display());
    let path = std::fs::canonicalize(&path).context(step)?;
    if path == Path::new("/") {
        return Err(StepError::new(step(), "the host's root can't be a container's"));
    }
    Ok(path)
}

fn own_pid_namespace() -> Result<OwnedFd, StepError> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open("/proc/self/ns/pid", flags, Mode::empty())
        .context(|| "open the runtime's PID namespace")
}

/// Where `start` knocks. Bound through the directory's descriptor: names of
/// sockets hold 107 bytes only (unix(7)).
fn start_socket(dir: &StateDir) -> Result<OwnedFd, StepError> {
    let step = || format!("make {}", dir.path().join(START).display());
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .context(step)?;
    bind(&socket, &start_address(dir)?).context(step)?;
    listen(&socket, 1).context(step)?;
    Ok(socket)
}

/// Where a container's own kernel is spoken to: one datagram a request.
fn control_socket(dir: &StateDir) -> Result<OwnedFd, StepError> {
    let step = || format!("make {}", dir.path().join(CONTROL).display());
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .context(step)?;
    let name = format!("{}/{CONTROL}", caisson_sys::descriptors::proc_path(dir.as_fd()));
    let address = SocketAddrUnix::new(name).context(step)?;
    bind(&socket, &address).context(step)?;
    // Who has it hears requests, and reaches nobody else's socket by it.
    shutdown(&socket, Shutdown::Write).context(step)?;
    Ok(socket)
}

/// The start socket's address, whatever the length of the directory's name.
pub(crate) fn start_address(dir: &StateDir) -> Result<SocketAddrUnix, StepError> {
    let path = format!("{}/{START}", caisson_sys::descriptors::proc_path(dir.as_fd()));
    SocketAddrUnix::new(path).context(|| "name the start socket")
}

/// An error that means that the process is gone.
pub(crate) fn is_gone(error: Errno) -> bool {
    error == Errno::SRCH
}
