//! containerd's requests.

use std::os::fd::OwnedFd;

use super::answers::Pending;
use super::tasks::{AddedProcess, Task, Waiting, not_found};
use super::{Caller, stdio};
use crate::containerd::events::TaskEvent;
use crate::supervisor::client::{Client, ClientId};
use crate::supervisor::job::ChildStreams;
use crate::supervisor::requests::invalid;
use crate::supervisor::state::Supervisor;
use crate::supervisor::step::StepError;
use crate::supervisor::streams::Streams;
use crate::supervisor::unit::{Creator, UnitKey};
use crate::{
    ContainerConfig, ContainerRequest, Fault, FaultKind, LogConfig, RestartPolicy, RootfsMount,
    Status, StdinMode,
};
use caisson_containerd::protobuf::{Malformed, Message};
use caisson_containerd::task::{self, Create, Exec, Exit, ProcessState, SERVICE, Target};
use caisson_containerd::ttrpc::{Call, Refusal, response};

impl From<Malformed> for Fault {
    fn from(error: Malformed) -> Self {
        Self::new(FaultKind::Invalid, error.to_string())
    }
}

/// What comes of a call at once: an answer, or none yet.
type Outcome = Result<Option<Vec<u8>>, Fault>;

impl Supervisor {
    pub(super) fn take_call(&mut self, caller: Caller, data: &[u8]) {
        let outcome = Call::parse(data).map_err(Fault::from).and_then(|call| {
            if call.service != SERVICE {
                let why = format!("service {}: this shim has {SERVICE}", call.service);
                return Err(Fault::new(FaultKind::Unsupported, why));
            }
            self.do_call(caller, &call.method, &call.payload)
        });
        let payload = match &outcome {
            Ok(None) => return,
            Ok(Some(payload)) => Ok(payload.as_slice()),
            Err(fault) => Err(Refusal::from(fault)),
        };
        if let Some(front) = &mut self.front {
            front.respond(caller, &response(caller.stream, payload));
        }
    }

    fn do_call(&mut self, caller: Caller, method: &str, payload: &[u8]) -> Outcome {
        type R = ContainerRequest;
        let message = Message::parse(payload)?;
        let target = Target::parse(&message)?;
        let whole = Target { id: target.id.clone(), exec: String::new() };
        match method {
            "Create" => self.create_task(caller, Create::parse(&message)?),
            "Exec" => self.add_process(Exec::parse(&message)?),
            "Start" if target.exec.is_empty() => {
                self.ask_unit(caller, &target, R::Start, Pending::Start(target.clone()))
            }
            "Start" => self.start_added(caller, target),
            "Delete" if target.exec.is_empty() => {
                let pending = Pending::Delete(target.clone());
                self.ask_unit(caller, &target, R::Remove { force: false }, pending)
            }
            "Delete" => self.delete_added(&target),
            "State" => self.task_state(&target),
            "Wait" => self.await_process(caller, target),
            "Kill" => self.kill_process(caller, &target, message.number(3), message.flag(4)),
            "ResizePty" => self.resize_terminal(&target, message.number(4), message.number(3)),
            "CloseIO" => self.close_input(&target, message.flag(3)),
            "Pids" => self.ask_unit(caller, &whole, R::Pids, Pending::Pids),
            "Pause" => self.ask_unit(caller, &whole, R::Pause, Pending::Nothing),
            "Resume" => self.ask_unit(caller, &whole, R::Resume, Pending::Nothing),
            "Stats" => self.ask_unit(caller, &whole, R::Stats, Pending::Stats),
            "Update" => {
                let limits = Message::parse(message.bytes(2))?;
                let limits = serde_json::from_slice(limits.bytes(2))
                    .map_err(|error| invalid(format!("update: {error}")))?;
                self.ask_unit(caller, &whole, R::Update(Box::new(limits)), Pending::Nothing)
            }
            "Connect" => {
                let pid = self.tasks()?.task(&target.id)?.pid;
                let own = rustix::process::getpid().as_raw_nonzero().get();
                let own = u64::try_from(own).unwrap_or_default();
                Ok(Some(task::connected(own, pid, env!("CARGO_PKG_VERSION"))))
            }
            "Shutdown" => {
                // Others of the pod may still need us.
                if self.tasks()?.tasks.is_empty() || message.flag(2) {
                    self.ending.leave = true;
                    // Who comes now is to start another one.
                    self.pod.dir.remove_task_socket();
                    self.kill_all();
                    self.leave_if_done();
                }
                Ok(Some(Vec::new()))
            }
            "Checkpoint" => Err(unsupported("checkpoint")),
            other => Err(unsupported(other)),
        }
    }

