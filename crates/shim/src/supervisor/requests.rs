//! What clients ask for.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, kill_process};

use super::client::{ClientId, Mode};
use super::execs::Found;
use super::job::{ChildStreams, Job};
use super::state::{Phase, Purpose, Supervisor};
use super::streams::null;
use crate::wire::{Kind, decode};
use crate::{
    AttachSpec, ContainerRequest, ExecIo, ExecSpec, Fault, FaultKind, PodState, Request, Response,
    Status, StdinMode,
};

/// So many programs may run beside the container's own.
const MOST_EXECS: u32 = 1024;

impl Supervisor {
    /// Handles what this client has sent.
    pub(super) fn serve(&mut self, id: ClientId) {
        loop {
            let Some(client) = self.client(id) else { return };
            let attached = match client.mode {
                Mode::Idle => false,
                Mode::Attached(_) => true,
                // The next request waits until this one is answered.
                _ => return,
            };
            match client.incoming.take_frame() {
                Ok(None) => return,
                Ok(Some(frame)) if attached => self.take_input(id, &frame),
                Ok(Some(frame)) => {
                    let fds = client.incoming.take_fds();
                    client.mode = Mode::Asked;
                    let answer = match decode::<Request>(&frame) {
                        Ok(request) => self.handle(id, request, fds),
                        Err(error) => Err(invalid(error.to_string())),
                    };
                    match answer {
                        Ok(None) => {}
                        Ok(Some(response)) => self.reply(id, Ok(response)),
                        Err(fault) => self.reply(id, Err(fault)),
                    }
                }
                Err(_) => {
                    client.gone = true;
                    return;
                }
            }
        }
    }

    /// The answer, unless it comes later.
    fn handle(
        &mut self,
        client: ClientId,
        request: Request,
        fds: Vec<OwnedFd>,
    ) -> Result<Option<Response>, Fault> {
        match request {
            Request::Pod => {
                let state = self.state();
                let (id, shim_pid) = (self.pod.config.id.clone(), state.shim_pid);
                Ok(Some(Response::Pod(Box::new(PodState {
                    id,
                    shim_pid,
                    containers: vec![state],
                }))))
            }
            Request::Container { id, request } if id == self.pod.id.as_str() => {
                self.handle_container(client, request, fds)
            }
            Request::Container { id, .. } => {
                let why = format!("pod {} has no container {id}", self.pod.config.id);
                Err(Fault::new(FaultKind::NotFound, why))
            }
            Request::Create(_) | Request::Subscribe | Request::Namespace(_) => {
                Err(invalid("this supervisor holds one container".to_owned()))
            }
            Request::Shutdown { force } => self.shut_down(client, force),
        }
    }

    fn handle_container(
        &mut self,
        client: ClientId,
        request: ContainerRequest,
        fds: Vec<OwnedFd>,
    ) -> Result<Option<Response>, Fault> {
        match request {
            ContainerRequest::State => Ok(Some(Response::State(Box::new(self.state())))),
            ContainerRequest::Start => match self.phase {
                Phase::Created if !self.ending.stop => {
                    self.start(Some(client));
                    Ok(None)
                }
                _ => Err(self.wrong_status("start")),
            },
            ContainerRequest::Wait => Ok(self.await_exit(client)),
            ContainerRequest::Stop { grace_ms, signal } => {
                let signal = signal.unwrap_or_else(|| self.stop_signal());
                self.stop(signal, grace_ms.map(Duration::from_millis));
                Ok(self.await_exit(client))
            }
            ContainerRequest::Signal { signal, all } => {
                self.require_process("signal")?;
                self.ask(client, Job::Signal { signal, all, thaw: false })
            }
            ContainerRequest::Exec(spec) => self.exec(client, *spec, fds),
            ContainerRequest::WaitExec { exec } => match self.find_exec(exec)? {
                Found::Ended(exit) => Ok(Some(Response::ExecExit(exit))),
                Found::Running(_) => {
                    self.set_mode(client, Mode::AwaitsExec(exec));
                    Ok(None)
                }
            },
            ContainerRequest::SignalExec { exec, signal } => self.signal_exec(exec, signal),
            ContainerRequest::Attach(spec) => self.attach(client, spec),
            ContainerRequest::Resize { rows, columns } => {
                self.run.streams.resize(rows, columns)?;
                Ok(Some(Response::Done))
            }
            ContainerRequest::Pause => self.freeze(client, true),
            ContainerRequest::Resume => self.freeze(client, false),
            ContainerRequest::Update(limits) => {
                self.require_process("update")?;
                caisson_runtime_spec::validate_resources(&limits, "update")
                    .map_err(|error| invalid(error.to_string()))?;
                self.ask(client, Job::Update(limits))
            }
            ContainerRequest::SetRestart(policy) => {
                self.policy = policy;
                Ok(Some(Response::Done))
            }
            ContainerRequest::Stats => {
                self.require_process("read the counters of")?;
                self.ask(client, Job::Stats)
            }
            ContainerRequest::Pids => {
                self.require_process("list the processes of")?;
                self.ask(client, Job::Pids)
            }
            ContainerRequest::ReopenLog => {
                self.log.reopen()?;
                Ok(Some(Response::Done))
            }
            ContainerRequest::CloseStdin => {
                self.run.streams.end_input();
                Ok(Some(Response::Done))
            }
            ContainerRequest::Remove { .. } => {
                Err(invalid("this supervisor goes with its container".to_owned()))
            }
        }
    }

    fn ask(&mut self, client: ClientId, job: Job) -> Result<Option<Response>, Fault> {
        self.assign(Purpose::Answer(client), job).map(|()| None)
    }

