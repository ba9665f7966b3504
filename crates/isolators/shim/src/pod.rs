//! The one shim of a state root: where it is, and who works on it.
//!
//! `<state root>/lock` is held by whoever starts the shim, makes or removes a
//! container, so that a shim is not told to go while another container is on
//! its way. `shim.json` says where it listens.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use caisson_containerd::start::Endpoint;
use caisson_containerd::task;
use caisson_foreign::dir::Dir;
use caisson_foreign::process::Identity;
use caisson_foreign::step::Context as _;
use caisson_isolator::SandboxError;
use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::shim::{PATIENCE, Shim};

const SHIM: &str = "shim.json";
const LOCK: &str = "lock";
/// The socket where the shim tells of events.
pub(crate) const EVENTS: &str = "events";
/// What it says otherwise.
pub(crate) const LOG: &str = "shim.log";
const PAUSE: Duration = Duration::from_millis(5);

/// `shim.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    address: String,
    /// The protocol's version, 2 or 3.
    version: u32,
    /// Its process, if that is known to be one that we have started.
    process: Option<Identity>,
    /// Its keeper.
    keeper: Option<Identity>,
}

/// A state root, locked.
#[derive(Debug)]
pub(crate) struct Pod {
    dir: Dir,
    _lock: OwnedFd,
}

/// A shim that was started and not told to go.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) endpoint: Endpoint,
    pub(crate) process: Option<Identity>,
    pub(crate) keeper: Option<Identity>,
}

impl Pod {
    /// Waits for its turn.
    pub(crate) fn lock(settings: &Settings) -> Result<Self, SandboxError> {
        let root = &settings.state_root;
        let step = || format!("lock {:?}", root.join(LOCK));
        let dir = Dir::make(root)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = openat(CWD, root.join(LOCK), flags, Mode::from_raw_mode(0o600)).context(step)?;
        let until = Instant::now() + PATIENCE;
        while !caisson_sys::file_lock::try_lock(file.as_fd()).context(step)? {
            if Instant::now() >= until {
                return Err(format!("it is held for {} s by somebody else", PATIENCE.as_secs()))
                    .context(step);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(Self { dir, _lock: file })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn located(&self) -> Result<Option<Located>, SandboxError> {
        located(&self.dir)
    }

    pub(crate) fn note(&self, shim: &Located) -> Result<(), SandboxError> {
        let version = if shim.endpoint.service == task::SERVICE_V3 { 3 } else { 2 };
        let address = shim.endpoint.address.clone();
        self.dir.save(SHIM, &Known { address, version, process: shim.process, keeper: shim.keeper })
    }

    /// There is none any more.
    pub(crate) fn forget(&self) {
        for name in [SHIM, EVENTS] {
            self.dir.forget(name);
        }
    }
}

fn located(dir: &Dir) -> Result<Option<Located>, SandboxError> {
    let Some(known) = dir.parse::<Known>(SHIM)? else { return Ok(None) };
    let service = if known.version == 3 { task::SERVICE_V3 } else { task::SERVICE };
    let endpoint = Endpoint { address: known.address, service };
    Ok(Some(Located { endpoint, process: known.process, keeper: known.keeper }))
}

/// Connects to the shim, which must have been started.
pub(crate) fn connect(settings: &Settings) -> Result<Shim, SandboxError> {
    let step = || "connect to the container's shim";
    let dir = Dir::make(&settings.state_root)?;
    let found = located(&dir)?.ok_or("none was started").context(step)?;
    Shim::connect(&found.endpoint).context(step)
}
