//! Copies of the supervisor that do one thing and report.

use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use caisson_isolator::ContainerId;
use caisson_sys::clone::{CloneFlags, Side, clone3, exit_now};
use rustix::io::{Errno, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, pidfd_send_signal, set_parent_process_death_signal};

use super::engine::Engine;
use super::job::{Job, Outcome};
use super::step::{Context as _, StepError};
use crate::wire::{Incoming, decode, encode};
use crate::{Fault, FaultKind};

/// A worker, as its supervisor sees it.
#[derive(Debug)]
pub(super) struct Worker {
    report: OwnedFd,
    bytes: Incoming,
    process: OwnedFd,
    /// What it does, for messages.
    step: String,
    limit: Duration,
    /// When it is killed.
    pub(super) deadline: Instant,
}

impl Worker {
    /// Starts one, which may take as long as `limit`. `oom_score` is what its
    /// processes are to have, if that is not the supervisor's.
    pub(super) fn start(
        engine: &Engine,
        id: &ContainerId,
        job: Job,
        limit: Duration,
        oom_score: Option<&str>,
    ) -> Result<Self, StepError> {
        let step = || "start a worker";
        let (report, told) = pipe_with(PipeFlags::CLOEXEC).context(step)?;
        match clone3(CloneFlags::empty(), None).context(step)? {
            Side::Parent { pidfd, .. } => Ok(Self {
                report,
                bytes: Incoming::default(),
                process: pidfd,
                step: format!("{} container {id}", job.name()),
                limit,
                deadline: Instant::now() + limit,
            }),
            Side::Child => {
                drop(report);
                // Whoever cleans up after us waits for the lock, which it holds, too.
                let _ = set_parent_process_death_signal(Some(Signal::KILL));
                if let Some(score) = oom_score {
                    let _ = std::fs::write("/proc/self/oom_score_adj", score);
                }
                let outcome = job.perform(engine, id);
                let frame = encode(&outcome).or_else(|error| {
                    let fault = Fault::new(FaultKind::Failed, error.to_string());
                    encode(&Err::<Outcome, Fault>(fault))
                });
                let told = frame.map(|frame| std::fs::File::from(told).write_all(&frame));
                exit_now(u8::from(told.is_err()));
            }
        }
    }

    /// Ends one that takes too long; what its caller is told.
    pub(super) fn give_up(&self) -> Fault {
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
        let (step, limit) = (&self.step, self.limit.as_millis());
        let why = format!("{step}: given up: it did not end within {limit} ms");
        Fault::new(FaultKind::TimedOut, why)
    }

    /// Reads what there is; the outcome once it is complete. Blocks unless the
    /// descriptor is ready.
    pub(super) fn read(&mut self) -> Option<Result<Outcome, Fault>> {
        let lost = |why: String| {
            let why = format!("{}: the worker process failed: {why}", self.step);
            Some(Err(Fault::new(FaultKind::Failed, why)))
        };
        match self.bytes.read(self.report.as_fd()) {
            Ok(0) => return lost("it ended without a word (was it killed?)".to_owned()),
            Ok(_) => {}
            Err(error) => return lost(error.to_string()),
        }
        match self.bytes.take_frame() {
            Ok(None) => None,
            Ok(Some(frame)) => match decode::<Result<Outcome, Fault>>(&frame) {
                Ok(outcome) => Some(outcome),
                Err(error) => lost(error.to_string()),
            },
            Err(error) => lost(error.to_string()),
        }
    }

    /// Whether [`Worker::read`] would not block.
    pub(super) fn is_ready(&self) -> bool {
        let mut wanted = [rustix::event::PollFd::new(&self.report, rustix::event::PollFlags::IN)];
        let now = rustix::time::Timespec::default();
        matches!(retry_on_intr(|| rustix::event::poll(&mut wanted, Some(&now))), Ok(1..))
    }
}

impl AsFd for Worker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.report.as_fd()
    }
}

impl Incoming {
    /// Reads once from what is no socket.
    fn read(&mut self, from: BorrowedFd<'_>) -> Result<usize, Errno> {
        let mut chunk = [0_u8; 8192];
        let count = retry_on_intr(|| rustix::io::read(from, &mut chunk))?;
        self.extend(chunk.get(..count).unwrap_or_default());
        Ok(count)
    }
}
