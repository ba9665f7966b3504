//! The engines whose pulls and runs are compared: how each is asked.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::daemons::Daemon;
use crate::error::BenchError;
use crate::runtimes::{Runtime, call};

/// Which engine; each is asked in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Ctr,
    Docker,
    Podman,
    Skopeo,
}

/// The network of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    Default,
    None,
}

/// An engine that is there, with its directories and its daemon.
pub(crate) struct Engine {
    pub(crate) kind: Kind,
    program: PathBuf,
    dir: PathBuf,
    daemon: Option<Daemon>,
}

/// Ours first, then the peers.
pub(crate) const ALL: [(Kind, &str, &str); 5] = [
    (Kind::Ours, "ours", ""),
    (Kind::Ctr, "containerd (ctr)", "/usr/bin/ctr"),
    (Kind::Docker, "docker", "/usr/bin/docker"),
    (Kind::Podman, "podman", "/usr/bin/podman"),
    (Kind::Skopeo, "skopeo, not unpacked", "/usr/bin/skopeo"),
];

impl Engine {
    /// Prepares an engine below `scratch`, and starts its daemon; the error
    /// says why it can't be measured.
    pub(crate) fn open(kind: Kind, program: &Path, scratch: &Path) -> Result<Self, BenchError> {
        let daemon = match kind {
            Kind::Ctr => Some(Daemon::containerd(scratch)?),
            Kind::Docker => Some(Daemon::dockerd(scratch)?),
            Kind::Ours | Kind::Podman | Kind::Skopeo => None,
        };
        let dir = scratch.join(format!("{kind:?}").to_lowercase());
        Ok(Self { kind, program: program.to_owned(), dir, daemon })
    }

    /// Name and version for the report.
    pub(crate) fn describe(name: &'static str, program: Result<&Path, String>) -> Runtime {
        let version = match &program {
            Ok(program) => call(program, ["--version"]).map_or_else(
                |e| format!("does not run: {e}"),
                |text| text.lines().next().unwrap_or("").to_owned(),
            ),
            Err(reason) => reason.clone(),
        };
        Runtime { name, path: program.ok().map(Path::to_owned), version, ours: name == "ours" }
    }

    /// The daemon's process.
    pub(crate) fn daemon(&self) -> Option<u32> {
        self.daemon.as_ref().map(Daemon::pid)
    }

    /// The command that pulls `reference` and leaves it ready to run; skopeo
    /// only copies.
    pub(crate) fn pull(&self, reference: &str) -> Vec<OsString> {
        match self.kind {
            Kind::Ours | Kind::Docker => self.command(&["pull", reference]),
            Kind::Ctr => self.command(&["images", "pull", "--plain-http", reference]),
            Kind::Podman => self.command(&["pull", "-q", "--tls-verify=false", reference]),
            Kind::Skopeo => {
                let from = format!("docker://{reference}");
                let to = format!("oci:{}:latest", self.dir.display());
                self.command(&["copy", "-q", "--src-tls-verify=false", &from, &to])
            }
        }
    }

    /// Removes all that a pull of `reference` has brought.
    pub(crate) fn forget(&self, reference: &str) -> Result<(), BenchError> {
        let command = match self.kind {
            // Whole stores: nothing of an earlier round can help.
            Kind::Ours | Kind::Skopeo => {
                return match std::fs::remove_dir_all(&self.dir) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        Err(BenchError::path("remove", &self.dir)(e))
                    }
                    _ => Ok(()),
                };
            }
            Kind::Ctr => self.command(&["images", "rm", "--sync", reference]),
            Kind::Docker | Kind::Podman => self.command(&["rmi", reference]),
        };
        call(&self.program, command.into_iter().skip(1)).map(drop)
    }

    /// The command that runs `true` in a new container of an image that is
    /// there, and removes the container. `None` where the engine has no such
    /// network or runs nothing.
    pub(crate) fn run(&self, reference: &str, network: Network, id: &str) -> Option<Vec<OsString>> {
        let mut arguments = vec!["run", "--rm"];
        match (self.kind, network) {
            (Kind::Skopeo, _) | (Kind::Ctr, Network::Default) => return None,
            (Kind::Ctr, Network::None) => {
                return Some(self.command(&["run", "--rm", reference, id, "true"]));
            }
            (_, Network::Default) => {}
            (_, Network::None) => arguments.push("--network=none"),
        }
        arguments.extend([reference, "true"]);
        Some(self.command(&arguments))
    }

    fn command(&self, rest: &[&str]) -> Vec<OsString> {
        let mut all: Vec<OsString> = vec![(&self.program).into()];
        let below = |name: &str| self.dir.join(name).into_os_string();
        match (self.kind, &self.daemon) {
            (Kind::Ours, _) => {
                all.extend(["--root".into(), below("root"), "--run-root".into(), below("run")]);
            }
            (Kind::Podman, _) => {
                all.extend(["--root".into(), below("root")]);
                // It takes 50 characters.
                all.extend(["--runroot", "/run/caisson-bench"].map(Into::into));
                all.extend(["--tmpdir".into(), below("tmp")]);
                all.extend(["--cgroup-manager", "cgroupfs"].map(Into::into));
                all.extend(["--storage-driver", "overlay"].map(Into::into));
            }
            (Kind::Ctr, Some(daemon)) => {
                all.extend(["--address".into(), daemon.socket.clone().into()]);
            }
            (Kind::Docker, Some(daemon)) => {
                all.extend(["--host".into(), format!("unix://{}", daemon.socket.display()).into()]);
            }
            _ => {}
        }
        all.extend(rest.iter().map(Into::into));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_that_an_engine_lacks_are_left_out() {
        let scratch = tempfile::tempdir().unwrap();
        let open = |kind| Engine::open(kind, Path::new("/bin/x"), scratch.path()).unwrap();
        assert!(open(Kind::Skopeo).run("r", Network::None, "i").is_none());
        let ours = open(Kind::Ours).run("r", Network::None, "i").unwrap();
        assert_eq!(ours.first().unwrap(), "/bin/x");
        assert!(ours.contains(&"--network=none".into()));
        assert!(
            !open(Kind::Ours)
                .run("r", Network::Default, "i")
                .unwrap()
                .contains(&"--network=none".into())
        );
    }
}
