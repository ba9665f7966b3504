//! What is written down about a container.
//!
//! `<state root>/containers/<id>/` is the shim's bundle. It holds `record.json`
//! (written once, before the shim is asked), `config.json` (the configuration as
//! the shim gets it), `process.json` (the first process; from then on the
//! container exists), FIFOs, and what the shim itself keeps there.

use std::ops::Deref;
use std::path::Path;

use caisson_cgroup::Cgroup;
use caisson_foreign::dir::{Dir, DirRoot};
use caisson_foreign::process::Identity;
use caisson_foreign::record::Record;
use caisson_foreign::step::Context as _;
use caisson_isolator::{ContainerId, SandboxError};
use serde::{Deserialize, Serialize};

use crate::Settings;

const CONTAINERS: &str = "containers";
const PROCESS: &str = "process.json";
/// What the name of a stand-in's note begins with; its number follows.
const STAND_IN: &str = "stand-in.";
/// The configuration's name in a bundle.
pub(crate) const CONFIG: &str = "config.json";

/// A stand-in, as it is noted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StandIn {
    pub(crate) process: Identity,
    /// The program's name; empty for the container's own.
    pub(crate) exec: String,
}

fn stand_in_file(pid: i32) -> String {
    format!("{STAND_IN}{pid}")
}

/// Takes back the note of a program's stand-in, unless another one has that
/// number by now. By who has the directory's name only.
pub(crate) fn forget_stand_in(dir: &Path, pid: i32, exec: &str) {
    let path = dir.join(stand_in_file(pid));
    let noted = std::fs::read(&path).ok();
    let noted = noted.and_then(|text| serde_json::from_slice::<StandIn>(&text).ok());
    if noted.is_some_and(|noted| noted.exec == exec) {
        let _ = std::fs::remove_file(&path);
    }
}

/// Where the containers of a state root are.
pub(crate) fn containers(settings: &Settings) -> DirRoot {
    DirRoot(settings.state_root.join(CONTAINERS))
}

/// One container's directory.
#[derive(Debug)]
pub(crate) struct StateDir(pub(crate) Dir);

impl Deref for StateDir {
    type Target = Dir;

    fn deref(&self) -> &Dir {
        &self.0
    }
}

impl StateDir {
    pub(crate) fn open(settings: &Settings, id: &ContainerId) -> Result<Self, SandboxError> {
        containers(settings).open(id).map(Self)
    }

    /// `None` if creation ended before it was written.
    pub(crate) fn record(&self) -> Result<Option<Record>, SandboxError> {
        Record::load(self)
    }

    pub(crate) fn save_first(&self, first: Identity) -> Result<(), SandboxError> {
        self.save(PROCESS, &first)
    }

    pub(crate) fn first(&self) -> Result<Option<Identity>, SandboxError> {
        self.parse(PROCESS)
    }

    /// Notes a stand-in, and whom it stands for: no program's name for the
    /// container's own.
    pub(crate) fn save_stand_in(&self, stand_in: &StandIn) -> Result<(), SandboxError> {
        self.save(&stand_in_file(stand_in.process.pid), stand_in)
    }

    /// The last one of that number.
    pub(crate) fn stand_in(&self, pid: i32) -> Result<Option<StandIn>, SandboxError> {
        self.parse(&stand_in_file(pid))
    }

    /// All that were noted.
    pub(crate) fn stand_ins(&self) -> Result<Vec<StandIn>, SandboxError> {
        let step = || format!("list {:?}", self.path());
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.path()).context(step)? {
            let name = entry.context(step)?.file_name();
            let pid = name.to_str().and_then(|name| name.strip_prefix(STAND_IN)?.parse().ok());
            if let Some(pid) = pid {
                found.extend(self.stand_in(pid)?);
            }
        }
        Ok(found)
    }

    /// The container's cgroup, which need not exist; `None` if it has none of
    /// its own, as far as the configuration tells.
    pub(crate) fn cgroup(&self) -> Result<Option<Cgroup>, SandboxError> {
        let Some(record) = self.record()? else { return Ok(None) };
        let cgroup = Cgroup::open(&record.cgroup).context(|| "open the container's cgroup")?;
        Ok(Some(cgroup).filter(|cgroup| !cgroup.is_none()))
    }
}
