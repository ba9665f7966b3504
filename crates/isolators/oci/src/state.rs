//! What is written down about a container.
//!
//! `<state root>/<id>/` holds `record.json` (written once, before the runtime
//! is called), `config.json` (the configuration as the runtime gets it: the
//! directory is its bundle), `process.json` (the first process and its cgroup;
//! from then on the container exists), `started` (once it was), and, while a
//! call lasts, `call-<pid>.*`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use caisson_cgroup::{Cgroup, CgroupState};
use caisson_isolator::{ContainerId, SandboxError};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::process::{Identity, own_pid};
use crate::step::Context;

const RECORD: &str = "record.json";
pub(crate) const CONFIG: &str = "config.json";
const PROCESS: &str = "process.json";
const STARTED: &str = "started";
/// The format that this program writes and reads.
pub(crate) const VERSION: u32 = 1;
/// Longest file of a call that is read.
const LONGEST: u64 = 1 << 20;

/// `record.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u32,
    /// The caller's bundle, not the runtime's.
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
    pub(crate) created: SystemTime,
    pub(crate) owner_uid: u32,
    pub(crate) oci_version: String,
    pub(crate) annotations: BTreeMap<String, String>,
    /// Where the runtime is going to make the cgroup, as far as that is known.
    pub(crate) planned: CgroupState,
}

/// `process.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct First {
    pub(crate) identity: Identity,
    /// The cgroup that it was in before it was started.
    pub(crate) cgroup: CgroupState,
}

/// The directory of all containers of a handler.
#[derive(Clone, Debug)]
pub(crate) struct StateRoot(pub(crate) PathBuf);

impl StateRoot {
    /// The names in it, sorted.
    pub(crate) fn ids(&self) -> Result<Vec<ContainerId>, SandboxError> {
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(error).context(|| format!("read state directory {:?}", self.0));
            }
        };
        let mut ids: Vec<ContainerId> =
            entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        ids.sort();
        Ok(ids)
    }

    /// Claims a new name.
    pub(crate) fn create(&self, id: &ContainerId) -> Result<StateDir, SandboxError> {
        let path = self.0.join(id.as_str());
        let mut made = mkdirat(CWD, &path, Mode::RWXU);
        if made == Err(Errno::NOENT) {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o711)
                .create(&self.0)
                .context(|| format!("create state directory {:?}", self.0))?;
            made = mkdirat(CWD, &path, Mode::RWXU);
        }
        match made {
            Ok(()) => self.open(id),
            Err(Errno::EXIST) => Err(SandboxError::Exists(id.to_string())),
            Err(error) => Err(error).context(|| format!("create state directory {path:?}")),
        }
    }

    /// Opens the directory of a container that exists.
    pub(crate) fn open(&self, id: &ContainerId) -> Result<StateDir, SandboxError> {
        let path = self.0.join(id.as_str());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(CWD, &path, flags, Mode::empty()) {
            Ok(fd) => Ok(StateDir { path, fd }),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(SandboxError::NotFound(id.to_string())),
            Err(error) => Err(error).context(|| format!("open state directory {path:?}")),
        }
    }
}

/// One container's directory.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    fd: OwnedFd,
}

impl StateDir {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A short name for the directory that another process can use for as long
    /// as the caller lives: names of sockets hold 107 bytes only (unix(7)).
    pub(crate) fn short_path(&self) -> PathBuf {
        use std::os::fd::AsRawFd as _;
        PathBuf::from(format!("/proc/{}/fd/{}", own_pid(), self.fd.as_raw_fd()))
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), SandboxError> {
        let step = || format!("write {:?}", self.path.join(name));
        let new = format!("{name}.new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = openat(&self.fd, &new, flags, Mode::from_raw_mode(0o600)).context(step)?;
        std::fs::File::from(file).write_all(content).context(step)?;
        renameat(&self.fd, &new, &self.fd, name).context(step)
    }

    /// A file's beginning; `None` if there is no such file.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, SandboxError> {
        let step = || format!("read {:?}", self.path.join(name));
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error).context(step),
        };
        let mut content = Vec::new();
        std::fs::File::from(file).take(LONGEST).read_to_end(&mut content).context(step)?;
        Ok(Some(content))
    }

    fn parse<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, SandboxError> {
        let Some(content) = self.read(name)? else { return Ok(None) };
        let parsed = serde_json::from_slice(&content);
        parsed.map(Some).context(|| format!("read {:?}", self.path.join(name)))
    }

    /// Writes a value, whole or not at all.
    pub(crate) fn save<T: Serialize>(&self, name: &str, value: &T) -> Result<(), SandboxError> {
        let content = serde_json::to_vec(value);
        let content = content.context(|| format!("write {:?}", self.path.join(name)))?;
        self.write(name, &content)
    }

    pub(crate) fn save_record(&self, record: &Record) -> Result<(), SandboxError> {
        self.save(RECORD, record)
    }

    /// `None` if creation ended before it was written.
    pub(crate) fn record(&self) -> Result<Option<Record>, SandboxError> {
        match self.parse::<Record>(RECORD)? {
            Some(record) if record.version != VERSION => Err(SandboxError::step(
                format!("read {:?}", self.path.join(RECORD)),
                format!("format {} is not {VERSION}, the one of this program", record.version),
            )),
            other => Ok(other),
        }
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
        rustix::fs::accessat(&self.fd, STARTED, rustix::fs::Access::EXISTS, AtFlags::empty())
            .is_ok()
    }

    /// Removes a file of a call.
    pub(crate) fn forget(&self, name: &str) {
        let _ = unlinkat(&self.fd, name, AtFlags::empty());
    }

    /// Removes the directory and all that is in it.
    pub(crate) fn remove(&self) -> Result<(), SandboxError> {
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context(|| format!("remove {:?}", self.path))
            }
            _ => Ok(()),
        }
    }
}

/// The cgroup that was written down; whether it still exists is not looked at.
pub(crate) fn open_cgroup(state: &CgroupState) -> Result<Cgroup, SandboxError> {
    Cgroup::open(state).context(|| "open the container's cgroup")
}
