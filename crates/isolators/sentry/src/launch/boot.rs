//! A sandbox's kernel, in the process that is to be the sentry.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicI32;
use std::sync::{Arc, Mutex};

use caisson_sys::signal_fd::{self, SignalFd};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use rustix::thread::CapabilitySet;

use super::{LaunchError, io_step, step};
use crate::kernel::{Kernel, Shared};
use crate::net::{Network, Uplink};
use crate::task::waiter::lock;
use crate::vfs::leases::USUAL_BREAK;
use crate::vfs::setup::{Layout, MountError, root_walker};
use crate::vfs::{BrokerClient, Fifos, FileSystem, MountTable, Poller, limit_handles};
use crate::wall::{empty_root, processes, shed, tie};
use crate::{control, panic_report, platform, settings, signal, syscalls};

/// What a sandbox is given before its wall goes up.
pub(crate) struct Given<'a> {
    /// Of the container, if it is one.
    pub(crate) name: Option<&'a str>,
    /// What is mounted.
    pub(crate) layout: &'a Layout,
    /// What the broker serves: see [`super::open_roots`].
    pub(crate) roots: Vec<OwnedFd>,
    /// Who opens files.
    pub(crate) broker: BrokerClient,
    /// The machine's name; `None`: one of ours.
    pub(crate) host_name: Option<Vec<u8>>,
    /// Where requests come in.
    pub(crate) control: Option<OwnedFd>,
    /// Whether it ends with the process that made it.
    pub(crate) tied: bool,
    /// Its way to other machines.
    pub(crate) uplink: Uplink,
    /// Signals of the host's, which this process blocks, for the guest.
    pub(crate) signals: Option<SignalFd>,
    /// [`platform::clock::counter_is_a_clock`], asked where `/sys` is the host's.
    pub(crate) counter: bool,
}

/// Raises the wall, and boots the kernel behind it.
pub(crate) fn boot(given: Given<'_>) -> Result<Arc<Kernel>, LaunchError> {
    let Given {
        name,
        layout,
        mut roots,
        broker,
        host_name,
        control,
        tied,
        uplink,
        signals,
        counter,
    } = given;
    panic_report::install(name);
    raise_descriptors();
    unlimit_files()?;
    // The broker's from here on: only it opens.
    let procfs = processes()?;
    broker.keep_processes(Some(procfs.as_fd())).map_err(step("give the broker a procfs"))?;
    drop(procfs);
    empty_root()?;
    shed(CapabilitySet::empty())?;
    if tied {
        tie()?;
    }
    let started = platform::start(counter)?;
    let domain =
        host_name.is_some().then(|| rustix::system::uname().domainname().to_bytes().to_vec());
    // Libraries ask files and the host once, which they can't from here on.
    let _ = (syscalls::system::processors(), crate::vfs::Time::now());
    let poller = Poller::new().map_err(step("epoll_create"))?;
    let calls = if matches!(uplink, Uplink::HostSockets(_)) {
        &platform::host_calls::WITH_SOCKETS
    } else {
        &platform::host_calls::SENTRY
    };
    platform::host_calls::confine(calls).map_err(step("filter the sentry's own calls"))?;
    let root = roots.pop().ok_or(Errno::BADF).map_err(step("make the root"))?;
    let files = over(layout, root, broker, (Arc::clone(&poller), Arc::default()))?;
    let kernel = Kernel::new(started, files);
    kernel.clock.set_processors(u32::try_from(syscalls::system::processors()).unwrap_or(1));
    if let Some(name) = host_name {
        *lock(&kernel.host_name) = name;
    }
    if let Some(domain) = domain.filter(|domain| domain != syscalls::system::NO_DOMAIN) {
        *lock(&kernel.domain_name) = domain;
    }
    kernel.log.write(&format!(
        "Linux version {} {}",
        syscalls::system::RELEASE,
        syscalls::system::VERSION
    ));
    kernel.log.write("Caisson sentry: system calls are served in user space");
    let clock = if counter { "tsc, read by programs" } else { "the host, asked by calls" };
    kernel.log.write(&format!("clocksource: {clock}"));
    Network::open(&kernel, uplink).map_err(io_step("start a thread"))?;
    poller.start().map_err(io_step("start a thread"))?;
    kernel.serve().map_err(io_step("start a thread"))?;
    kernel.prepare().map_err(step("empty the first stub process"))?;
    attach(&kernel, layout, roots)?;
    if let Some(signals) = signals {
        signal::outside::forward(&kernel, signals).map_err(io_step("start a thread"))?;
    }
    if let Some(control) = control {
        control::serve(&kernel, control).map_err(io_step("start a thread"))?;
    }
    Ok(kernel)
}

