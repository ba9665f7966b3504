//! What is written down about a container.
//!
//! `<root>/<id>/` holds `state.json` (written once, before anything is made
//! that it names), `config.json` (the configuration, for later `exec`),
//! `pid` (the first process and its start time; from then on the container
//! exists), `start.sock` (there until the container is started) and, if a
//! kernel of its own runs it, that one's `control.sock`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use caisson_cgroup::{Cgroup, CgroupState};
use caisson_isolator::{ContainerId, SandboxError};
use caisson_runtime_spec::{Hook, Spec};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
use rustix::io::{Errno, retry_on_intr};
use serde::{Deserialize, Serialize};

use crate::guest::CONTROL;
use crate::host_mounts;
use crate::step::{Context, StepError};

const RECORD: &str = "state.json";
const CONFIG: &str = "config.json";
const PID: &str = "pid";
pub(crate) const START: &str = "start.sock";

/// `state.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Version of this format.
    pub(crate) version: u32,
    pub(crate) id: String,
    pub(crate) oci_version: String,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
    pub(crate) created: SystemTime,
    pub(crate) owner_uid: u32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// `CLONE_NEW*` of the namespaces that are not the runtime's.
    pub(crate) namespaces: u32,
    /// Whether the PID namespace was made for it, so that nothing in it
    /// outlives the first process.
    pub(crate) own_pids: bool,
    /// Without a mount namespace: how many mounts lay at `rootfs` before
    /// ours, which are the host's to see and ours to remove.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host_mounts: Option<usize>,
    pub(crate) cgroup: CgroupState,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) poststart: Vec<Hook>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) poststop: Vec<Hook>,
    /// The resctrl group to remove with the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resctrl: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seccomp_listener: Option<SeccompListener>,
}

impl Record {
    /// The container's cgroup; whether it still exists is not looked at.
    pub(crate) fn open_cgroup(&self) -> Result<Cgroup, StepError> {
        Cgroup::open(&self.cgroup)
            .map_err(|error| error.to_string())
            .context(|| "open the container's cgroup")
    }

    /// Takes away what lies on the host without a mount namespace.
    pub(crate) fn remove_host_mounts(&self) -> Result<(), StepError> {
        match self.host_mounts {
            None => Ok(()),
            Some(before) => host_mounts::unmount_since(&self.rootfs, before),
        }
    }
}

/// Where the seccomp listener goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SeccompListener {
    pub(crate) path: String,
    pub(crate) metadata: String,
}

/// The format that this program writes and reads.
pub(crate) const VERSION: u32 = 1;

/// The first process, told apart from later ones with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FirstProcess {
    pub(crate) pid: i32,
    /// Field 22 of `/proc/<pid>/stat`.
    pub(crate) start_time: u64,
}

/// The directory of all containers.
#[derive(Clone, Debug)]
pub(crate) struct StateRoot(pub(crate) PathBuf);

impl StateRoot {
    /// The names in it, sorted.
    pub(crate) fn ids(&self) -> Result<Vec<ContainerId>, SandboxError> {
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(error).context(|| format!("read state directory {:?}", self.0))?;
            }
        };
        let mut ids: Vec<ContainerId> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        ids.sort();
        Ok(ids)
    }

    /// Claims a new name.
    pub(crate) fn create(&self, id: &ContainerId) -> Result<StateDir, SandboxError> {
        let path = self.0.join(id.as_str());
        // Its socket starts the container, for whoever can reach it.
        let mode = Mode::RWXU;
        let mut made = mkdirat(CWD, &path, mode);
        if made == Err(Errno::NOENT) {
            // Whoever can write there decides what is undone as root, so a
            // caller with a lax umask must not open it.
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o711)
                .create(&self.0)
                .context(|| format!("create state directory {:?}", self.0))?;
            made = mkdirat(CWD, &path, mode);
        }
        match made {
            Ok(()) => Ok(self.open(id)?),
            Err(Errno::EXIST) => Err(SandboxError::Exists(id.to_string())),
            Err(error) => Err(error).context(|| format!("create state directory {path:?}"))?,
        }
    }

    /// Opens the directory of a container that exists.
    pub(crate) fn open(&self, id: &ContainerId) -> Result<StateDir, SandboxError> {
        let path = self.0.join(id.as_str());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(CWD, &path, flags, Mode::empty()) {
            Ok(fd) => Ok(StateDir { path, fd }),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(SandboxError::NotFound(id.to_string())),
            Err(error) => Err(error).context(|| format!("open state directory {path:?}"))?,
        }
    }
}

