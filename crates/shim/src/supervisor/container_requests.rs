//! What clients ask of a container.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::client::{ClientId, Mode};
use super::job::Job;
use super::requests::invalid;
use super::state::{Purpose, Supervisor};
use super::unit::{Phase, Unit, UnitKey};
use crate::wire::Kind;
use crate::{AttachSpec, ContainerRequest, Fault, FaultKind, Response, StdinMode};

impl Supervisor {
    /// The answer, unless it comes later.
    pub(super) fn handle_container(
        &mut self,
        client: ClientId,
        key: UnitKey,
        request: ContainerRequest,
        fds: Vec<OwnedFd>,
    ) -> Result<Option<Response>, Fault> {
        type R = ContainerRequest;
        let unit = self.require(key)?;
        match request {
            R::State => {
                let unit = self.units.iter().find(|unit| unit.key == key);
                Ok(unit.map(|unit| Response::State(Box::new(self.state_of(unit)))))
            }
            R::Start => match unit.phase {
                Phase::Created if !unit.stop => {
                    self.start(key, Some(client));
                    Ok(None)
                }
                _ => Err(unit.wrong_status("start")),
            },
            R::Wait => Ok(self.await_exit(client, key)),
            R::Stop { grace_ms, signal } => {
                let signal = signal.unwrap_or_else(|| unit.stop_signal());
                self.stop(key, signal, grace_ms.map(Duration::from_millis));
                Ok(self.await_exit(client, key))
            }
            R::Signal { signal, all } => {
                self.require_process(key, "signal")?;
                self.ask(client, key, Job::Signal { signal, all, thaw: false })
            }
            R::Exec(spec) => self.exec(client, key, *spec, fds),
            R::WaitExec { exec } => self.await_exec(client, key, exec),
            R::SignalExec { exec, signal } => self.signal_exec(client, key, exec, signal),
            R::Attach(spec) => self.attach(client, key, spec),
            R::Resize { rows, columns } => {
                unit.run.streams.resize(rows, columns)?;
                Ok(Some(Response::Done))
            }
            R::CloseStdin => {
                unit.run.streams.end_input();
                Ok(Some(Response::Done))
            }
            R::Pause => self.freeze(client, key, true),
            R::Resume => self.freeze(client, key, false),
            R::Update(limits) => {
                self.require_process(key, "update")?;
                caisson_runtime_spec::validate_resources(&limits, "update")
                    .map_err(|error| invalid(error.to_string()))?;
                self.ask(client, key, Job::Update(limits))
            }
            R::SetRestart(policy) => {
                unit.policy = policy;
                Ok(Some(Response::Done))
            }
            R::Stats => {
                self.require_process(key, "read the counters of")?;
                self.ask(client, key, Job::Stats)
            }
            R::Pids => {
                self.require_process(key, "list the processes of")?;
                self.ask(client, key, Job::Pids)
            }
            R::ReopenLog => {
                unit.log.reopen()?;
                Ok(Some(Response::Done))
            }
            R::Connect { port } => {
                self.require_process(key, "connect to")?;
                let stream = fds.into_iter().next();
                let stream = stream.ok_or_else(|| invalid("no stream came along".to_owned()))?;
                self.ask(client, key, Job::Connect { port, stream })
            }
            R::Remove { force } => self.remove_for(client, key, force),
        }
    }

    pub(super) fn require(&mut self, key: UnitKey) -> Result<&mut Unit, Fault> {
        let gone = || Fault::new(FaultKind::NotFound, "the container is gone");
        self.unit(key).ok_or_else(gone)
    }

    fn require_process(&mut self, key: UnitKey, operation: &'static str) -> Result<(), Fault> {
        let unit = self.require(key)?;
        if unit.has_process() { Ok(()) } else { Err(unit.wrong_status(operation)) }
    }

    fn ask(&mut self, client: ClientId, key: UnitKey, job: Job) -> Result<Option<Response>, Fault> {
        self.assign(key, Purpose::Answer(client), job).map(|()| None)
    }

    fn freeze(
        &mut self,
        client: ClientId,
        key: UnitKey,
        frozen: bool,
    ) -> Result<Option<Response>, Fault> {
        let unit = self.require(key)?;
        if unit.phase != Phase::Running {
            return Err(unit.wrong_status(if frozen { "pause" } else { "resume" }));
        }
        self.assign(key, Purpose::Freeze(client, frozen), Job::Freeze(frozen)).map(|()| None)
    }

    fn await_exit(&mut self, client: ClientId, key: UnitKey) -> Option<Response> {
        let unit = self.unit(key)?;
        match (unit.phase, &unit.last_exit) {
            (Phase::Stopped, Some(record)) => Some(Response::Exit(record.clone())),
            _ => {
                self.set_mode(client, Mode::AwaitsExit(key));
                None
            }
        }
    }

    fn remove_for(
        &mut self,
        client: ClientId,
        key: UnitKey,
        force: bool,
    ) -> Result<Option<Response>, Fault> {
        let unit = self.require(key)?;
        if !force && !matches!(unit.phase, Phase::Stopped | Phase::Created) {
            return Err(unit.wrong_status("remove"));
        }
        unit.forget = true;
        let stopped = unit.phase == Phase::Stopped;
        self.set_mode(client, Mode::AwaitsRemoval(key));
        if stopped {
            self.forget(key);
            self.leave_if_done();
        } else {
            self.kill(key);
        }
        Ok(None)
    }

    fn attach(
        &mut self,
        client: ClientId,
        key: UnitKey,
        spec: AttachSpec,
    ) -> Result<Option<Response>, Fault> {
        let unit = self.require(key)?;
        if unit.phase == Phase::Stopped {
            return Err(unit.wrong_status("attach to"));
        }
        if unit.has_own_streams {
            return Err(invalid(format!(
                "container {} has the streams of whoever launched it; nobody can attach",
                unit.id
            )));
        }
        if spec.stdin && unit.config.stdin == StdinMode::Once && !unit.input_done {
            unit.input_client.get_or_insert(client);
        }
        let terminal = unit.terminal;
        self.reply(client, Ok(Response::Attached { terminal }));
        self.set_mode(client, Mode::Attached(key, spec));
        Ok(None)
    }

    /// A frame of an attached client.
    pub(super) fn take_input(&mut self, id: ClientId, key: UnitKey, frame: &[u8]) {
        let Some(client) = self.clients.iter_mut().find(|client| client.id == id) else { return };
        let allowed = client.attached().is_some_and(|(_, spec)| spec.stdin);
        match (frame.split_first(), allowed) {
            (Some((&kind, data)), true) if Kind::of(kind) == Some(Kind::Stdin) => {
                if let Some(unit) = self.unit(key) {
                    unit.run.streams.feed(data);
                }
            }
            (Some((&kind, _)), true) if Kind::of(kind) == Some(Kind::StdinEnd) => {
                self.input_ended(id);
            }
            _ => client.gone = true,
        }
    }

    /// This client sends no more input, or is gone.
    pub(super) fn input_ended(&mut self, id: ClientId) {
        if let Some(unit) = self.units.iter_mut().find(|unit| unit.input_client == Some(id)) {
            unit.input_client = None;
            unit.input_done = true;
            unit.run.streams.end_input();
        }
    }
}
