//! The container's way from being made to its end.

use std::time::{Duration, Instant};

use caisson_cgroup::OomEvent;
use caisson_isolator::ExitStatus;

use super::client::{ClientId, Mode};
use super::job::{Job, Outcome};
use super::log::Stream;
use super::rootfs;
use super::state::{Phase, Purpose, Run, Supervisor};
use super::step::{StepError, warn};
use super::streams::{Read, Streams};
use super::worker::Worker;
use crate::wire::{Kind, encode, send};
use crate::{ExitRecord, Fault, FaultKind, LaunchReply, Response, StdinMode, now_nanos};

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
/// How long clients may take for last words.
const FAREWELL: Duration = Duration::from_secs(2);

impl Supervisor {
    /// Has a worker do `job`.
    pub(super) fn assign(&mut self, purpose: Purpose, job: Job) -> Result<(), Fault> {
        let score = self.pod.oom_score.as_deref();
        let worker = Worker::start(&self.pod.engine, &self.pod.id, job, score)?;
        self.workers.push((purpose, worker));
        Ok(())
    }

    /// Has the container made, for the first time or again.
    pub(super) fn begin_run(&mut self) {
        self.phase = Phase::Creating;
        self.run = Run::default();
        if let Err(fault) = self.try_begin_run() {
            self.not_created(fault);
        }
    }

    fn try_begin_run(&mut self) -> Result<(), Fault> {
        let input = match self.pod.container.stdin {
            StdinMode::Closed => false,
            StdinMode::Open => true,
            StdinMode::Once => !self.input_done,
        };
        let (streams, theirs) = match &self.pod.given_streams {
            _ if self.pod.has_terminal() => Streams::terminal()?,
            Some(given) => Streams::given(given)?,
            None => Streams::pipes(input)?,
        };
        self.run.streams = streams;
        let (spec, bundle) = (Box::new(self.pod.spec.clone()), self.pod.dir.bundle());
        self.assign(Purpose::Create, Job::Create { spec, bundle, streams: theirs })
    }

    /// A worker has reported.
    pub(super) fn settle(&mut self, purpose: Purpose, outcome: Result<Outcome, Fault>) {
        match (purpose, outcome) {
            (Purpose::Create, Ok(Outcome::Process(pid))) => self.created(pid),
            (Purpose::Create, outcome) => self.not_created(unexpected(outcome)),
            (Purpose::Start(client), outcome) => self.started(client, outcome.map(drop)),
            (Purpose::Remove, outcome) => {
                if let Err(fault) = outcome {
                    warn(&fault);
                }
                self.finish_run();
            }
            (Purpose::Freeze(client, frozen), outcome) => {
                if outcome.is_ok() {
                    self.run.paused = frozen;
                }
                self.reply(client, outcome.map(|_| Response::Done));
            }
            (Purpose::Exec(client), Ok(Outcome::Process(pid))) => {
                let exec = self.execs.add(pid);
                self.reply(client, Ok(Response::Exec(crate::Started { exec, pid })));
            }
            (Purpose::Exec(client) | Purpose::Answer(client), outcome) => {
                let response = outcome.map(|outcome| match outcome {
                    Outcome::Stats(stats) => Response::Stats(stats),
                    Outcome::Pids(pids) => Response::Pids(pids),
                    Outcome::Done | Outcome::Process(_) => Response::Done,
                });
                self.reply(client, response);
            }
            (Purpose::Unheard, Err(fault)) if fault.kind != FaultKind::WrongStatus => warn(&fault),
            (Purpose::Unheard, _) => {}
        }
    }

    /// Answers a client, if it is still there.
    pub(super) fn reply(&mut self, client: ClientId, response: Result<Response, Fault>) {
        if let Some(client) = self.client(client) {
            client.answer(&response.unwrap_or_else(Response::Fault));
        }
    }

