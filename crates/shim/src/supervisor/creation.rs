//! The containers' way from being asked for to running.

use std::os::fd::OwnedFd;
use std::time::Instant;

use caisson_isolator::ContainerId;
use serde::Deserialize;

use super::client::ClientId;
use super::job::{ChildStreams, CreateJob, Job};
use super::log::Log;
use super::state::{Purpose, Supervisor};
use super::step::{StepError, warn};
use super::streams::Streams;
use super::unit::{Creator, Phase, Run, Unit, UnitKey};
use crate::wire::{encode, send};
use crate::{
    ContainerConfig, Fault, FaultKind, Happening, LaunchReply, Response, RestartPolicy, StdinMode,
    now_nanos,
};

/// So many containers may be in one pod.
const MOST_CONTAINERS: usize = 256;

/// What the supervisor itself has to know of a configuration; all else is for
/// its workers, so that it stays small.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Glance {
    process: Option<GlanceProcess>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GlanceProcess {
    terminal: bool,
}

impl Supervisor {
    /// Has a container made.
    /// With `streams`, those become its own.
    pub(super) fn create(
        &mut self,
        config: ContainerConfig,
        creator: Creator,
        streams: Option<[OwnedFd; 3]>,
    ) -> Result<(), Fault> {
        let invalid = |why: String| Fault::new(FaultKind::Invalid, why);
        let id: ContainerId =
            config.id.parse().map_err(|error| invalid(format!("container id: {error}")))?;
        if self.unit_called(id.as_str()).is_some() {
            let pod = &self.pod.config.id;
            return Err(invalid(format!("pod {pod} has a container {id} already")));
        }
        if self.units.len() >= MOST_CONTAINERS {
            let why = format!("a pod takes {MOST_CONTAINERS} containers; remove one first");
            return Err(Fault::new(FaultKind::Busy, why));
        }
        if self.ending.leave {
            let why = format!("cannot make container {id}: the pod is being removed");
            return Err(Fault::new(FaultKind::WrongStatus, why));
        }
        if let Some(lender) = &config.share_pids_with
            && !self.unit_called(lender).is_some_and(Unit::has_process)
        {
            let why = format!("share_pids_with: container {lender} of this pod does not run");
            return Err(invalid(why));
        }
        let log = Log::open(&config.log)?;
        self.pod.dir.remember(&config)?;
        self.next_unit += 1;
        let key = UnitKey(self.next_unit);
        let mut unit = Unit::new(key, id, config, creator, log);
        unit.has_own_streams = streams.is_some();
        unit.given_streams = streams;
        self.units.push(unit);
        self.begin_run(key);
        Ok(())
    }

    /// Makes the next container that the launcher has asked for, or tells it
    /// that all are made.
    pub(super) fn go_on_launching(&mut self) {
        let Some(launcher) = &mut self.launcher else { return };
        if let Some(next) = launcher.pending.pop_front() {
            let streams = launcher.streams.take();
            if let Err(fault) = self.create(next, Creator::Launcher, streams) {
                self.fail_launch(fault);
            }
            return;
        }
        let shim_pid = rustix::process::getpid().as_raw_nonzero().get();
        let pids = self.units.iter().map(|unit| unit.run.pid.unwrap_or_default()).collect();
        self.tell_launcher(&LaunchReply::Ready { shim_pid, pids });
    }

    /// Has the container made, for the first time or again.
    pub(super) fn begin_run(&mut self, key: UnitKey) {
        let Some(unit) = self.unit(key) else { return };
        unit.phase = Phase::Creating;
        unit.run = Run::default();
        if let Err(fault) = self.try_begin_run(key) {
            self.not_created(key, fault);
        }
    }

    fn try_begin_run(&mut self, key: UnitKey) -> Result<(), Fault> {
        let Some(unit) = self.units.iter_mut().find(|unit| unit.key == key) else { return Ok(()) };
        let bundle = self.pod.dir.bundle(&unit.config);
        let glance = std::fs::read(bundle.join("config.json")).unwrap_or_default();
        // What is wrong with it the worker tells.
        let glance: Glance = serde_json::from_slice(&glance).unwrap_or_default();
        unit.terminal = glance.process.is_some_and(|process| process.terminal);
        let input = match unit.config.stdin {
            StdinMode::Closed => false,
            StdinMode::Open => true,
            StdinMode::Once => !unit.input_done,
        };
        let (streams, theirs) = match &unit.given_streams {
            _ if unit.terminal => Streams::terminal()?,
            // Who comes later must not find us between it and its streams.
            Some(_) if unit.policy == RestartPolicy::No => match unit.given_streams.take() {
                Some(given) => (Streams::default(), ChildStreams::Three(given)),
                None => Streams::pipes(false)?,
            },
            Some(given) => Streams::given(given)?,
            None => Streams::pipes(input)?,
        };
        unit.run.streams = streams;
        let rootfs = (unit.restarts == 0).then(|| unit.config.rootfs.clone());
        let (host, sources) = (self.pod.host.try_clone()?, self.pod.dir.sources(&unit.config));
        let init = unit.config.init.then(|| self.pod.program.clone());
        let lender = unit.config.share_pids_with.clone();
        let pid_namespace = lender.map(|lender| self.pid_namespace_of(&lender)).transpose()?;
        let job = CreateJob { bundle, rootfs, init, pid_namespace, streams: theirs, host, sources };
        self.assign(key, Purpose::Create, Job::Create(Box::new(job)))
    }

