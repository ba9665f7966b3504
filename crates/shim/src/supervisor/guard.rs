//! What ends the container when the supervisor is killed.
//!
//! The guard is a copy of the supervisor that does nothing but wait for its
//! end: it holds one end of a pipe. Its memory is the supervisor's, shared.
//! Killed itself, it is made again. It keeps the host's mount namespace, where
//! the exit command is run.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use caisson_sys::clone::{CloneFlags, Side, clone3, exit_now};
use caisson_sys::descriptors::close_all_except;
use rustix::io::retry_on_intr;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::collect::{collect, remove_when_asked};
use super::engine::Engine;
use super::exit_command;
use super::pod::{Pod, PodDir};
use super::step::{Context as _, StepError, warn};
use crate::PodConfig;

const LOCK_ATTEMPTS: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// The supervisor's end of it.
#[derive(Debug)]
pub(super) struct Guard {
    pid: i32,
    lifeline: OwnedFd,
    /// The mount namespace that we came from.
    host_mounts: OwnedFd,
}

impl Guard {
    /// Posts a guard. To be called in the host's mount namespace.
    pub(super) fn post(
        dir: &PodDir,
        config: &PodConfig,
        program: &Path,
        host_mounts: OwnedFd,
    ) -> Result<Self, StepError> {
        let (pid, lifeline) = fork(dir, config, program, &host_mounts)?;
        Ok(Self { pid, lifeline, host_mounts })
    }

    pub(super) fn is(&self, pid: i32) -> bool {
        self.pid == pid
    }

    /// Posts another one.
    pub(super) fn renew(&mut self, pod: &Pod) {
        match fork(&pod.dir, &pod.config, &pod.program, &self.host_mounts) {
            Ok((pid, lifeline)) => (self.pid, self.lifeline) = (pid, lifeline),
            Err(error) => warn(&error),
        }
    }

    /// Tells it that the supervisor ends in good order, and what to do when it
    /// has: nothing, or the exit command.
    pub(super) fn dismiss(self, run_command: bool) {
        let word: &[u8] = if run_command { b"c" } else { b"." };
        let _ = retry_on_intr(|| rustix::io::write(&self.lifeline, word));
    }
}

fn fork(
    dir: &PodDir,
    config: &PodConfig,
    program: &Path,
    host_mounts: &OwnedFd,
) -> Result<(i32, OwnedFd), StepError> {
    let step = || "post a guard";
    let (watched, lifeline) = pipe_with(PipeFlags::CLOEXEC).context(step)?;
    match clone3(CloneFlags::empty(), None).context(step)? {
        Side::Parent { pid, .. } => Ok((pid.as_raw_nonzero().get(), lifeline)),
        Side::Child => {
            let keep = [watched.as_fd(), dir.fd.as_fd(), host_mounts.as_fd()];
            let _ = rustix::thread::set_name(c"caisson-guard");
            // Not the lock: the supervisor's end must show.
            let ready = close_all_except(3, &keep).is_ok();
            exit_now(u8::from(!ready || !stand(&watched, dir, config, program, host_mounts)));
        }
    }
}

/// Waits for the supervisor's end; true if all is well then.
fn stand(
    watched: &OwnedFd,
    dir: &PodDir,
    config: &PodConfig,
    program: &Path,
    host_mounts: &OwnedFd,
) -> bool {
    let mut word = [0_u8; 1];
    let orderly = match retry_on_intr(|| rustix::io::read(watched, &mut word)) {
        Ok(0) => false,
        Ok(_) if word == *b"." => return true,
        Ok(_) => true,
        Err(_) => return false,
    };
    // A guard that was posted later is in the supervisor's.
    let _ = move_into_link_name_space(host_mounts.as_fd(), Some(LinkNameSpaceType::Mount));
    if orderly {
        // Until the supervisor is gone, and its lock.
        let _ = retry_on_intr(|| rustix::io::read(watched, &mut word));
    } else if let Err(error) = clean_up(dir, config, program) {
        warn(&error);
        return false;
    }
    let done = exit_command::execute(&config.exit_command);
    if !orderly && config.containerd.is_some() {
        return remove_when_asked(dir).map_err(|error| warn(&error)).is_ok() && done;
    }
    done
}

/// Workers that the supervisor has left may hold its lock for a moment.
fn clean_up(dir: &PodDir, config: &PodConfig, program: &Path) -> Result<(), StepError> {
    let engine = Engine::open(config, program)?;
    for _ in 0..LOCK_ATTEMPTS {
        if collect(dir, &engine)? {
            return Ok(());
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    Err(StepError::new("remove what the supervisor has left", "its lock is still held"))
}