/// What guests have open, and what is kept of the host's files, are descriptors of this
/// process: it takes as many as it may.
fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What can't be raised stays as it is.
    let _ = setrlimit(Resource::Nofile, limit);
    limit_handles(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX));
}

/// A file of ours may hold many of a guest's, each of which its own limit is for.
fn unlimit_files() -> Result<(), LaunchError> {
    let none = Rlimit { current: None, maximum: None };
    // Without privilege it stays as it is: what is beyond it then fails, and ends nothing.
    let _ = setrlimit(Resource::Fsize, none);
    signal_fd::ignore(Signal::XFSZ.as_raw()).map_err(io_step("ignore a signal"))
}

fn over(
    layout: &Layout,
    root: OwnedFd,
    broker: BrokerClient,
    (poller, fifos): (Arc<Poller>, Arc<Fifos>),
) -> Result<FileSystem, MountError> {
    let mounts = MountTable::default();
    let root = layout.root(&mounts, root, &broker)?;
    let mounts = Arc::new(mounts);
    let (copies, moving) = (Mutex::default(), Mutex::default());
    let lease_break = Arc::new(AtomicI32::new(USUAL_BREAK));
    let handles = Default::default();
    Ok(FileSystem { root, mounts, copies, moving, broker, poller, fifos, lease_break, handles })
}

/// A further container of a sandbox.
pub(crate) struct Further<'a> {
    /// What is mounted.
    pub(crate) layout: &'a Layout,
    /// What its broker serves: see [`super::open_roots`].
    pub(crate) roots: Vec<OwnedFd>,
    /// Who opens its files.
    pub(crate) broker: BrokerClient,
    /// The machine's name, if it has one of its own.
    pub(crate) host_name: Vec<u8>,
    /// Files by which its stubs get into its cgroup.
    pub(crate) cgroups: Vec<OwnedFd>,
    /// What it has in common with the container whose kernel is asked.
    pub(crate) shared: Shared,
}

/// Boots a kernel for a further container, in the sandbox of another one's.
pub(crate) fn boot_beside(
    other: &Arc<Kernel>,
    given: Further<'_>,
) -> Result<Arc<Kernel>, LaunchError> {
    let Further { layout, mut roots, broker, host_name, cgroups, shared } = given;
    let root = roots.pop().ok_or(Errno::BADF).map_err(step("make the root"))?;
    let waits = (Arc::clone(&other.files.poller), Arc::clone(&other.files.fifos));
    let files = over(layout, root, broker, waits)?;
    let zygote = other.copy_zygote().map_err(step("copy the empty stub process"))?;
    let kernel = other.beside(zygote, files, shared);
    let booted = settle(&kernel, layout, roots, &cgroups);
    if let Err(error) = booted {
        kernel.end_zygote();
        return Err(error);
    }
    if !shared.host_name {
        *lock(&kernel.host_name) = host_name;
    }
    Ok(kernel)
}

fn settle(
    kernel: &Arc<Kernel>,
    layout: &Layout,
    roots: Vec<OwnedFd>,
    cgroups: &[OwnedFd],
) -> Result<(), LaunchError> {
    let number = kernel.zygote_pid().number().to_string();
    for file in cgroups {
        rustix::io::write(file, number.as_bytes())
            .map_err(step("move the empty stub process into the container's cgroup"))?;
    }
    attach(kernel, layout, roots)
}

fn attach(kernel: &Arc<Kernel>, layout: &Layout, roots: Vec<OwnedFd>) -> Result<(), LaunchError> {
    settings::apply(kernel, &layout.settings);
    let _ = kernel.ids.set(layout.ids.clone());
    if let Some(filter) = &layout.filter {
        let _ = kernel.filter.set(Arc::clone(filter));
    }
    kernel.limits.update(&layout.resources);
    Ok(layout.attach(&root_walker(kernel), roots)?)
}