    /// The first process is not reaped before we know of its end, so the number
    /// is its own.
    fn pid_namespace_of(&self, lender: &str) -> Result<String, Fault> {
        let pid = self.unit_called(lender).filter(|unit| unit.has_process());
        let pid = pid.and_then(|unit| unit.run.pid).ok_or_else(|| {
            let why = format!("share the PID namespace of container {lender}: it does not run");
            Fault::new(FaultKind::WrongStatus, why)
        })?;
        Ok(format!("/proc/{pid}/ns/pid"))
    }

    pub(super) fn created(&mut self, key: UnitKey, pid: i32, child: i32) {
        let Some(unit) = self.units.iter_mut().find(|unit| unit.key == key) else { return };
        (unit.run.pid, unit.run.child) = (Some(pid), Some(child));
        unit.phase = Phase::Created;
        if let Err(error) = unit.run.streams.receive_master() {
            unit.run.error = Some(error.into());
            self.remove(key);
            return;
        }
        let watch = self.pod.engine.container(&unit.id);
        // Without a memory cgroup there is nothing to see.
        unit.run.oom_watch = watch.and_then(|container| container.resources().watch_oom()).ok();
        let (stop, again, creator) = (unit.stop, unit.restarts > 0, unit.creator);
        self.tell(key, Happening::Created { pid });
        if stop {
            if let Creator::Client(client) = creator {
                let why = "it was told to end while it was made";
                self.reply(client, Err(Fault::new(FaultKind::Failed, why)));
            }
            self.kill(key);
        } else if again {
            self.start(key, None);
        } else {
            match creator {
                Creator::Launcher => self.go_on_launching(),
                Creator::Client(client) => self.reply(client, Ok(Response::Created { pid })),
            }
        }
        self.look_for_end(key);
    }

    pub(super) fn not_created(&mut self, key: UnitKey, fault: Fault) {
        let Some(unit) = self.unit(key) else { return };
        if unit.restarts > 0 {
            unit.run.error = Some(fault);
            // What a killed worker has left goes, too.
            return self.remove(key);
        }
        unit.phase = Phase::Removing;
        unit.run.error = Some(fault);
        self.assign_removal(key, true);
    }

    /// Nothing is left of a container that could not be made.
    pub(super) fn forget_failed(&mut self, key: UnitKey) {
        let Some(at) = self.units.iter().position(|unit| unit.key == key) else { return };
        let unit = self.units.remove(at);
        self.pod.dir.forget(&unit.id);
        let fault = unit.run.error.unwrap_or_else(|| Fault::new(FaultKind::Failed, "not made"));
        self.release(key, &format!("container {} could not be made", unit.id));
        match unit.creator {
            Creator::Launcher => self.fail_launch(fault),
            Creator::Client(client) => self.reply(client, Err(fault)),
        }
        self.leave_if_done();
    }

    /// All that was made for the launcher goes away.
    fn fail_launch(&mut self, fault: Fault) {
        // A launcher that lives cleans up; else the exit command does.
        self.ending.failed |= !self.ending.leave;
        self.ending.leave = true;
        if let Some(launcher) = &mut self.launcher {
            launcher.pending.clear();
            launcher.fault.get_or_insert(fault);
        }
        self.kill_all();
        self.leave_if_done();
    }

    pub(super) fn tell_launcher(&mut self, reply: &LaunchReply) {
        let Some(launcher) = &self.launcher else { return };
        // It is small, and the socket's buffer empty: this never waits.
        let told = encode(reply)
            .and_then(|frame| send(std::os::fd::AsFd::as_fd(&launcher.socket), &frame, &[]));
        if let Err(error) = told {
            warn(&StepError::new("answer the launcher", error));
        }
    }

    /// Has the container started.
    pub(super) fn start(&mut self, key: UnitKey, client: Option<ClientId>) {
        let Some(unit) = self.unit(key) else { return };
        unit.phase = Phase::Starting;
        unit.run.started = Some((now_nanos(), Instant::now()));
        if let Err(fault) = self.assign(key, Purpose::Start(client), Job::Start) {
            self.started(key, client, Err(fault));
        }
    }

    pub(super) fn started(
        &mut self,
        key: UnitKey,
        client: Option<ClientId>,
        outcome: Result<(), Fault>,
    ) {
        let Some(unit) = self.unit(key) else { return };
        match &outcome {
            Ok(()) => {
                unit.phase = Phase::Running;
                let pid = unit.run.pid.unwrap_or_default();
                self.tell(key, Happening::Started { pid });
            }
            Err(fault) => {
                unit.run.started = None;
                // Killed while it was started: that was its end.
                if !unit.stop {
                    unit.run.error = Some(fault.clone());
                }
                self.remove(key);
            }
        }
        if let Some(client) = client {
            self.reply(client, outcome.map(|()| Response::Done));
        }
        self.look_for_end(key);
    }
}
