//! Waiting for the out-of-memory killer.

use crate::cgroup::Cgroup;
use crate::controllers::Controllers;
use crate::dir::{CgroupDir, value_of};
use crate::error::FileError;
use crate::layout::LayoutKind;
use rustix::event::EventfdFlags;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{OFlags, inotify};
use rustix::io::Errno;
use std::path::PathBuf;

/// Why events can't be had.
#[derive(Debug, thiserror::Error)]
pub enum OomError {
    /// The container has no memory cgroup.
    #[error("memory controller missing")]
    NoMemory,
    /// A file can't be used.
    #[error("can't watch for out-of-memory events: {0}")]
    File(#[from] FileError),
}

/// What has happened since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OomEvent {
    /// Nothing.
    None,
    /// The limit was hit and the killer called.
    Oom,
    /// The cgroup is gone or, with v2, has lost its last process: there is
    /// nothing to wait for any more.
    Gone,
}

/// A descriptor that becomes readable on an event.
#[derive(Debug)]
pub struct OomEvents {
    watch: OwnedFd,
    /// v1: registration lasts as long as the watched file is open.
    _control: Option<OwnedFd>,
    root: OwnedFd,
    root_path: PathBuf,
    rel: String,
    /// v2: the count at the last look.
    seen: Option<u64>,
}

impl Cgroup {
    /// Starts watching. v1: an eventfd on `memory.oom_control` through
    /// `cgroup.event_control`. v2: inotify on `memory.events`, count `oom_kill`.
    pub fn oom_events(&self) -> Result<OomEvents, OomError> {
        let unified = self.kind == LayoutKind::Unified;
        let node = self
            .nodes
            .iter()
            .find(|node| unified || node.controllers.contains(Controllers::MEMORY))
            .ok_or(OomError::NoMemory)?;
        let dir = self.dir_of(node);
        let failed = |action, file: &str, errno: Errno| FileError {
            action,
            path: dir.path_of(file),
            value: None,
            errno,
        };
        let root = self.root.try_clone().map_err(|error| {
            failed("duplicate", "", Errno::from_io_error(&error).unwrap_or(Errno::MFILE))
        })?;
        let (watch, control, seen) = if unified {
            let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
            let watch =
                inotify::init(flags).map_err(|errno| failed("watch", "memory.events", errno))?;
            let path = dir.path_of("memory.events");
            inotify::add_watch(&watch, &path, inotify::WatchFlags::MODIFY)
                .map_err(|errno| failed("watch", "memory.events", errno))?;
            // cgroup.events is modified when the cgroup becomes empty.
            let path = dir.path_of("cgroup.events");
            let _ = inotify::add_watch(&watch, &path, inotify::WatchFlags::MODIFY);
            let count = kills(dir)?.unwrap_or(0);
            (watch, None, Some(count))
        } else {
            let watch = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map_err(|errno| {
                failed("create an eventfd for", "memory.oom_control", errno)
            })?;
            let control = dir.open("memory.oom_control", OFlags::RDONLY)?;
            let line = format!("{} {}", watch.as_raw_fd(), control.as_raw_fd());
            dir.write("cgroup.event_control", &line)?;
            (watch, Some(control), None)
        };
        Ok(OomEvents {
            watch,
            _control: control,
            root,
            root_path: self.root_path.clone(),
            rel: node.rel.clone(),
            seen,
        })
    }

    /// How often the killer struck in this cgroup: `oom_kill` of v1's
    /// `memory.oom_control` (Linux 4.13) or v2's `memory.events`.
    pub fn oom_kills(&self) -> Result<u64, FileError> {
        let Some(dir) = self.dir(Controllers::MEMORY) else { return Ok(0) };
        if self.kind == LayoutKind::Unified {
            return Ok(kills(dir)?.unwrap_or(0));
        }
        let text = dir.read_if_present("memory.oom_control")?.unwrap_or_default();
        Ok(value_of(&text, "oom_kill").unwrap_or(0))
    }
}

fn kills(dir: CgroupDir<'_>) -> Result<Option<u64>, FileError> {
    let text = dir.read_if_present("memory.events")?;
    Ok(text.map(|text| value_of(&text, "oom_kill").unwrap_or(0)))
}

/// Whether no process is in the cgroup or below it. The kernel says so while
/// the last one is not yet a zombie: `/proc` is no substitute for it.
fn is_empty(dir: CgroupDir<'_>) -> Result<bool, FileError> {
    let text = dir.read_if_present("cgroup.events")?;
    Ok(text.is_none_or(|text| value_of(&text, "populated") == Some(0)))
}

impl AsFd for OomEvents {
    /// To be polled for reading.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

impl OomEvents {
    /// Consumes what made the descriptor readable and tells what it was. Never blocks.
    pub fn take(&mut self) -> Result<OomEvent, OomError> {
        // One event of inotify(7) on a file, or the counter of an eventfd: what
        // else is there keeps the descriptor readable.
        let mut buffer = [0_u8; 16];
        let got = match rustix::io::retry_on_intr(|| rustix::io::read(&self.watch, &mut buffer)) {
            Ok(count) => count > 0,
            Err(_) => false,
        };
        let dir = CgroupDir::new(self.root.as_fd(), &self.root_path, &self.rel);
        match self.seen {
            // v1 signals the eventfd when the cgroup is removed, too.
            None => {
                let there = dir.open("cgroup.event_control", OFlags::PATH).is_ok();
                Ok(match (there, got) {
                    (false, _) => OomEvent::Gone,
                    (true, true) => OomEvent::Oom,
                    (true, false) => OomEvent::None,
                })
            }
            Some(seen) => {
                let Some(count) = kills(dir)? else { return Ok(OomEvent::Gone) };
                self.seen = Some(count);
                Ok(if count > seen {
                    OomEvent::Oom
                } else if got && is_empty(dir)? {
                    OomEvent::Gone
                } else {
                    OomEvent::None
                })
            }
        }
    }
}
