//! Stopping and continuing all processes of the cgroup.

use crate::cgroup::Cgroup;
use crate::controllers::Controllers;
use crate::dir::{CgroupDir, value_of};
use crate::error::FileError;
use crate::layout::LayoutKind;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::fs::{OFlags, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a cgroup may take to freeze (runc gives it as long on v2).
const DEADLINE: Duration = Duration::from_secs(10);

/// Why freezing or thawing failed.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// The kernel refused.
    #[error("can't change the freezer state: {0}")]
    File(#[from] FileError),
    /// The container has no freezer.
    #[error("cannot toggle freezer: the container has no cgroup with a freezer")]
    NoFreezer,
    /// Processes kept running; the cgroup was thawed again.
    #[error("unable to freeze {} within {} s", path.display(), DEADLINE.as_secs())]
    TimedOut {
        /// The cgroup.
        path: PathBuf,
    },
}

impl Cgroup {
    /// Freezes all processes and waits until they are. If that fails the cgroup
    /// is thawed again: a half-frozen one would hang everybody.
    pub fn freeze(&self) -> Result<(), FreezeError> {
        let dir = self.freezer().ok_or(FreezeError::NoFreezer)?;
        let result = if self.kind == LayoutKind::Unified { freeze_v2(dir) } else { freeze_v1(dir) };
        if result.is_err() {
            let _ = self.thaw();
        }
        result
    }

    /// Lets all processes run again.
    pub fn thaw(&self) -> Result<(), FreezeError> {
        let dir = self.freezer().ok_or(FreezeError::NoFreezer)?;
        match self.kind {
            LayoutKind::Unified => dir.write("cgroup.freeze", "0")?,
            _ => dir.write("freezer.state", "THAWED")?,
        }
        Ok(())
    }

    /// Whether the cgroup itself (not just a parent of it) is frozen. `false`
    /// if the cgroup is gone or the host has no freezer.
    pub fn is_frozen(&self) -> Result<bool, FreezeError> {
        let Some(dir) = self.freezer() else { return Ok(false) };
        if self.kind == LayoutKind::Unified {
            let state = dir.read_if_present("cgroup.freeze")?;
            return Ok(state.is_some_and(|state| state.trim() == "1"));
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            let Some(state) = dir.read_if_present("freezer.state")? else { return Ok(false) };
            match state.trim() {
                "THAWED" => return Ok(false),
                "FREEZING" if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                _ => {
                    let own = dir.read_if_present("freezer.self_freezing")?;
                    return Ok(own.is_none_or(|own| own.trim() == "1"));
                }
            }
        }
    }

    fn freezer(&self) -> Option<CgroupDir<'_>> {
        self.dir(Controllers::FREEZER)
    }
}

/// v1 freezes the members it finds; one that is forked meanwhile, or moved in,
/// leaves the cgroup in `FREEZING`. Writing again helps, and now and then
/// letting everything run for a moment.
fn freeze_v1(dir: CgroupDir<'_>) -> Result<(), FreezeError> {
    let deadline = Instant::now() + DEADLINE;
    let mut round = 0_u32;
    loop {
        if round % 50 == 49 {
            dir.write("freezer.state", "THAWED")?;
            std::thread::sleep(Duration::from_millis(10));
        }
        dir.write("freezer.state", "FROZEN")?;
        if round % 25 == 24 {
            std::thread::sleep(Duration::from_micros(10));
        }
        if dir.read("freezer.state")?.trim() == "FROZEN" {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(FreezeError::TimedOut { path: dir.path_of("") });
        }
        round += 1;
    }
}

/// v2 tells completion in `cgroup.events`, and wakes pollers of it on changes.
fn freeze_v2(dir: CgroupDir<'_>) -> Result<(), FreezeError> {
    let events = dir.open("cgroup.events", OFlags::RDONLY)?;
    dir.write("cgroup.freeze", "1")?;
    let deadline = Instant::now() + DEADLINE;
    loop {
        let _ = rustix::fs::seek(&events, SeekFrom::Start(0));
        let text = dir.read_from(events.as_fd(), "cgroup.events")?;
        if value_of(&text, "frozen") == Some(1) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(FreezeError::TimedOut { path: dir.path_of("") });
        }
        // Bounded, in case a change was notified between the read and the poll.
        let wait = Timespec::try_from(left.min(Duration::from_millis(50)))
            .unwrap_or(Timespec { tv_sec: 0, tv_nsec: 50_000_000 });
        let _ = poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&wait));
    }
}