    fn freeze(&mut self, client: ClientId, frozen: bool) -> Result<Option<Response>, Fault> {
        if self.phase != Phase::Running {
            return Err(self.wrong_status(if frozen { "pause" } else { "resume" }));
        }
        self.assign(Purpose::Freeze(client, frozen), Job::Freeze(frozen)).map(|()| None)
    }

    fn set_mode(&mut self, client: ClientId, mode: Mode) {
        if let Some(client) = self.client(client) {
            client.mode = mode;
        }
    }

    fn await_exit(&mut self, client: ClientId) -> Option<Response> {
        match (self.phase, &self.last_exit) {
            (Phase::Stopped, Some(record)) => Some(Response::Exit(record.clone())),
            _ => {
                self.set_mode(client, Mode::AwaitsExit);
                None
            }
        }
    }

    fn exec(
        &mut self,
        client: ClientId,
        spec: ExecSpec,
        fds: Vec<OwnedFd>,
    ) -> Result<Option<Response>, Fault> {
        if self.phase != Phase::Running || self.run.ended.is_some() {
            return Err(self.wrong_status("exec in"));
        }
        if self.execs.running() >= MOST_EXECS {
            let why = format!("{MOST_EXECS} programs already run in container {}", self.pod.id);
            return Err(Fault::new(FaultKind::Busy, why));
        }
        let mut process = spec.process;
        process.terminal = spec.io == ExecIo::Terminal;
        caisson_runtime_spec::validate_process(&process, "exec")
            .map_err(|error| invalid(error.to_string()))?;
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
        let process = Box::new(process);
        self.assign(Purpose::Exec(client), Job::Exec { process, streams }).map(|()| None)
    }

    fn find_exec(&self, exec: u64) -> Result<Found, Fault> {
        self.execs.find(exec).ok_or_else(|| {
            let why = format!("container {} has no exec {exec}", self.pod.id);
            Fault::new(FaultKind::NotFound, why)
        })
    }

    fn signal_exec(&self, exec: u64, signal: i32) -> Result<Option<Response>, Fault> {
        let Found::Running(pid) = self.find_exec(exec)? else {
            let why = format!("exec {exec} of container {} has ended", self.pod.id);
            return Err(Fault::new(FaultKind::NotFound, why));
        };
        let signal = caisson_sys::signals::numbered(signal)
            .ok_or_else(|| invalid(format!("there is no signal {signal}")))?;
        // Not reaped yet, so the number is still its own.
        let sent = Pid::from_raw(pid).map(|pid| kill_process(pid, signal));
        match sent {
            Some(Ok(())) => Ok(Some(Response::Done)),
            _ => Err(Fault::new(FaultKind::Failed, format!("signal process {pid} failed"))),
        }
    }

    fn attach(&mut self, client: ClientId, spec: AttachSpec) -> Result<Option<Response>, Fault> {
        if self.phase == Phase::Stopped {
            return Err(self.wrong_status("attach to"));
        }
        if self.pod.given_streams.is_some() {
            return Err(invalid(format!(
                "container {} has the streams of whoever launched it; nobody can attach",
                self.pod.id
            )));
        }
        if spec.stdin && self.pod.container.stdin == StdinMode::Once && !self.input_done {
            self.input_client.get_or_insert(client);
        }
        self.reply(client, Ok(Response::Attached { terminal: self.pod.has_terminal() }));
        self.set_mode(client, Mode::Attached(spec));
        Ok(None)
    }

    /// A frame of an attached client.
    fn take_input(&mut self, id: ClientId, frame: &[u8]) {
        let Some(client) = self.client(id) else { return };
        let allowed = client.attached().is_some_and(|spec| spec.stdin);
        match (frame.split_first(), allowed) {
            (Some((&kind, data)), true) if Kind::of(kind) == Some(Kind::Stdin) => {
                self.run.streams.feed(data);
            }
            (Some((&kind, _)), true) if Kind::of(kind) == Some(Kind::StdinEnd) => {
                self.input_ended(id);
            }
            _ => client.gone = true,
        }
    }

    /// This client sends no more input, or is gone.
    pub(super) fn input_ended(&mut self, id: ClientId) {
        if self.input_client == Some(id) {
            self.input_client = None;
            self.input_done = true;
            self.run.streams.end_input();
        }
    }

    fn shut_down(&mut self, client: ClientId, force: bool) -> Result<Option<Response>, Fault> {
        if self.phase == Phase::Stopped {
            self.set_mode(client, Mode::AwaitsLeave);
            self.leave();
            return Ok(None);
        }
        if !force && self.phase != Phase::Created {
            return Err(self.wrong_status("remove"));
        }
        self.set_mode(client, Mode::AwaitsLeave);
        self.ending.leave = true;
        self.kill();
        Ok(None)
    }

    fn require_process(&self, operation: &'static str) -> Result<(), Fault> {
        let there = matches!(self.phase, Phase::Created | Phase::Starting | Phase::Running);
        match there && self.run.ended.is_none() {
            true => Ok(()),
            false => Err(self.wrong_status(operation)),
        }
    }

    fn wrong_status(&self, operation: &str) -> Fault {
        let is = match self.state().status {
            Status::Creating => "being made",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Restarting => "restarting",
            Status::Stopped => "stopped",
        };
        let id = &self.pod.id;
        Fault::new(FaultKind::WrongStatus, format!("cannot {operation} container {id}: it is {is}"))
    }
}

fn invalid(message: String) -> Fault {
    Fault::new(FaultKind::Invalid, message)
}
