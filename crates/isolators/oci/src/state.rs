//! What is written down about a container.
//!
//! `<state root>/<id>/` holds `record.json` (written once, before the runtime
//! is called), `config.json` (the configuration as the runtime gets it: the
//! directory is its bundle), `process.json` (the first process and its cgroup;
//! from then on the container exists), `started` (once it was), and, while a
//! call lasts, `call-<pid>.*`.

use std::ops::Deref;
use std::path::PathBuf;

use caisson_cgroup::{Cgroup, CgroupState};
use caisson_foreign::dir::{Dir, DirRoot};
use caisson_foreign::process::Identity;
use caisson_foreign::record::Record;
use caisson_foreign::step::Context as _;
use caisson_isolator::{ContainerId, SandboxError};
use serde::{Deserialize, Serialize};

pub(crate) const CONFIG: &str = "config.json";
const PROCESS: &str = "process.json";
const STARTED: &str = "started";

/// `process.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct First {
    pub(crate) identity: Identity,
    /// The cgroup that it was in before it was started.
    pub(crate) cgroup: CgroupState,
}

/// The directory of all containers of a handler.
#[derive(Clone, Debug)]
pub(crate) struct StateRoot(DirRoot);

impl StateRoot {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(DirRoot(path))
    }

    /// The names in it, sorted.
    pub(crate) fn ids(&self) -> Result<Vec<ContainerId>, SandboxError> {
        self.0.ids()
    }

    /// Claims a new name.
    pub(crate) fn create(&self, id: &ContainerId) -> Result<StateDir, SandboxError> {
        self.0.create(id).map(StateDir)
    }

    /// Opens the directory of a container that exists.
    pub(crate) fn open(&self, id: &ContainerId) -> Result<StateDir, SandboxError> {
        self.0.open(id).map(StateDir)
    }
}

/// One container's directory.
#[derive(Debug)]
pub(crate) struct StateDir(Dir);

impl Deref for StateDir {
    type Target = Dir;

    fn deref(&self) -> &Dir {
        &self.0
    }
}

impl StateDir {
    /// `None` if creation ended before it was written.
    pub(crate) fn record(&self) -> Result<Option<Record>, SandboxError> {
        Record::load(self)
    }

    pub(crate) fn save_first(&self, first: &First) -> Result<(), SandboxError> {
        self.save(PROCESS, first)
    }

    pub(crate) fn first(&self) -> Result<Option<First>, SandboxError> {
        self.parse(PROCESS)
    }

    pub(crate) fn mark_started(&self) -> Result<(), SandboxError> {
        self.write(STARTED, b"")
    }

    pub(crate) fn is_started(&self) -> bool {
        self.has(STARTED)
    }
}

/// The cgroup that was written down; whether it still exists is not looked at.
pub(crate) fn open_cgroup(state: &CgroupState) -> Result<Cgroup, SandboxError> {
    Cgroup::open(state).context(|| "open the container's cgroup")
}
