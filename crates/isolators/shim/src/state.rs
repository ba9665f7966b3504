//! What is written down about a container.
//!
//! `<state root>/containers/<id>/` is the shim's bundle. It holds `record.json`
//! (written once, before the shim is asked), `config.json` (the configuration as
//! the shim gets it), `process.json` (the first process; from then on the
//! container exists), FIFOs, and what the shim itself keeps there.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::SystemTime;

use caisson_cgroup::{Cgroup, CgroupState};
use caisson_foreign::dir::{Dir, DirRoot};
use caisson_foreign::process::Identity;
use caisson_foreign::step::Context as _;
use caisson_isolator::{ContainerId, SandboxError};
use serde::{Deserialize, Serialize};

use crate::Settings;

const CONTAINERS: &str = "containers";
const RECORD: &str = "record.json";
const PROCESS: &str = "process.json";
/// The configuration's name in a bundle.
pub(crate) const CONFIG: &str = "config.json";
/// The format that this program writes and reads.
pub(crate) const VERSION: u32 = 1;

/// `record.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u32,
    /// The caller's bundle, not the shim's.
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
    pub(crate) created: SystemTime,
    pub(crate) owner_uid: u32,
    pub(crate) oci_version: String,
    pub(crate) annotations: BTreeMap<String, String>,
    /// The cgroup that the configuration names.
    pub(crate) cgroup: CgroupState,
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

    pub(crate) fn save_record(&self, record: &Record) -> Result<(), SandboxError> {
        self.save(RECORD, record)
    }

    /// `None` if creation ended before it was written.
    pub(crate) fn record(&self) -> Result<Option<Record>, SandboxError> {
        match self.parse::<Record>(RECORD)? {
            Some(record) if record.version != VERSION => {
                Err(format!("format {} is not {VERSION}, the one of this program", record.version))
                    .context(|| format!("read {:?}", self.path().join(RECORD)))
            }
            other => Ok(other),
        }
    }

    pub(crate) fn save_first(&self, first: Identity) -> Result<(), SandboxError> {
        self.save(PROCESS, &first)
    }

    pub(crate) fn first(&self) -> Result<Option<Identity>, SandboxError> {
        self.parse(PROCESS)
    }

    /// The container's cgroup, which need not exist; `None` if it has none of
    /// its own, as far as the configuration tells.
    pub(crate) fn cgroup(&self) -> Result<Option<Cgroup>, SandboxError> {
        let Some(record) = self.record()? else { return Ok(None) };
        let cgroup = Cgroup::open(&record.cgroup).context(|| "open the container's cgroup")?;
        Ok(Some(cgroup).filter(|cgroup| !cgroup.is_none()))
    }
}
