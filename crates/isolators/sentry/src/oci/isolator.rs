//! The seam's first and second level.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use caisson_isolator::{
    Container, ContainerId, ContainerRequest, Isolator, Overhead, Sandbox, SandboxError,
    SandboxRequest,
};
use caisson_native::NativeIsolator;
use caisson_runtime_spec::features::{Enabled, Features};

use super::adapt::{FILE_ACCESS, OVERLAY, SHARED, adapt, refuse_folder};
use super::connect::connect;
use super::container::SentryContainer;
use super::guest::SentryKernel;
use super::join::Join;
use crate::vfs::setup::Overlay;

/// The name that handlers use.
pub const NAME: &str = "sentry";

/// How to make containers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where state is kept, one directory for each container.
    pub root: PathBuf,
    /// Have systemd make the cgroups.
    pub systemd_cgroup: bool,
    /// Where what containers write goes; `None`: as their annotation says, else to the host.
    pub overlay: Option<Overlay>,
    /// How they reach other machines.
    pub network: NetworkMode,
    /// Whether the host changes root file systems while containers run: names are looked
    /// up anew each time.
    pub shared_root: bool,
}

/// How containers reach other machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkMode {
    /// By a TCP/IP of the sandbox's own, on the interface of the container's network
    /// namespace.
    #[default]
    Sandbox,
    /// By sockets of the host's kernel in that namespace: faster, and a weaker wall.
    HostSockets,
    /// Not at all: there is a loopback interface.
    None,
}

impl Settings {
    /// As without options, with state below this directory.
    #[must_use]
    pub fn in_folder(root: &Path) -> Self {
        Settings {
            root: root.to_owned(),
            systemd_cgroup: false,
            overlay: None,
            network: NetworkMode::Sandbox,
            shared_root: false,
        }
    }
}

/// See the module's documentation. As `caisson-native`, it must be used from
/// single-threaded processes only.
#[derive(Debug)]
pub struct SentryIsolator {
    settings: Settings,
}

impl SentryIsolator {
    /// An isolator that keeps its state under `settings.root`.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    fn native(&self, kernel: Option<SentryKernel>) -> NativeIsolator {
        NativeIsolator::new(caisson_native::Settings {
            root: self.settings.root.clone(),
            systemd_cgroup: self.settings.systemd_cgroup,
            // What a user without root can have is no wall for a sentry.
            rootless: Some(false),
            kernel: kernel.map(|kernel| Rc::new(kernel) as Rc<_>),
        })
    }

    fn wrap(
        &self,
        sandbox: Box<dyn Sandbox>,
        id: &ContainerId,
        joins_pids: bool,
    ) -> Box<dyn Sandbox> {
        let dir = self.settings.root.join(id.as_str());
        Box::new(SentrySandbox { native: sandbox, dir, joins_pids })
    }
}

impl Isolator for SentryIsolator {
    fn name(&self) -> &'static str {
        NAME
    }

    fn features(&self) -> Features {
        let mut features = self.native(None).features();
        // A program of the container's would run without its kernel.
        features.hooks.retain(|hook| hook != "startContainer");
        features.annotations.insert("caisson.isolator".to_owned(), NAME.to_owned());
        if let Some(linux) = &mut features.linux {
            let no = || Some(Enabled { enabled: Some(false) });
            // They are made, but not joined, as the containers of a pod do.
            linux.namespaces.retain(|kind| kind != "user");
            if let Some(seccomp) = &mut linux.seccomp {
                // Who would listen is outside, the descriptor would be one inside.
                seccomp.actions.retain(|action| action != "SCMP_ACT_NOTIFY");
                let needless = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";
                seccomp.supported_flags.retain(|flag| flag != needless);
            }
            linux.apparmor = no();
            linux.selinux = no();
            linux.memory_policy = None;
        }
        features
    }

    fn version(&self) -> Option<String> {
        Some(env!("CARGO_PKG_VERSION").to_owned())
    }

    fn overhead(&self) -> Overhead {
        // An idle sandbox of one small program, `make bench-sentry`: the sentry, the
        // broker and the empty stub, by their share of what they share (PSS).
        Overhead { memory_bytes: 5 << 20, cpu_millis: 0 }
    }

    fn create_sandbox(
        &self,
        request: &SandboxRequest<'_>,
    ) -> Result<Box<dyn Sandbox>, SandboxError> {
        // Found out before anything exists.
        let root = &self.settings.root;
        let join = Join::find(&self.native(None), root, request.id, request.spec)?;
        let joins_pids = join.as_ref().is_some_and(|join| join.shared.processes);
        adapt(request.spec.clone(), joins_pids)?;
        let mut spec = request.spec.clone();
        match &self.settings.overlay {
            // Goes the way of the configuration, into another container's sandbox too.
            Some(overlay) => {
                spec.annotations.insert(OVERLAY.to_owned(), overlay.text());
            }
            None => refuse_folder(&spec)?,
        }
        if self.settings.shared_root {
            spec.annotations.insert(FILE_ACCESS.to_owned(), SHARED.to_owned());
        }
        let kernel = SentryKernel::new(request.id, &spec, join, self.settings.network)?;
        let sandbox = self.native(Some(kernel)).create_sandbox(request)?;
        Ok(self.wrap(sandbox, request.id, joins_pids))
    }

    fn open_sandbox(&self, id: &ContainerId) -> Result<Box<dyn Sandbox>, SandboxError> {
        let sandbox = self.native(None).open_sandbox(id)?;
        Ok(self.wrap(sandbox, id, false))
    }

    fn sandboxes(&self) -> Result<Vec<ContainerId>, SandboxError> {
        self.native(None).sandboxes()
    }
}

/// One container's place.
struct SentrySandbox {
    native: Box<dyn Sandbox>,
    dir: PathBuf,
    /// Whether the container to be made numbers processes as another one.
    joins_pids: bool,
}

impl SentrySandbox {
    fn wrap(&self, native: Box<dyn Container>) -> Box<dyn Container> {
        Box::new(SentryContainer::new(native, self.dir.clone()))
    }
}

impl Sandbox for SentrySandbox {
    fn create_container(
        &self,
        mut request: ContainerRequest,
    ) -> Result<Box<dyn Container>, SandboxError> {
        request.spec = adapt(request.spec, self.joins_pids)?;
        self.native.create_container(request).map(|container| self.wrap(container))
    }

    fn container(&self, id: &ContainerId) -> Result<Box<dyn Container>, SandboxError> {
        self.native.container(id).map(|container| self.wrap(container))
    }

    fn containers(&self) -> Result<Vec<ContainerId>, SandboxError> {
        self.native.containers()
    }

    fn delete(&self, force: bool) -> Result<(), SandboxError> {
        self.native.delete(force)
    }

    fn connect(&self, port: u16, stream: BorrowedFd<'_>) -> Result<(), SandboxError> {
        connect(&self.dir, port, stream)
    }
}
