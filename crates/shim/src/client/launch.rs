//! Starting a supervisor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::error::cause;
use super::pod::Shim;
use crate::wire::{Incoming, MAX_FDS, WireError, decode, encode, send};
use crate::{Fault, Launch, LaunchReply, NamespaceKind};

/// The supervisor's program.
const PROGRAM: &str = "caisson-shim";

/// Why there is no supervisor.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The program could not be started.
    #[error("start {program}: {cause}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It was started but gave no answer.
    #[error("the supervisor {program} did not come up: {cause}")]
    Silent {
        /// The program.
        program: PathBuf,
        /// Why.
        cause: String,
    },
    /// It could not make the containers. Nothing is left.
    #[error(transparent)]
    Failed(#[from] Fault),
}

/// What a supervisor inherits.
#[derive(Debug, Default)]
pub struct LaunchFds<'fd> {
    /// Namespaces of the pod, each kind at most once, which its containers'
    /// `config.json` name by [`NamespaceKind::path`].
    pub namespaces: Vec<(NamespaceKind, BorrowedFd<'fd>)>,
    /// Streams that the only container gets for its own. Then nothing is logged
    /// and nobody can attach. Not for containers with a terminal.
    pub stdio: Option<[BorrowedFd<'fd>; 3]>,
    /// What to keep open for as long as the supervisor lives.
    pub held: Vec<BorrowedFd<'fd>>,
}

/// A supervisor whose containers are made and wait to be started. Dropping this
/// without [`Launched::commit`], or dying, makes it all go away.
#[derive(Debug)]
pub struct Launched {
    shim: Shim,
    pids: Vec<i32>,
    shim_pid: i32,
    lifeline: OwnedFd,
}

/// The program beside the running one, in `../libexec/caisson` from there, or
/// on the `PATH`.
#[must_use]
pub fn find_program() -> Option<PathBuf> {
    let own = std::env::current_exe().ok();
    let dir = own.as_deref().and_then(Path::parent);
    let beside = dir.map(|dir| dir.join(PROGRAM));
    let libexec =
        dir.and_then(Path::parent).map(|prefix| prefix.join("libexec/caisson").join(PROGRAM));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join(PROGRAM));
    beside.into_iter().chain(libexec).chain(on_path).find(|program| program.is_file())
}

/// Starts the supervisor of the pod whose directory holds `shim.json`. Returns
/// once its containers are made.
///
/// # Errors
/// Nothing is left of the pod but its directory.
pub fn launch(
    program: &Path,
    pod_dir: &Path,
    fds: &LaunchFds<'_>,
) -> Result<Launched, LaunchError> {
    let failed = |cause: std::io::Error| LaunchError::Spawn { program: program.to_owned(), cause };
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(|e| failed(e.into()))?;
    let pod_dir = std::path::absolute(pod_dir).map_err(failed)?;
    let mut child = Command::new(program)
        .arg("run")
        .arg(&pod_dir)
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .spawn()
        .map_err(failed)?;
    let reply = converse(&ours, &pod_dir, fds, &mut child).map_err(|error| {
        LaunchError::Silent { program: program.to_owned(), cause: cause(&error) }
    })?;
    match reply {
        LaunchReply::Ready { shim_pid, pids } => {
            Ok(Launched { shim: Shim::at(&pod_dir), pids, shim_pid, lifeline: ours })
        }
        LaunchReply::Failed(fault) => Err(fault.into()),
        LaunchReply::Committed => Err(LaunchError::Silent {
            program: program.to_owned(),
            cause: "it answered what only we may say".to_owned(),
        }),
    }
}

fn converse(
    socket: &OwnedFd,
    pod_dir: &Path,
    fds: &LaunchFds<'_>,
    child: &mut Child,
) -> Result<LaunchReply, WireError> {
    let (namespaces, mut all): (Vec<_>, Vec<_>) = fds.namespaces.iter().copied().unzip();
    all.extend(fds.stdio.into_iter().flatten());
    all.extend(&fds.held);
    let held = u32::try_from(fds.held.len()).unwrap_or(u32::MAX);
    if all.len() > MAX_FDS {
        let _ = child.kill();
        let _ = child.wait();
        return Err(WireError::Malformed(format!("{} descriptors are too many", all.len())));
    }
    let stdio = fds.stdio.is_some();
    let launch = Launch { pod_dir: pod_dir.to_owned(), namespaces, stdio, held };
    let sent = encode(&launch).and_then(|frame| send(socket.as_fd(), &frame, &all));
    // It goes on in a child of its own, and ends at once.
    let ended = child.wait();
    sent?;
    match ended {
        Ok(status) if !status.success() => {
            return Err(WireError::Malformed(format!("it ended at once: {status}")));
        }
        _ => {}
    }
    decode(&Incoming::default().next_frame(socket.as_fd())?)
}

impl Launched {
    /// The supervisor, to be asked before the launch is final.
    #[must_use]
    pub fn shim(&self) -> &Shim {
        &self.shim
    }

    /// The containers' first processes, in the order of `shim.json`.
    #[must_use]
    pub fn pids(&self) -> &[i32] {
        &self.pids
    }

    /// The supervisor's process.
    #[must_use]
    pub fn shim_pid(&self) -> i32 {
        self.shim_pid
    }

    /// From here on the pod lives on without us.
    ///
    /// # Errors
    /// If the supervisor is gone.
    pub fn commit(self) -> Result<Shim, LaunchError> {
        encode(&LaunchReply::Committed)
            .and_then(|frame| send(self.lifeline.as_fd(), &frame, &[]))
            .map_err(|error| LaunchError::Silent {
                program: PROGRAM.into(),
                cause: error.to_string(),
            })?;
        Ok(self.shim)
    }
}
