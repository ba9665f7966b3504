//! The container's first process: it becomes the sentry.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Mutex;

use caisson_isolator::{ContainerId, SandboxError};
use caisson_native::{Guest, GuestKernel, StartReport};
use caisson_runtime_spec::{NamespaceKind, Process, Spec};
use caisson_sys::signal_fd::{SignalFd, SignalMask};
use rustix::io::Errno;

use super::adapt::layout;
use super::isolator::NetworkMode;
use super::join::Join;
use super::terminal::make_raw;
use crate::control::{cause, program};
use crate::kernel::Kernel;
use crate::launch::{self, Given, LaunchError, Streams};
use crate::net::{Outside, Uplink};
use crate::task::waiter::lock;
use crate::vfs::learn_processors;
use crate::vfs::setup::Layout;

/// What the container's configuration says to its kernel.
#[derive(Debug)]
pub(super) struct SentryKernel {
    /// The container's.
    id: ContainerId,
    process: Process,
    layout: Layout,
    network: NetworkMode,
    /// Whether programs may read the time from the processor's counter.
    counter: bool,
    /// The configuration, if it is to be sent to another container's sandbox.
    join: Option<(Join, Spec)>,
    /// The folder of the host's that its broker is given for what is written, until then.
    store: Mutex<Option<OwnedFd>>,
}

/// Whether the container's network namespace is another one than that of whoever makes
/// it, whose interfaces are never taken: from there on the host would have no address.
fn has_own_network(spec: &Spec) -> bool {
    let own = spec.linux.as_ref().and_then(|linux| linux.namespace(NamespaceKind::Network));
    let identity = |path: &str| rustix::fs::stat(path).ok().map(|s| (s.st_dev, s.st_ino));
    own.is_some_and(|namespace| match namespace.path.as_deref() {
        None | Some("") => true,
        Some(path) => {
            let (its, own) = (identity(path), identity("/proc/self/ns/net"));
            its.is_some() && own.is_some() && its != own
        }
    })
}

impl SentryKernel {
    pub(super) fn new(
        id: &ContainerId,
        spec: &Spec,
        join: Option<Join>,
        network: NetworkMode,
    ) -> Result<Self, SandboxError> {
        let network = match network {
            NetworkMode::Sandbox if !has_own_network(spec) => NetworkMode::None,
            network => network,
        };
        let layout = layout(spec)?;
        let store = layout.overlay.open_folder();
        let store = store.map_err(|error| SandboxError::step("open a folder", error))?;
        if join.is_none() {
            learn_processors();
        }
        Ok(Self {
            id: id.clone(),
            store: Mutex::new(store),
            process: spec.process.clone().unwrap_or_default(),
            layout,
            network,
            // The container's own tree need not have `/sys`.
            counter: crate::platform::clock::counter_is_a_clock(),
            join: join.map(|join| (join, spec.clone())),
        })
    }

    /// Boots, and starts the program.
    fn boot(&self, guest: Guest) -> Result<std::sync::Arc<Kernel>, (StartReport, LaunchError)> {
        let Guest { program: path, environment, control, preserve_fds, report, terminal, .. } =
            guest;
        let mut opened = guest.opened;
        let streams = streams(preserve_fds, terminal);
        let booted = streams.and_then(|streams| {
            let kernel = self.boot_kernel(control, opened.pop())?;
            let mut program = program(&self.process);
            program.path = path.into_bytes();
            program.environment =
                environment.into_iter().map(std::ffi::CString::into_bytes).collect();
            launch::start(&kernel, &program, streams, None)?;
            Ok(kernel)
        });
        match booted {
            Ok(kernel) => {
                drop(report);
                Ok(kernel)
            }
            Err(error) => Err((report, error)),
        }
    }

    fn boot_kernel(
        &self,
        control: OwnedFd,
        store: Option<OwnedFd>,
    ) -> Result<std::sync::Arc<Kernel>, LaunchError> {
        let host = |step| {
            move |error: std::io::Error| LaunchError::Step {
                step,
                errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
            }
        };
        let mask = SignalMask::sendable();
        mask.block().map_err(host("block signals"))?;
        let signals = SignalFd::new(&mask).map_err(host("take signals"))?;
        let uplink = match self.network {
            NetworkMode::None => Uplink::None,
            NetworkMode::Sandbox => Outside::of_present("container's network namespace")?
                .map_or(Uplink::None, |outside| Uplink::Interface(Box::new(outside))),
            NetworkMode::HostSockets => Uplink::host_sockets()?,
        };
        let roots = launch::open_roots(Path::new("/"), &self.layout)?;
        let (_, broker) = launch::start_broker(&roots, store, complain)?;
        if let Some(root) = roots.last() {
            let_go_of_streams(root)?;
        }
        launch::boot(Given {
            name: Some(self.id.as_str()),
            uplink,
            layout: &self.layout,
            roots,
            broker,
            // Of the container's UTS namespace, which may be its pod's.
            host_name: Some(rustix::system::uname().nodename().to_bytes().to_vec()),
            control: Some(control),
            tied: false,
            signals: Some(signals),
            counter: self.counter,
        })
    }
}

/// The descriptors that the program gets. A terminal of the host's does nothing by itself
/// from here on: the kernel's own is shown on it.
pub(super) fn streams(preserve_fds: u32, terminal: bool) -> Result<Streams, LaunchError> {
    let streams = Streams::own(preserve_fds)?;
    if terminal {
        let raw = make_raw(rustix::stdio::stdin());
        raw.map_err(|errno| LaunchError::Step { step: "take over the terminal", errno })?;
    }
    Ok(Streams { terminal, ..streams })
}

/// The program has copies: who reads from them hears their end when it closes them.
fn let_go_of_streams(other: &OwnedFd) -> Result<(), LaunchError> {
    use rustix::stdio::{dup2_stdin, dup2_stdout};
    let fail = |errno| LaunchError::Step { step: "let go of the standard streams", errno };
    dup2_stdin(other).map_err(fail)?;
    dup2_stdout(other).map_err(fail)
}

impl GuestKernel for SentryKernel {
    fn run(&self, guest: Guest) -> u8 {
        if let Some((join, spec)) = &self.join {
            return join.run(spec, &self.layout, guest);
        }
        match self.boot(guest) {
            Ok(kernel) => launch::code_of(kernel.wait_for_end()),
            Err((report, error)) => {
                match &error {
                    LaunchError::Execute { program, errno } => {
                        report.failed(&format!("exec {program}"), &cause(*errno));
                    }
                    other => report.failed("boot the sandbox's kernel", &other.to_string()),
                }
                255
            }
        }
    }

    fn elsewhere(&self) -> Option<BorrowedFd<'_>> {
        self.join.as_ref().map(|(join, _)| join.socket())
    }

    fn take_opened(&self) -> Vec<OwnedFd> {
        lock(&self.store).take().into_iter().collect()
    }
}

/// Of the broker, which has nobody else to tell.
pub(super) fn complain(error: &LaunchError) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "caisson-sentry: {error}");
}
