//! Where the engine keeps things.

use std::ffi::OsString;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The two directories that everything is below: state that outlives a
/// reboot, and state that does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    root: PathBuf,
    run: PathBuf,
}

/// Why there is no place for the engine's state.
#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    /// No home directory is known to put a user's state in.
    #[error("neither XDG_DATA_HOME nor HOME is set: say where to keep state with --root")]
    NoHome,
    /// A directory could not be made or used.
    #[error("cannot use {path} as a state directory: {source}")]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The directory belongs to somebody else.
    #[error("{path} belongs to user {owner}, not to {us}: choose another with --run-root")]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        us: u32,
    },
}

/// Where a user without privileges is, as seen from outside a user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The administrator: state is the system's.
    System,
    /// A user: state is below the user's directories.
    User {
        /// The user's id on the host.
        uid: u32,
    },
}

impl Paths {
    /// The directories for `identity`: `root` and `run` where they are given,
    /// then the environment's `CAISSON_ROOT` and `CAISSON_RUN_ROOT`, then the
    /// defaults. `env` looks up a variable.
    ///
    /// # Errors
    /// [`PathsError::NoHome`].
    pub fn choose(
        root: Option<PathBuf>,
        run: Option<PathBuf>,
        identity: Identity,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, PathsError> {
        let set = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = match (root.or_else(|| set("CAISSON_ROOT")), identity) {
            (Some(root), _) => root,
            (None, Identity::System) => PathBuf::from("/var/lib/caisson"),
            (None, Identity::User { .. }) => set("XDG_DATA_HOME")
                .or_else(|| set("HOME").map(|home| home.join(".local/share")))
                .ok_or(PathsError::NoHome)?
                .join("caisson"),
        };
        let run = match (run.or_else(|| set("CAISSON_RUN_ROOT")), identity) {
            (Some(run), _) => run,
            (None, Identity::System) => PathBuf::from("/run/caisson"),
            (None, Identity::User { uid }) => set("XDG_RUNTIME_DIR").map_or_else(
                || PathBuf::from(format!("/tmp/caisson-{uid}")),
                |dir| dir.join("caisson"),
            ),
        };
        Ok(Self { root, run })
    }

    /// Makes the directories, open to their owner only, and checks whose they
    /// are: a directory under `/tmp` may have been put there by anybody.
    ///
    /// # Errors
    /// [`PathsError::Unusable`], [`PathsError::Foreign`].
    pub fn prepare(self) -> Result<Self, PathsError> {
        Ok(Self { root: own_dir(&self.root)?, run: own_dir(&self.run)? })
    }

    /// State that outlives a reboot.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// State that does not.
    #[must_use]
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.root.join("meta.db")
    }

    /// What a container writes, and its log.
    #[must_use]
    pub fn container(&self, id: &str) -> PathBuf {
        self.root.join("containers").join(id)
    }

    /// A container's log file.
    #[must_use]
    pub fn log(&self, id: &str) -> PathBuf {
        self.container(id).join("log")
    }

    /// Folder of all [`Paths::container`]s.
    #[must_use]
    pub fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// A running pod's bundle, socket and lock.
    #[must_use]
    pub fn pod(&self, id: &str) -> PathBuf {
        self.run.join("pods").join(id)
    }

    /// Folder of all [`Paths::pod`]s.
    #[must_use]
    pub fn pods(&self) -> PathBuf {
        self.run.join("pods")
    }

    /// Named volumes.
    #[must_use]
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// What the network keeps.
    #[must_use]
    pub fn net(&self) -> PathBuf {
        self.root.join("net")
    }

    /// What is kept for a handler of somebody else's OCI runtime.
    #[must_use]
    pub fn oci(&self, handler: &str) -> PathBuf {
        self.run.join("oci").join(handler)
    }

    /// Where the daemon listens, unless the settings say otherwise.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.run.join("caisson.sock")
    }

    /// What a foreign shim's runtime keeps, by its handler.
    #[must_use]
    pub fn shims(&self, handler: &str) -> PathBuf {
        self.run.join("shims").join(handler)
    }

    /// The native isolator's state.
    #[must_use]
    pub fn native(&self) -> PathBuf {
        self.run.join("native")
    }

    /// The sentry's state.
    #[must_use]
    pub fn sentry(&self) -> PathBuf {
        self.run.join("sentry")
    }
}

fn own_dir(path: &Path) -> Result<PathBuf, PathsError> {
    let fail = |source| PathsError::Unusable { path: path.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail)?;
    let path = path.canonicalize().map_err(fail)?;
    let owner = std::fs::metadata(&path).map_err(fail)?.uid();
    let us = rustix::process::geteuid().as_raw();
    if owner == us { Ok(path) } else { Err(PathsError::Foreign { path, owner, us }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(identity: Identity, env: &[(&str, &str)]) -> Result<(String, String), PathsError> {
        let lookup = |name: &str| {
            env.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        };
        let paths = Paths::choose(None, None, identity, &lookup)?;
        Ok((paths.root.display().to_string(), paths.run.display().to_string()))
    }

    #[test]
    fn defaults_and_environment() {
        let system = choose(Identity::System, &[("HOME", "/root")]).unwrap();
        assert_eq!(system, ("/var/lib/caisson".to_owned(), "/run/caisson".to_owned()));
        let user = Identity::User { uid: 1000 };
        let paths = choose(user, &[("HOME", "/home/u"), ("XDG_RUNTIME_DIR", "/run/user/1000")]);
        assert_eq!(
            paths.unwrap(),
            ("/home/u/.local/share/caisson".to_owned(), "/run/user/1000/caisson".to_owned())
        );
        assert!(matches!(choose(user, &[]), Err(PathsError::NoHome)));
        let set = choose(user, &[("CAISSON_ROOT", "/a"), ("CAISSON_RUN_ROOT", "/b")]).unwrap();
        assert_eq!(set, ("/a".to_owned(), "/b".to_owned()));
        assert_eq!(choose(user, &[("HOME", "/h")]).unwrap().1, "/tmp/caisson-1000");
    }

    #[test]
    fn directories_are_private() {
        let temp = tempfile::tempdir().unwrap();
        let paths = Paths { root: temp.path().join("a/b"), run: temp.path().join("c") };
        let paths = paths.prepare().unwrap();
        assert_eq!(std::fs::metadata(paths.root()).unwrap().mode() & 0o777, 0o700);
    }
}