    fn tasks(&mut self) -> Result<&mut super::Front, Fault> {
        self.front.as_mut().ok_or_else(|| not_found("containerd's side"))
    }

    fn key_of(&self, id: &str) -> Result<UnitKey, Fault> {
        let unit = self.unit_called(id).map(|unit| unit.key);
        unit.ok_or_else(|| not_found(&format!("task {id}")))
    }

    /// A client whose answer goes to `caller`.
    fn call_as_client(&mut self, caller: Caller, pending: Pending) -> ClientId {
        self.next_client += 1;
        let id = ClientId(self.next_client);
        self.clients.push(Client::call(id));
        if let Some(front) = &mut self.front {
            front.pending.push((id, caller, pending));
        }
        id
    }

    /// Asks what another client might ask, too.
    fn ask_unit(
        &mut self,
        caller: Caller,
        target: &Target,
        request: ContainerRequest,
        pending: Pending,
    ) -> Outcome {
        let key = self.key_of(&target.id)?;
        let client = self.call_as_client(caller, pending);
        match self.handle_container(client, key, request, Vec::new()) {
            Ok(None) => {}
            Ok(Some(response)) => self.reply(client, Ok(response)),
            Err(fault) => self.reply(client, Err(fault)),
        }
        Ok(None)
    }

    fn create_task(&mut self, caller: Caller, create: Create) -> Outcome {
        if !create.checkpoint.is_empty() {
            return Err(unsupported("restore from a checkpoint"));
        }
        if self.tasks()?.task(&create.id).is_ok() {
            return Err(invalid(format!("task {} exists already", create.id)));
        }
        let target = Target { id: create.id.clone(), exec: String::new() };
        let rootfs = match create.rootfs.is_empty() {
            true => RootfsMount::None,
            false => RootfsMount::Mounts(create.rootfs.clone()),
        };
        let config = ContainerConfig {
            id: create.id.clone(),
            bundle: Some(create.bundle.clone().into()),
            rootfs,
            log: LogConfig::default(),
            stdin: StdinMode::Closed,
            restart: RestartPolicy::No,
            stop_signal: None,
            stop_grace_ms: None,
            init: false,
            share_pids_with: None,
        };
        let mut task = Task {
            id: create.id,
            bundle: create.bundle,
            rootfs: create.rootfs,
            stdio: create.stdio,
            pid: 0,
            exit: None,
            held: Vec::new(),
            execs: Vec::new(),
        };
        let mut streams: Option<[OwnedFd; 3]> = None;
        let mut relay = None;
        if !task.stdio.terminal {
            let opened = stdio::open(&task.stdio, &target)?;
            (streams, task.held, relay) = (Some(opened.streams), opened.held, opened.relay);
        }
        let front = self.tasks()?;
        front.tasks.push(task);
        front.relays.extend(relay);
        let client = self.call_as_client(caller, Pending::Create(target));
        if let Err(fault) = self.create(config, Creator::Client(client), streams) {
            self.reply(client, Err(fault));
        }
        Ok(None)
    }

    fn add_process(&mut self, exec: Exec) -> Outcome {
        let process = serde_json::from_slice(&exec.process)
            .map_err(|error| invalid(format!("exec {}: {error}", exec.target.exec)))?;
        let front = self.tasks()?;
        let task = front.task(&exec.target.id)?;
        if task.added(&exec.target.exec).is_ok() {
            return Err(invalid(format!("process {} exists already", exec.target.exec)));
        }
        task.execs.push(AddedProcess {
            id: exec.target.exec.clone(),
            process,
            stdio: exec.stdio,
            exec: None,
            pid: 0,
            exit: None,
            held: Vec::new(),
            terminal: None,
        });
        front.publish(&exec.target.id, &TaskEvent::ExecAdded { exec: &exec.target.exec });
        Ok(Some(Vec::new()))
    }

    fn start_added(&mut self, caller: Caller, target: Target) -> Outcome {
        let key = self.key_of(&target.id)?;
        let front = self.tasks()?;
        let added = front.added(&target)?;
        if added.exec.is_some() || added.exit.is_some() {
            let why = format!("process {} was started already", target.exec);
            return Err(Fault::new(FaultKind::WrongStatus, why));
        }
        let mut process = added.process.clone();
        process.terminal = added.stdio.terminal;
        let streams = if added.stdio.terminal {
            let (ours, theirs) = Streams::terminal()?;
            added.terminal = Some(ours);
            theirs
        } else {
            let opened = stdio::open(&added.stdio, &target)?;
            added.held = opened.held;
            front.relays.extend(opened.relay);
            ChildStreams::Three(opened.streams)
        };
        let client = self.call_as_client(caller, Pending::StartAdded(target));
        if let Err(fault) = self.run_exec(client, key, process, streams) {
            self.reply(client, Err(fault));
        }
        Ok(None)
    }

