//! What containerd knows of containers and of programs that were added.

use std::os::fd::OwnedFd;

use caisson_runtime_spec::Process;

use super::{Caller, Front};
use crate::supervisor::streams::Streams;
use crate::{ExecExit, ExitRecord, Fault, FaultKind, MountRequest};
use caisson_containerd::task::{Exit, Stdio, Target};

/// A container.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) bundle: String,
    pub(super) rootfs: Vec<MountRequest>,
    pub(super) stdio: Stdio,
    pub(super) pid: u64,
    pub(super) exit: Option<Exit>,
    pub(super) held: Vec<OwnedFd>,
    pub(super) execs: Vec<AddedProcess>,
}

/// A program that was added to a container.
#[derive(Debug)]
pub(super) struct AddedProcess {
    pub(super) id: String,
    pub(super) process: Process,
    pub(super) stdio: Stdio,
    /// The supervisor's name of it, once it runs.
    pub(super) exec: Option<u64>,
    pub(super) pid: u64,
    pub(super) exit: Option<Exit>,
    pub(super) held: Vec<OwnedFd>,
    /// With a terminal.
    pub(super) terminal: Option<Streams>,
}

/// Somebody who waits for an end.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) caller: Caller,
    pub(super) target: Target,
}

impl From<&ExitRecord> for Exit {
    fn from(record: &ExitRecord) -> Self {
        Self { status: record.code.into(), at: record.finished_at }
    }
}

impl From<&ExecExit> for Exit {
    fn from(exit: &ExecExit) -> Self {
        Self { status: exit.code.into(), at: exit.finished_at }
    }
}

pub(super) fn not_found(what: &str) -> Fault {
    Fault::new(FaultKind::NotFound, format!("{what}: not found"))
}

impl Front {
    pub(super) fn task(&mut self, id: &str) -> Result<&mut Task, Fault> {
        let found = self.tasks.iter_mut().find(|task| task.id == id);
        found.ok_or_else(|| not_found(&format!("task {id}")))
    }

    pub(super) fn added(&mut self, target: &Target) -> Result<&mut AddedProcess, Fault> {
        self.task(&target.id)?.added(&target.exec)
    }
}

impl Task {
    pub(super) fn added(&mut self, id: &str) -> Result<&mut AddedProcess, Fault> {
        let absent = format!("process {id} of task {}", self.id);
        let found = self.execs.iter_mut().find(|exec| exec.id == id);
        found.ok_or_else(|| not_found(&absent))
    }

    pub(super) fn by_number(&mut self, exec: u64) -> Option<&mut AddedProcess> {
        self.execs.iter_mut().find(|one| one.exec == Some(exec))
    }
}
