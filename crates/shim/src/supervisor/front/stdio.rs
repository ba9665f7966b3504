//! A process's streams: FIFOs that containerd or its client has made.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::pipe::{PipeFlags, pipe_with};

use super::relay::Relay;
use crate::supervisor::step::{Context as _, StepError};
use crate::supervisor::streams::{null, set_nonblocking};
use caisson_containerd::task::{Stdio, Target};

/// Streams that were opened.
pub(super) struct Opened {
    /// For the process.
    pub(super) streams: [OwnedFd; 3],
    /// Kept open until it has ended, so that it outlives containerd.
    pub(super) held: Vec<OwnedFd>,
    /// Brings its input.
    pub(super) relay: Option<Relay>,
}

/// The streams of a process without a terminal. It writes to the FIFOs itself.
pub(super) fn open(stdio: &Stdio, owner: &Target) -> Result<Opened, StepError> {
    let mut held = Vec::new();
    let mut relay = None;
    let stdin = if stdio.stdin.is_empty() {
        null()?
    } else {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).context(|| "make a pipe")?;
        set_nonblocking(&write)?;
        relay = Some(Relay::new(owner.clone(), true, input(&stdio.stdin)?, write));
        read
    };
    let mut output = |path: &str| -> Result<OwnedFd, StepError> {
        if path.is_empty() {
            return null();
        }
        let (writer, hold) = sink(path)?;
        held.extend(hold);
        Ok(writer)
    };
    let streams = [stdin, output(&stdio.stdout)?, output(&stdio.stderr)?];
    Ok(Opened { streams, held, relay })
}

/// The relays of a process with a terminal, whose master this is, twice.
pub(super) fn relays(
    stdio: &Stdio,
    owner: &Target,
    [from, to]: [OwnedFd; 2],
) -> Result<Vec<Relay>, StepError> {
    let mut relays = Vec::new();
    if stdio.stdout.is_empty() {
        // Read all the same: a full terminal stops who writes to it.
        let sink = null()?;
        relays.push(Relay::new(owner.clone(), false, from, sink));
    } else {
        let (writer, hold) = sink(&stdio.stdout)?;
        let writer = hold.unwrap_or(writer);
        set_nonblocking(&writer)?;
        relays.push(Relay::new(owner.clone(), false, from, writer));
    }
    if !stdio.stdin.is_empty() {
        relays.push(Relay::new(owner.clone(), true, input(&stdio.stdin)?, to));
    }
    Ok(relays)
}

/// Does not wait for who writes, and ends when the last one has left.
fn input(path: &str) -> Result<OwnedFd, StepError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).context(|| format!("open {path} to read input"))
}

/// A FIFO, which is also held open for reading, so that to write to it does not
/// fail while containerd is away; or a file, by `file://`.
fn sink(path: &str) -> Result<(OwnedFd, Option<OwnedFd>), StepError> {
    let step = || format!("open {path} for output");
    if let Some(file) = path.strip_prefix("file://") {
        if let Some(dir) = Path::new(file).parent() {
            std::fs::create_dir_all(dir).context(step)?;
        }
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
        let file = openat(CWD, file, flags, Mode::from_raw_mode(0o644)).context(step)?;
        return Ok((file, None));
    }
    let path = path.strip_prefix("fifo://").unwrap_or(path);
    if path.contains("://") {
        return Err(StepError::new(step(), "only FIFOs and file:// are supported"));
    }
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let hold = openat(CWD, path, flags, Mode::empty()).context(step)?;
    let kind = FileType::from_raw_mode(fstat(&hold).context(step)?.st_mode);
    let writer =
        openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).context(step)?;
    Ok((writer, (kind == FileType::Fifo).then_some(hold)))
}