/// One container's directory.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    fd: OwnedFd,
}

impl AsFd for StateDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl StateDir {
    fn write(&self, name: &str, content: &[u8]) -> Result<(), StepError> {
        let step = || format!("write {:?}", self.path.join(name));
        let new = format!("{name}.new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = openat(&self.fd, &new, flags, Mode::from_raw_mode(0o600)).context(step)?;
        std::fs::File::from(file).write_all(content).context(step)?;
        renameat(&self.fd, &new, &self.fd, name).context(step)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StepError> {
        let step = || format!("read {:?}", self.path.join(name));
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error).context(step),
        };
        let mut content = vec![0; 8192];
        let mut length = 0;
        loop {
            let space = content.get_mut(length..).unwrap_or_default();
            match retry_on_intr(|| rustix::io::read(&file, &mut *space)).context(step)? {
                0 => break,
                more => length += more,
            }
            if length == content.len() {
                content.resize(2 * length, 0);
            }
        }
        content.truncate(length);
        Ok(Some(content))
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StepError> {
        let Some(content) = self.read(name)? else { return Ok(None) };
        serde_json::from_slice(&content)
            .map(Some)
            .map_err(|error| error.to_string())
            .context(|| format!("read {:?}", self.path.join(name)))
    }

    fn save<T: Serialize>(&self, name: &str, value: &T) -> Result<(), StepError> {
        let content = serde_json::to_vec(value)
            .map_err(|error| error.to_string())
            .context(|| format!("write {:?}", self.path.join(name)))?;
        self.write(name, &content)
    }

    /// Writes `state.json`, whole or not at all.
    pub(crate) fn save_record(&self, record: &Record) -> Result<(), StepError> {
        self.save(RECORD, record)
    }

    /// Removes `state.json`: nothing that it names is the container's.
    pub(crate) fn forget_record(&self) {
        let _ = unlinkat(&self.fd, RECORD, AtFlags::empty());
    }

    /// Reads `state.json`; `None` if creation ended before it was written.
    pub(crate) fn record(&self) -> Result<Option<Record>, StepError> {
        let record: Option<Record> = self.parse(RECORD)?;
        match record {
            Some(record) if record.version != VERSION => Err(StepError::new(
                format!("read {:?}", self.path.join(RECORD)),
                format!("format {} is not {VERSION}, the one of this program", record.version),
            )),
            other => Ok(other),
        }
    }

    /// Keeps the configuration for later `exec`s.
    pub(crate) fn save_config(&self, spec: &Spec) -> Result<(), StepError> {
        self.save(CONFIG, spec)
    }

    /// The configuration that the container was made from.
    pub(crate) fn config(&self) -> Result<Spec, StepError> {
        self.parse(CONFIG)?
            .ok_or("it is missing")
            .context(|| format!("read {:?}", self.path.join(CONFIG)))
    }

    /// Writes down the first process.
    pub(crate) fn save_first_process(&self, first: FirstProcess) -> Result<(), StepError> {
        self.write(PID, format!("{} {}\n", first.pid, first.start_time).as_bytes())
    }

    /// The first process, once there is one.
    pub(crate) fn first_process(&self) -> Result<Option<FirstProcess>, StepError> {
        let Some(content) = self.read(PID)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&content);
        let parsed = text.trim().split_once(' ').and_then(|(pid, start)| {
            Some(FirstProcess { pid: pid.parse().ok()?, start_time: start.parse().ok()? })
        });
        parsed
            .ok_or("it is damaged")
            .context(|| format!("read {:?}", self.path.join(PID)))
            .map(Some)
    }

    /// Whether the container still waits to be started, or was killed before.
    pub(crate) fn has_start_socket(&self) -> bool {
        rustix::fs::accessat(&self.fd, START, rustix::fs::Access::EXISTS, AtFlags::empty()).is_ok()
    }

    /// Removes the start socket; it may be gone already.
    pub(crate) fn remove_start_socket(&self) {
        let _ = unlinkat(&self.fd, START, AtFlags::empty());
    }

    /// Removes the directory and all that is ours in it.
    pub(crate) fn remove(&self) -> Result<(), StepError> {
        for name in [CONFIG, PID, START, CONTROL, RECORD] {
            let _ = unlinkat(&self.fd, name, AtFlags::empty());
        }
        let result = match unlinkat(CWD, &self.path, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                // Left by a write that was cut off.
                std::fs::remove_dir_all(&self.path)
                    .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
            }
            other => other,
        };
        match result {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error).context(|| format!("remove {:?}", self.path)),
        }
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
