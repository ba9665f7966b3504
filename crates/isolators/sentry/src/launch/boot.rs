//! A sandbox's kernel, in the process that is to be the sentry.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use caisson_sys::signal_fd::SignalFd;
use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use super::{LaunchError, io_step, step};
use crate::kernel::Kernel;
use crate::net::{Network, Outside};
use crate::task::waiter::lock;
use crate::vfs::setup::{Layout, root_credentials};
use crate::vfs::{BrokerClient, Fifos, FileSystem, MountTable, Poller, Walker};
use crate::wall::{empty_root, shed, tie};
use crate::{control, platform, signal, syscalls};

/// What a sandbox is given before its wall goes up.
pub(crate) struct Given<'a> {
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
    /// An interface of the host's; `None`: there is the loopback interface alone.
    pub(crate) outside: Option<Outside>,
    /// Signals of the host's, which this process blocks, for the guest.
    pub(crate) signals: Option<SignalFd>,
}

/// Raises the wall, and boots the kernel behind it.
pub(crate) fn boot(given: Given<'_>) -> Result<Arc<Kernel>, LaunchError> {
    let Given { layout, mut roots, broker, host_name, control, tied, outside, signals } = given;
    let counter = platform::clock::counter_is_a_clock();
    empty_root()?;
    shed(CapabilitySet::empty())?;
    if tied {
        tie()?;
    }
    let started = platform::start(counter)?;
    // Libraries ask files and the host once, which they can't from here on.
    let _ = (syscalls::system::processors(), crate::vfs::Time::now());
    platform::host_calls::confine(&platform::host_calls::SENTRY)
        .map_err(step("filter the sentry's own calls"))?;
    let root = roots.pop().ok_or(Errno::BADF).map_err(step("make the root"))?;
    let files = file_system(layout, root, broker)?;
    let poller = Arc::clone(&files.poller);
    let kernel = Kernel::new(started, files);
    kernel.clock.set_processors(u32::try_from(syscalls::system::processors()).unwrap_or(1));
    if let Some(name) = host_name {
        *lock(&kernel.host_name) = name;
    }
    kernel.log.write(&format!(
        "Linux version {} {}",
        syscalls::system::RELEASE,
        syscalls::system::VERSION
    ));
    kernel.log.write("Caisson sentry: system calls are served in user space");
    if let Some(outside) = outside {
        Network::open(&kernel, outside).map_err(io_step("start a thread"))?;
    }
    poller.start().map_err(io_step("start a thread"))?;
    kernel.serve().map_err(io_step("start a thread"))?;
    kernel.prepare().map_err(step("empty the first stub process"))?;
    let walker = Walker {
        kernel: &kernel,
        pid: 1,
        root: Arc::clone(&kernel.files.root),
        credentials: root_credentials(),
    };
    layout.attach(&walker, roots)?;
    drop(walker);
    if let Some(signals) = signals {
        signal::outside::forward(&kernel, signals).map_err(io_step("start a thread"))?;
    }
    if let Some(control) = control {
        control::serve(&kernel, control).map_err(io_step("start a thread"))?;
    }
    Ok(kernel)
}

fn file_system(
    layout: &Layout,
    root: OwnedFd,
    broker: BrokerClient,
) -> Result<FileSystem, LaunchError> {
    let mounts = MountTable::default();
    let root = layout.root(&mounts, root).map_err(step("make the root"))?;
    let poller = Poller::new().map_err(step("epoll_create"))?;
    Ok(FileSystem { root, mounts, broker, poller, fifos: Fifos::default() })
}
