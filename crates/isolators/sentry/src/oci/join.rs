//! A container in the sandbox of another one: which that is, and how it gets there.
//!
//! Containers of a pod say whose sandbox is theirs by an annotation; others join the
//! network namespace of a container that has a sentry.

use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use caisson_foreign::step::Context as _;
use caisson_isolator::{ContainerId, ContainerStatus, Isolator, SandboxError};
use caisson_native::{CONTROL, Guest, NativeIsolator};
use caisson_runtime_spec::{NamespaceKind, Spec};
use caisson_sys::clone::exit_now;
use caisson_sys::signal_fd::SignalMask;
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, socketpair,
};

use super::exec::stand_in;
use super::guest::{complain, streams};
use crate::control::{Answer, JOIN, Joining, MAX_REQUEST, VERSION, receive, send};
use crate::kernel::Shared;
use crate::launch;
use crate::vfs::setup::Layout;

/// Annotations by which engines of pods tell what a container is, and whose.
const TYPES: [(&str, &str); 2] = [
    ("io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"),
    ("io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID"),
];
/// Descriptors that one message can have (SCM_MAX_FD).
const MOST_DESCRIPTORS: usize = 253;

/// The sandbox that a container joins.
#[derive(Debug)]
pub(super) struct Join {
    /// Connected to the control socket of the container whose kernel is asked.
    socket: OwnedFd,
    pub(super) shared: Shared,
}

/// Device and inode of a namespace.
type Identity = (u64, u64);

fn identity(path: &str) -> Option<Identity> {
    rustix::fs::stat(path).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

/// The namespace that a container is going to be in; `None` for a new one.
fn wanted(spec: &Spec, kind: NamespaceKind) -> Option<Identity> {
    let found = spec.linux.as_ref().and_then(|linux| linux.namespace(kind));
    match found.map(|found| found.path.as_deref()) {
        None => identity(&format!("/proc/self/ns/{}", file(kind))),
        Some(None | Some("")) => None,
        Some(Some(path)) => identity(path),
    }
}

fn file(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Pid => "pid",
        NamespaceKind::Network => "net",
        NamespaceKind::Ipc => "ipc",
        NamespaceKind::Uts => "uts",
        NamespaceKind::Mount => "mnt",
        NamespaceKind::User => "user",
        NamespaceKind::Cgroup => "cgroup",
        NamespaceKind::Time => "time",
    }
}

impl Join {
    /// The sandbox for a container of this configuration, if it is another one's.
    ///
    /// # Errors
    /// If that is not there, or does not run.
    pub(super) fn find(
        native: &NativeIsolator,
        root: &Path,
        id: &ContainerId,
        spec: &Spec,
    ) -> Result<Option<Self>, SandboxError> {
        let network = wanted(spec, NamespaceKind::Network);
        let named = named(spec).filter(|name| *name != id.as_str());
        let candidates = match named {
            Some(name) => {
                let step = || format!("join the sandbox {name:?} that annotations name");
                let sandbox = name.parse::<ContainerId>().context(step)?;
                let Some(pid) = running(native, &sandbox)? else {
                    let cause = "there is no such container, or it does not run: start it first";
                    return Err(SandboxError::step(step(), cause));
                };
                if namespace_of(pid, NamespaceKind::Network) != network {
                    let cause = "its network namespace is another one: a sandbox has one network";
                    return Err(SandboxError::step(step(), cause));
                }
                vec![(sandbox, pid)]
            }
            None => {
                let own = identity("/proc/self/ns/net");
                if network.is_none() || network == own {
                    return Ok(None);
                }
                members(native, id, network)?
            }
        };
        let Some((host, pid)) = candidates.first() else { return Ok(None) };
        // The one whose processes are to be seen, if it is another.
        let pids = wanted(spec, NamespaceKind::Pid);
        let (mut host, mut pid) = (host.clone(), *pid);
        if pids.is_some() && namespace_of(pid, NamespaceKind::Pid) != pids {
            for (other, its) in members(native, id, network)? {
                if namespace_of(its, NamespaceKind::Pid) == pids {
                    (host, pid) = (other, its);
                }
            }
        }
        // Ids of one are not those of the other, and a kernel has one kind.
        let users = namespace_of(pid, NamespaceKind::User);
        if users.is_some() && users != wanted(spec, NamespaceKind::User) {
            let cause = "its user namespace is another one: a sandbox has one";
            return Err(SandboxError::step(format!("join the sandbox of container {host}"), cause));
        }
        let same = |kind| {
            let wanted = wanted(spec, kind);
            wanted.is_some() && namespace_of(pid, kind) == wanted
        };
        let shared = Shared {
            processes: same(NamespaceKind::Pid),
            ipc: same(NamespaceKind::Ipc),
            host_name: same(NamespaceKind::Uts),
        };
        let socket = reach(&root.join(host.as_str()))
            .context(|| format!("reach the sandbox of container {host}"))?;
        Ok(Some(Join { socket, shared }))
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Runs as the container's first process: has it made in the sandbox, and stands for
    /// it until it ends.
    pub(super) fn run(&self, spec: &Spec, layout: &Layout, guest: Guest) -> u8 {
        let mask = SignalMask::sendable();
        let Guest {
            program,
            environment,
            control,
            preserve_fds,
            report,
            terminal,
            cgroups,
            mut opened,
        } = guest;
        let asked = mask.block().context(|| "block signals").and_then(|_| {
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|e| e.to_string());
            let variables = environment.into_iter().map(|v| text(v.into_bytes()));
            let step = || "read the program's variables";
            let request = Joining {
                spec: spec.clone(),
                program: text(program.into_bytes()).context(step)?,
                environment: variables.collect::<Result<_, _>>().context(step)?,
                terminal,
                streams: Vec::new(),
                cgroups: cgroups.len(),
                roots: 0,
                host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
                shared: self.shared,
            };
            let held = (control, cgroups, opened.pop());
            self.ask(request, layout, held, (preserve_fds, terminal))
        });
        match asked {
            Ok(connection) => {
                drop(report);
                exit_now(stand_in(&connection, &mask))
            }
            Err(SandboxError::Step { step, source }) => {
                report.failed(&step, &source.to_string());
                255
            }
            Err(error) => {
                report.failed("join the sandbox", &error.to_string());
                255
            }
        }
    }