    fn created(&mut self, pid: i32) {
        self.run.pid = Some(pid);
        self.phase = Phase::Created;
        if let Err(error) = self.run.streams.receive_master() {
            self.run.error = Some(error.into());
            self.remove();
            return;
        }
        let watch = self.pod.engine.container(&self.pod.id);
        // Without a memory cgroup there is nothing to see.
        self.run.oom_watch = watch.and_then(|container| container.resources().watch_oom()).ok();
        if self.ending.stop {
            self.kill();
        } else if self.restarts > 0 {
            self.start(None);
        } else {
            let shim_pid = rustix::process::getpid().as_raw_nonzero().get();
            self.tell_launcher(&LaunchReply::Ready { shim_pid, pids: vec![pid] });
        }
    }

    fn not_created(&mut self, fault: Fault) {
        if self.restarts > 0 {
            self.run.error = Some(fault);
            return self.finish_run();
        }
        self.tell_launcher(&LaunchReply::Failed(fault));
        self.launcher = None;
        rootfs::detach(&self.pod.dir.rootfs());
        self.phase = Phase::Stopped;
        // A launcher that lives cleans up; else the exit command does.
        self.ending.failed = !self.ending.stop;
        self.leave();
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
    pub(super) fn start(&mut self, client: Option<ClientId>) {
        self.phase = Phase::Starting;
        self.run.started = Some((now_nanos(), Instant::now()));
        if let Err(fault) = self.assign(Purpose::Start(client), Job::Start) {
            self.started(client, Err(fault));
        }
    }

    fn started(&mut self, client: Option<ClientId>, outcome: Result<(), Fault>) {
        match outcome {
            Ok(()) => self.phase = Phase::Running,
            Err(ref fault) => {
                self.run.started = None;
                // Killed while it was started: that was its end.
                if !self.ending.stop {
                    self.run.error = Some(fault.clone());
                }
                self.remove();
            }
        }
        if let Some(client) = client {
            self.reply(client, outcome.map(|()| Response::Done));
        }
        self.look_for_end();
    }

    /// The first process has ended.
    pub(super) fn ended(&mut self, status: ExitStatus) {
        self.run.ended = Some((status, now_nanos()));
        self.look_for_end();
    }

    fn look_for_end(&mut self) {
        let settled = matches!(self.phase, Phase::Created | Phase::Running);
        if settled && self.run.ended.is_some() {
            self.remove();
        }
    }

    /// Has removed what the container had.
    fn remove(&mut self) {
        self.phase = Phase::Removing;
        self.ending.kill_at = None;
        self.see_oom();
        self.run.oom_watch = None;
        if let Err(fault) = self.assign(Purpose::Remove, Job::Delete) {
            warn(&fault);
            self.finish_run();
        }
    }

    /// Looks at what made the watch readable.
    pub(super) fn see_oom(&mut self) {
        let Some(watch) = &mut self.run.oom_watch else { return };
        match watch.take() {
            Ok(OomEvent::Oom) => self.run.oom = true,
            Ok(OomEvent::None) => {}
            Ok(OomEvent::Gone) | Err(_) => self.run.oom_watch = None,
        }
    }

    /// Nothing is left of this run but output that nobody has read.
    fn finish_run(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            while self.read_output(stream) {}
        }
        self.log.finish();
        for client in &mut self.clients {
            client.push_stream(Kind::End, b"");
        }
        let record = self.record();
        let lasted = self.run.started.map_or(Duration::ZERO, |(_, since)| since.elapsed());
        let ran = self.run.started.is_some() || self.restarts > 0;
        let again = ran && !self.ending.stop && self.policy.wants(record.code, self.restarts);
        self.run = Run::default();
        self.last_exit = Some(record.clone());
        if again {
            self.phase = Phase::Waiting(Instant::now() + self.back_off.next(lasted));
        } else {
            self.finalize(&record);
        }
    }

    fn record(&self) -> ExitRecord {
        let run = &self.run;
        let (code, signal, at) = match (&run.error, run.ended) {
            (Some(fault), _) => (fault.exit_code(), None, now_nanos()),
            (None, Some((status, at))) => {
                let signal = match status {
                    ExitStatus::Code(_) => None,
                    ExitStatus::Signal(signal) => Some(signal),
                };
                (status.shell_code(), signal, at)
            }
            // Killed by its removal, and not reaped yet.
            (None, None) => (ExitRecord::LOST, Some(9), now_nanos()),
        };
        ExitRecord {
            code,
            signal,
            oom: run.oom,
            started_at: run.started.map(|(at, _)| at),
            finished_at: at,
            restarts: self.restarts,
            stopped: self.ending.stop,
            error: run.error.as_ref().map(ToString::to_string),
        }
    }

