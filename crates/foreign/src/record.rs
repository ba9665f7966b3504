//! `record.json`: what is written down about a container before its program is asked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use caisson_cgroup::CgroupState;
use caisson_isolator::{ContainerId, ContainerInfo, ContainerStatus, SandboxError};
use caisson_runtime_spec::Spec;
use serde::{Deserialize, Serialize};

use crate::dir::Dir;

const FILE: &str = "record.json";
/// The format that this program writes and reads.
const VERSION: u32 = 1;

/// What stays as it is for as long as the container exists.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    /// The caller's bundle, not the one that the program gets.
    pub bundle: PathBuf,
    /// The root file system.
    pub rootfs: PathBuf,
    /// When it was made.
    pub created: SystemTime,
    /// Whose it is.
    pub owner_uid: u32,
    /// Of the configuration.
    pub oci_version: String,
    /// Of the configuration.
    pub annotations: BTreeMap<String, String>,
    /// Where the program is going to make the cgroup, as far as that is known.
    pub cgroup: CgroupState,
}

/// A record with its format.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    record: T,
}

impl Record {
    /// Of a container that is made now, by the caller's user.
    #[must_use]
    pub fn new(bundle: PathBuf, rootfs: PathBuf, spec: &Spec, cgroup: CgroupState) -> Self {
        Self {
            bundle,
            rootfs,
            created: SystemTime::now(),
            owner_uid: rustix::process::getuid().as_raw(),
            oci_version: spec.oci_version.clone(),
            annotations: spec.annotations.clone(),
            cgroup,
        }
    }

    /// Writes it down.
    ///
    /// # Errors
    /// Names the file.
    pub fn save(&self, dir: &Dir) -> Result<(), SandboxError> {
        dir.save(FILE, &Versioned { version: VERSION, record: self })
    }

    /// The one that was written down; `None` if creation ended before.
    ///
    /// # Errors
    /// Names the file: it can't be read, is no record, or has another format.
    pub fn load(dir: &Dir) -> Result<Option<Self>, SandboxError> {
        match dir.parse::<Versioned<Self>>(FILE)? {
            Some(found) if found.version != VERSION => Err(SandboxError::step(
                format!("read {:?}", dir.path().join(FILE)),
                format!("format {} is not {VERSION}, the one of this program", found.version),
            )),
            found => Ok(found.map(|found| found.record)),
        }
    }

    /// What a container is, by its record and by how it is now.
    #[must_use]
    pub fn info(self, id: ContainerId, status: ContainerStatus, pid: i32) -> ContainerInfo {
        ContainerInfo {
            id,
            status,
            pid,
            bundle: self.bundle,
            rootfs: self.rootfs,
            created: self.created,
            owner_uid: self.owner_uid,
            oci_version: self.oci_version,
            annotations: self.annotations,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_format_is_refused_by_the_name_of_its_file() {
        let place = std::env::temp_dir().join(format!("caisson-record-{}", std::process::id()));
        let dir = Dir::make(&place).unwrap();
        assert!(Record::load(&dir).unwrap().is_none());
        let record = Record {
            bundle: "/bundle".into(),
            rootfs: "/bundle/rootfs".into(),
            created: SystemTime::UNIX_EPOCH,
            owner_uid: 5,
            oci_version: "1.3.0".into(),
            annotations: BTreeMap::from([("a".into(), "b".into())]),
            cgroup: CgroupState {
                root: "/sys/fs/cgroup".into(),
                unified: true,
                rootless: false,
                hierarchies: Vec::new(),
                unit: None,
            },
        };
        record.save(&dir).unwrap();
        let loaded = Record::load(&dir).unwrap().unwrap();
        let info = loaded.info("x".parse().unwrap(), ContainerStatus::Running, 7);
        assert_eq!((info.owner_uid, info.pid, info.annotations.len()), (5, 7, 1));
        let text = String::from_utf8(dir.read(FILE).unwrap().unwrap()).unwrap();
        dir.write(FILE, text.replace("\"version\":1", "\"version\":2").as_bytes()).unwrap();
        let refused = Record::load(&dir).unwrap_err().to_string();
        dir.remove().unwrap();
        assert!(refused.contains("record.json") && refused.contains("format 2"), "{refused}");
    }
}
