//! Programs beside a container's own.

use std::os::fd::OwnedFd;

use caisson_runtime_spec::Process as Program;
use rustix::process::{Pid, kill_process};

use super::client::{ClientId, Mode};
use super::execs::{Found, Process};
use super::job::{ChildStreams, Job};
use super::requests::invalid;
use super::state::{Purpose, Supervisor};
use super::streams::null;
use super::unit::{Phase, UnitKey};
use crate::{ExecIo, ExecSpec, Fault, FaultKind, Response};

/// So many programs may run beside a container's own.
const MOST_EXECS: u32 = 1024;

impl Supervisor {
    pub(super) fn exec(
        &mut self,
        client: ClientId,
        key: UnitKey,
        spec: ExecSpec,
        fds: Vec<OwnedFd>,
    ) -> Result<Option<Response>, Fault> {
        let mut process = spec.process;
        process.terminal = spec.io == ExecIo::Terminal;
        let count = fds.len();
        let streams = match spec.io {
            ExecIo::Null => ChildStreams::Three([null()?, null()?, null()?]),
            ExecIo::Streams => ChildStreams::Three(
                <[OwnedFd; 3]>::try_from(fds)
                    .map_err(|_| invalid(format!("exec takes 3 streams, {count} came")))?,
            ),
            ExecIo::Terminal => {
                let [socket] = <[OwnedFd; 1]>::try_from(fds)
                    .map_err(|_| invalid(format!("exec takes 1 socket, {count} came")))?;
                ChildStreams::Console(socket)
            }
        };
        self.run_exec(client, key, process, streams).map(|()| None)
    }

    /// Has a program executed; `client` hears of it.
    pub(super) fn run_exec(
        &mut self,
        client: ClientId,
        key: UnitKey,
        process: Program,
        streams: ChildStreams,
    ) -> Result<(), Fault> {
        let unit = self.require(key)?;
        if unit.phase != Phase::Running || unit.run.ended.is_some() {
            return Err(unit.wrong_status("exec in"));
        }
        if unit.execs.running() >= MOST_EXECS {
            let why = format!("{MOST_EXECS} programs already run in container {}", unit.id);
            return Err(Fault::new(FaultKind::Busy, why));
        }
        caisson_runtime_spec::validate_process(&process, "exec")
            .map_err(|error| invalid(error.to_string()))?;
        let process = Box::new(process);
        self.assign(key, Purpose::Exec(client), Job::Exec { process, streams })
    }

    pub(super) fn await_exec(
        &mut self,
        client: ClientId,
        key: UnitKey,
        exec: u64,
    ) -> Result<Option<Response>, Fault> {
        match self.find_exec(key, exec)? {
            Found::Ended(exit) => Ok(Some(Response::ExecExit(exit))),
            Found::Running(_) => {
                self.set_mode(client, Mode::AwaitsExec(key, exec));
                Ok(None)
            }
        }
    }

    fn find_exec(&mut self, key: UnitKey, exec: u64) -> Result<Found, Fault> {
        let unit = self.require(key)?;
        unit.execs.find(exec).ok_or_else(|| {
            let why = format!("container {} has no exec {exec}", unit.id);
            Fault::new(FaultKind::NotFound, why)
        })
    }

    /// The answer, unless it comes later.
    pub(super) fn signal_exec(
        &mut self,
        client: ClientId,
        key: UnitKey,
        exec: u64,
        signal: i32,
    ) -> Result<Option<Response>, Fault> {
        let Found::Running(Process { pid, child }) = self.find_exec(key, exec)? else {
            let why = format!("exec {exec} of container {} has ended", self.require(key)?.id);
            return Err(Fault::new(FaultKind::NotFound, why));
        };
        let known = caisson_sys::signals::numbered(signal)
            .ok_or_else(|| invalid(format!("there is no signal {signal}")))?;
        if pid != child {
            let job = Job::SignalExec { child, signal };
            return self.assign(key, Purpose::Answer(client), job).map(|()| None);
        }
        // Not reaped yet, so the number is still its own.
        let sent = Pid::from_raw(pid).map(|pid| kill_process(pid, known));
        match sent {
            Some(Ok(())) => Ok(Some(Response::Done)),
            _ => Err(Fault::new(FaultKind::Failed, format!("signal process {pid} failed"))),
        }
    }
}