    /// The container has ended for good.
    fn finalize(&mut self, record: &ExitRecord) {
        self.phase = Phase::Stopped;
        rootfs::detach(&self.pod.dir.rootfs());
        if let Err(error) = self.pod.dir.save_exit(&self.pod.id, record) {
            warn(&error);
        }
        self.last_exit = Some(record.clone());
        let settles = |mode: Mode| matches!(mode, Mode::Attached(spec) if spec.settles);
        if self.clients.iter().any(|client| settles(client.mode) && !client.gone) {
            self.ending.command_ran = true;
        }
        for client in &mut self.clients {
            if matches!(client.mode, Mode::AwaitsExit) {
                client.answer(&Response::Exit(record.clone()));
            }
        }
        if self.pod.config.linger && !self.ending.leave {
            self.run_exit_command();
        } else {
            self.leave();
        }
    }

    /// Leaves as soon as everybody has heard what was said to him.
    pub(super) fn leave(&mut self) {
        self.ending.leave = true;
        self.ending.leaves_at = Some(Instant::now() + FAREWELL);
        for client in &mut self.clients {
            if matches!(client.mode, Mode::AwaitsLeave) {
                client.answer(&Response::Done);
            }
        }
    }

    /// Ends the container for good: by `signal`, and after `grace` by force.
    pub(super) fn stop(&mut self, signal: i32, grace: Option<Duration>) {
        self.ending.stop = true;
        match self.phase {
            Phase::Creating | Phase::Removing | Phase::Stopped => {}
            Phase::Waiting(_) => {
                let mut record = self.last_exit.clone().unwrap_or_default();
                record.stopped = true;
                self.finalize(&record);
            }
            Phase::Created | Phase::Starting | Phase::Running => {
                let at = grace.map(|grace| Instant::now() + grace);
                self.ending.kill_at = match (self.ending.kill_at, at) {
                    (Some(earlier), Some(at)) => Some(earlier.min(at)),
                    (earlier, at) => at.or(earlier),
                };
                let job = Job::Signal { signal, all: false, thaw: true };
                if let Err(fault) = self.assign(Purpose::Unheard, job) {
                    warn(&fault);
                }
            }
        }
    }

    /// Ends the container for good, at once.
    pub(super) fn kill(&mut self) {
        self.ending.kill_at = None;
        self.stop(SIGKILL, None);
    }

    /// The signal that asks the container to end.
    pub(super) fn stop_signal(&self) -> i32 {
        self.pod.container.stop_signal.unwrap_or(SIGTERM)
    }

    /// Nobody is going to commit this launch: it never was.
    pub(super) fn abandon(&mut self) {
        self.launcher = None;
        self.ending.leave = true;
        if self.phase == Phase::Stopped {
            self.leave();
        } else {
            self.kill();
        }
    }

    /// Reads one piece of output and passes it on; false if there is none.
    pub(super) fn read_output(&mut self, stream: Stream) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = self.run.streams.read(stream, &mut buffer);
        if let Read::Data(count) = read {
            let data = buffer.get(..count).unwrap_or_default();
            self.log.write(stream, data);
            for client in &mut self.clients {
                let Some(spec) = client.attached() else { continue };
                match stream {
                    Stream::Stdout if spec.stdout => client.push_stream(Kind::Stdout, data),
                    Stream::Stderr if spec.stderr => client.push_stream(Kind::Stderr, data),
                    _ => {}
                }
            }
        }
        self.buffer = buffer;
        matches!(read, Read::Data(_))
    }
}

fn unexpected(outcome: Result<Outcome, Fault>) -> Fault {
    match outcome {
        Err(fault) => fault,
        Ok(_) => Fault::new(FaultKind::Failed, "the worker process reported something else"),
    }
}
