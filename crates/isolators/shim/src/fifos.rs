//! FIFOs between a shim and us.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use caisson_containerd::task::Stdio;
use caisson_foreign::step::Context as _;
use caisson_isolator::SandboxError;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, mknodat, openat, unlinkat};

use crate::state::StateDir;

/// Makes one and opens it for both directions, without waiting for anybody.
pub(crate) fn make(path: &Path) -> Result<OwnedFd, SandboxError> {
    let step = || format!("make the FIFO {}", path.display());
    let _ = unlinkat(CWD, path, AtFlags::empty());
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).context(step)?;
    open(path, OFlags::RDWR).context(step)
}

fn open(path: &Path, how: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = how | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    openat(CWD, path, flags, Mode::empty())
}

/// A process's streams: our ends, and where they are.
#[derive(Debug)]
pub(crate) struct Fifos {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: Option<OwnedFd>,
    paths: Vec<PathBuf>,
    pub(crate) stdio: Stdio,
}

impl Fifos {
    /// For the process called `name`. A terminal's errors are output.
    pub(crate) fn make(
        dir: &StateDir,
        name: &str,
        input: bool,
        terminal: bool,
    ) -> Result<Self, SandboxError> {
        let path = |stream: &str| dir.path().join(format!("{name}.{stream}"));
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut fifos = Self {
            stdin: None,
            stdout: read_end(&path("stdout"))?,
            stderr: None,
            paths: vec![path("stdout")],
            stdio: Stdio { terminal, stdout: text(&path("stdout")), ..Stdio::default() },
        };
        if !terminal {
            fifos.stderr = Some(read_end(&path("stderr"))?);
            fifos.stdio.stderr = text(&path("stderr"));
            fifos.paths.push(path("stderr"));
        }
        if input {
            fifos.stdin = Some(make(&path("stdin"))?);
            fifos.stdio.stdin = text(&path("stdin"));
            fifos.paths.push(path("stdin"));
        }
        Ok(fifos)
    }

    /// Takes the names away; who has them open keeps them.
    pub(crate) fn forget(&self) {
        for path in &self.paths {
            let _ = unlinkat(CWD, path, AtFlags::empty());
        }
    }
}

/// Reading alone: so that it ends when the last writer is gone.
fn read_end(path: &Path) -> Result<OwnedFd, SandboxError> {
    make(path).map(drop)?;
    open(path, OFlags::RDONLY).context(|| format!("open the FIFO {}", path.display()))
}
