//! What handlers can do, asked once for each program as it lies on the disk.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use caisson_shim::client::{describe, find_program};
use caisson_shim::{Description, PodConfig};

use super::Handler;
use crate::paths::Paths;

/// What was learned of engines. To ask again costs a stat(2), unless a program
/// was replaced or is asked with other arguments.
#[derive(Debug, Default)]
pub struct Descriptions {
    known: Mutex<HashMap<Key, Arc<Description>>>,
}

/// A question, and the programs that answer it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    question: Vec<u8>,
    programs: Vec<Program>,
}

/// A program as it lies on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Program {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: Option<SystemTime>,
}

impl Program {
    fn at(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: found.modified().ok(),
        })
    }
}

impl Descriptions {
    /// What the handler's engine says of itself. One that can't be asked says
    /// nothing.
    pub fn of(&self, handler: &Handler, paths: &Paths) -> Arc<Description> {
        self.find(handler, paths).unwrap_or_default()
    }

    fn find(&self, handler: &Handler, paths: &Paths) -> Option<Arc<Description>> {
        let supervisor = find_program()?;
        let engine = handler.engine(paths, Path::new("/"), false).ok()?;
        let pod = PodConfig {
            id: "description".to_owned(),
            isolator: engine.isolator.to_owned(),
            sentry: engine.sentry.clone(),
            oci: engine.oci,
            shim: engine.shim,
            state_root: engine.state_root,
            systemd_cgroup: false,
            rootless: None,
            cgroup: None,
            containers: Vec::new(),
            exit_command: Vec::new(),
            linger: true,
            containerd: None,
            step_limit_ms: None,
        };
        let programs = [Some(supervisor.clone()), handler.program().ok()?];
        let programs: Option<Vec<Program>> =
            programs.iter().flatten().map(|path| Program::at(path)).collect();
        let key = Key { question: serde_json::to_vec(&pod).ok()?, programs: programs? };
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(description) = known().get(&key) {
            return Some(Arc::clone(description));
        }
        // Nobody waits for the lock meanwhile; two may ask the same.
        let description = Arc::new(describe(&supervisor, &pod).unwrap_or_default());
        let mut known = known();
        // Of earlier programs at that place nobody asks any more.
        known.retain(|other, _| other.question != key.question);
        known.insert(key, Arc::clone(&description));
        Some(description)
    }
}