    fn delete_added(&mut self, target: &Target) -> Outcome {
        let front = self.tasks()?;
        let added = front.added(target)?;
        if added.exec.is_some() && added.exit.is_none() {
            let why = format!("cannot delete process {}: it runs", target.exec);
            return Err(Fault::new(FaultKind::WrongStatus, why));
        }
        let (pid, exit) = (added.pid, added.exit.unwrap_or_default());
        front.task(&target.id)?.execs.retain(|added| added.id != target.exec);
        front.release(target, Err(&not_found(&format!("process {}", target.exec))));
        Ok(Some(task::deleted(pid, exit)))
    }

    fn task_state(&mut self, target: &Target) -> Outcome {
        let unit = self.unit_called(&target.id).map(|unit| self.state_of(unit).status);
        let status = unit.map_or(task::status::STOPPED, status_number);
        let task = self.tasks()?.task(&target.id)?;
        let bundle = task.bundle.clone();
        if target.exec.is_empty() {
            let exit = task.exit.unwrap_or_default();
            let status = if task.exit.is_some() { 3 } else { status };
            let state = ProcessState { bundle, pid: task.pid, status, exit };
            return Ok(Some(task::state(target, &task.stdio, &state)));
        }
        let added = task.added(&target.exec)?;
        let status = match (added.exec, added.exit) {
            (_, Some(_)) => 3,
            (Some(_), None) => 2,
            (None, None) => 1,
        };
        let exit = added.exit.unwrap_or_default();
        let state = ProcessState { bundle, pid: added.pid, status, exit };
        Ok(Some(task::state(target, &added.stdio, &state)))
    }

    fn await_process(&mut self, caller: Caller, target: Target) -> Outcome {
        let front = self.tasks()?;
        let exit: Option<Exit> = match target.exec.is_empty() {
            true => front.task(&target.id)?.exit,
            false => front.added(&target)?.exit,
        };
        if let Some(exit) = exit {
            return Ok(Some(task::waited(exit)));
        }
        front.waiting.push(Waiting { caller, target });
        Ok(None)
    }

    fn kill_process(&mut self, caller: Caller, target: &Target, signal: u64, all: bool) -> Outcome {
        let signal = i32::try_from(signal).map_err(|_| invalid(format!("no signal {signal}")))?;
        let front = self.tasks()?;
        let ended = || not_found("process already finished");
        if target.exec.is_empty() {
            if front.task(&target.id)?.exit.is_some() {
                return Err(ended());
            }
            let request = ContainerRequest::Signal { signal, all };
            return self.ask_unit(caller, target, request, Pending::Kill);
        }
        let added = front.added(target)?;
        match (added.exec, added.exit) {
            (Some(exec), None) => {
                let request = ContainerRequest::SignalExec { exec, signal };
                self.ask_unit(caller, target, request, Pending::Kill)
            }
            _ => Err(ended()),
        }
    }

    fn resize_terminal(&mut self, target: &Target, rows: u64, columns: u64) -> Outcome {
        let size = |number| u16::try_from(number).unwrap_or(u16::MAX);
        let (rows, columns) = (size(rows), size(columns));
        let key = self.key_of(&target.id)?;
        if target.exec.is_empty() {
            self.require(key)?.run.streams.resize(rows, columns)?;
        } else if let Some(terminal) = &self.tasks()?.added(target)?.terminal {
            terminal.resize(rows, columns)?;
        } else {
            return Err(StepError::new("set the terminal's size", "the process has none").into());
        }
        Ok(Some(Vec::new()))
    }

    fn close_input(&mut self, target: &Target, stdin: bool) -> Outcome {
        let front = self.tasks()?;
        front.task(&target.id)?;
        if stdin {
            let input =
                front.relays.iter_mut().find(|relay| relay.is_input && relay.owner == *target);
            if let Some(relay) = input {
                relay.end();
            }
        }
        Ok(Some(Vec::new()))
    }
}

/// containerd's number for it.
const fn status_number(status: Status) -> u64 {
    match status {
        Status::Creating | Status::Created => task::status::CREATED,
        Status::Running | Status::Restarting => task::status::RUNNING,
        Status::Stopped => task::status::STOPPED,
        Status::Paused => task::status::PAUSED,
    }
}

fn unsupported(what: &str) -> Fault {
    Fault::new(FaultKind::Unsupported, format!("{what} is not supported by this shim"))
}