    fn ask(
        &self,
        mut request: Joining,
        layout: &Layout,
        (control, cgroups, store): (OwnedFd, Vec<OwnedFd>, Option<OwnedFd>),
        (preserve_fds, terminal): (u32, bool),
    ) -> Result<OwnedFd, SandboxError> {
        let step = || "ask the sandbox for a container";
        let streams = streams(preserve_fds, terminal).context(step)?;
        let roots = launch::open_roots(Path::new("/"), layout).context(step)?;
        let (_, broker) = launch::start_broker(&roots, store, complain).context(step)?;
        // The first container's has it, and nobody else is to give it one.
        broker.keep_processes(None).context(step)?;
        let broker = broker.socket().context(step)?;
        request.streams = streams.list.iter().map(|(number, _)| *number).collect();
        request.roots = roots.len();
        let text = serde_json::to_vec(&request).context(step)?;
        let count = 4 + cgroups.len() + roots.len() + streams.list.len();
        if text.len() > MAX_REQUEST || count > MOST_DESCRIPTORS {
            let cause = format!("{count} descriptors, {} bytes are too many", text.len());
            return Err(SandboxError::step(step(), cause));
        }
        let file = memfd_create("container", MemfdFlags::CLOEXEC).context(step)?;
        let mut file = std::fs::File::from(file);
        file.write_all(&text).context(step)?;
        let (flags, unix) = (SocketFlags::CLOEXEC, AddressFamily::UNIX);
        let (ours, theirs) = socketpair(unix, SocketType::SEQPACKET, flags, None).context(step)?;
        let mut with = vec![theirs.as_fd(), file.as_fd(), control.as_fd(), broker.as_fd()];
        with.extend(cgroups.iter().map(AsFd::as_fd));
        with.extend(roots.iter().map(AsFd::as_fd));
        with.extend(streams.list.iter().map(|(_, stream)| stream.as_fd()));
        send(&self.socket, &[VERSION, JOIN], &with).context(step)?;
        drop(with);
        drop((theirs, streams, roots, broker, control, cgroups));
        match Answer::decode(&receive(&ours).context(step)?.bytes) {
            Some(Answer::Started(_)) => Ok(ours),
            Some(Answer::Failed(step, cause)) => Err(SandboxError::step(step, cause)),
            _ => Err(SandboxError::step(step(), "the sandbox has ended")),
        }
    }
}

/// The sandbox's name, if the container says that it is one of several of a pod.
fn named(spec: &Spec) -> Option<&str> {
    TYPES.iter().find_map(|(kind, whose)| {
        let kind = spec.annotations.get(*kind)?;
        (kind == "container").then(|| spec.annotations.get(*whose).map(String::as_str)).flatten()
    })
}

fn namespace_of(pid: i32, kind: NamespaceKind) -> Option<Identity> {
    identity(&format!("/proc/{pid}/ns/{}", file(kind)))
}

/// The number of a container's first process, if it runs its program.
fn running(native: &NativeIsolator, id: &ContainerId) -> Result<Option<i32>, SandboxError> {
    let info = native.open_sandbox(id).and_then(|sandbox| sandbox.container(id)?.info());
    match info {
        Ok(info) if info.status == ContainerStatus::Running => Ok(Some(info.pid)),
        Ok(_) | Err(SandboxError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Running containers in this network namespace, but for one.
fn members(
    native: &NativeIsolator,
    but: &ContainerId,
    network: Option<Identity>,
) -> Result<Vec<(ContainerId, i32)>, SandboxError> {
    let mut found = Vec::new();
    for id in native.sandboxes()?.into_iter().filter(|id| id != but) {
        // One that is being made or removed is none.
        if let Ok(Some(pid)) = running(native, &id)
            && namespace_of(pid, NamespaceKind::Network) == network
        {
            found.push((id, pid));
        }
    }
    Ok(found)
}

/// A socket to a container's kernel.
pub(super) fn reach(dir: &Path) -> Result<OwnedFd, rustix::io::Errno> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // Names of sockets hold 107 bytes only (unix(7)).
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(dir, folder, Mode::empty())?;
    let name = format!("{}/{CONTROL}", caisson_sys::descriptors::proc_path(dir.as_fd()));
    connect(&socket, &SocketAddrUnix::new(name)?)?;
    Ok(socket)
}
