//! The containers' way to their end, and the supervisor's.

use std::time::{Duration, Instant};

use caisson_cgroup::OomEvent;
use caisson_isolator::ExitStatus;

use super::client::Mode;
use super::job::Job;
use super::log::Stream;
use super::state::{Purpose, Supervisor};
use super::step::warn;
use super::unit::{Phase, Run, UnitKey};
use crate::wire::Kind;
use crate::{ExitRecord, Fault, FaultKind, Happening, LaunchReply, Response, now_nanos};

const SIGKILL: i32 = 9;
/// How long clients may take for last words.
const FAREWELL: Duration = Duration::from_secs(2);

impl Supervisor {
    /// The first process has ended.
    pub(super) fn ended(&mut self, key: UnitKey, status: ExitStatus) {
        if let Some(unit) = self.unit(key) {
            unit.run.ended = Some((status, now_nanos()));
        }
        self.look_for_end(key);
    }

    pub(super) fn look_for_end(&mut self, key: UnitKey) {
        let Some(unit) = self.unit(key) else { return };
        let settled = matches!(unit.phase, Phase::Created | Phase::Running);
        if settled && unit.run.ended.is_some() {
            self.remove(key);
        }
    }

    /// Has removed what the container had.
    pub(super) fn remove(&mut self, key: UnitKey) {
        self.see_oom(key);
        let Some(unit) = self.unit(key) else { return };
        unit.phase = Phase::Removing;
        unit.kill_at = None;
        unit.run.oom_watch = None;
        let last = !unit.restarts_after(&unit.record());
        self.assign_removal(key, last);
    }

    /// `last`: no run follows, so that the root file system goes, too.
    pub(super) fn assign_removal(&mut self, key: UnitKey, last: bool) {
        let Some(unit) = self.units.iter_mut().find(|unit| unit.key == key) else { return };
        let mounted = last.then(|| self.pod.dir.mounted(&unit.config));
        unit.run.unmounted = last;
        if let Err(fault) = self.assign(key, Purpose::Remove, Job::Delete(mounted)) {
            warn(&fault);
            self.finish_run(key);
        }
    }

    /// Looks at what made the watch readable.
    pub(super) fn see_oom(&mut self, key: UnitKey) {
        let Some(unit) = self.unit(key) else { return };
        let Some(watch) = &mut unit.run.oom_watch else { return };
        match watch.take() {
            Ok(OomEvent::Oom) => {
                unit.run.oom = true;
                self.tell(key, Happening::Oom);
            }
            Ok(OomEvent::None) => {}
            Ok(OomEvent::Gone) | Err(_) => unit.run.oom_watch = None,
        }
    }

    /// Nothing is left of this run but output that nobody has read.
    pub(super) fn finish_run(&mut self, key: UnitKey) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            while self.read_output(key, stream) {}
        }
        let Some(unit) = self.units.iter_mut().find(|unit| unit.key == key) else { return };
        unit.log.finish();
        for client in self.clients.iter_mut().filter(|client| client.is_attached_to(key)) {
            client.push_stream(Kind::End, b"");
        }
        if unit.run.pid.is_none() && unit.restarts == 0 {
            return self.forget_failed(key);
        }
        let record = unit.record();
        let lasted = unit.run.started.map_or(Duration::ZERO, |(_, since)| since.elapsed());
        let again = !unit.run.unmounted && unit.restarts_after(&record);
        let unmounted = std::mem::take(&mut unit.run).unmounted;
        unit.last_exit = Some(record.clone());
        if again {
            unit.phase = Phase::Waiting(Instant::now() + unit.back_off.next(lasted));
            self.tell(key, Happening::Exited { exit: record, restarts: true });
        } else {
            if !unmounted {
                self.pod.dir.mounted(&unit.config).take_away();
            }
            self.finalize(key, record);
        }
    }

    /// The container has ended for good, and its root file system is gone.
    fn finalize(&mut self, key: UnitKey, record: ExitRecord) {
        let Some(unit) = self.units.iter_mut().find(|unit| unit.key == key) else { return };
        unit.phase = Phase::Stopped;
        unit.run = Run::default();
        if let Err(error) = self.pod.dir.save_exit(&unit.id, &record) {
            warn(&error);
        }
        unit.last_exit = Some(record.clone());
        let forget = unit.forget;
        for client in &mut self.clients {
            match client.mode {
                Mode::AwaitsExit(awaited) if awaited == key => {
                    client.answer(&Response::Exit(record.clone()));
                }
                Mode::Attached(to, spec) if to == key && spec.settles && !client.gone => {
                    self.ending.settled = true;
                }
                _ => {}
            }
        }
        self.tell(key, Happening::Exited { exit: record, restarts: false });
        if forget {
            self.forget(key);
        }
        self.leave_if_done();
    }

    /// Forgets a container that has ended.
    pub(super) fn forget(&mut self, key: UnitKey) {
        self.tell(key, Happening::Removed);
        let Some(at) = self.units.iter().position(|unit| unit.key == key) else { return };
        let unit = self.units.remove(at);
        self.pod.dir.forget(&unit.id);
        self.release(key, &format!("container {} was removed", unit.id));
    }

    /// Answers all who wait for something of a container that is no more.
    pub(super) fn release(&mut self, key: UnitKey, why: &str) {
        for client in &mut self.clients {
            match client.mode {
                Mode::AwaitsRemoval(awaited) if awaited == key => client.answer(&Response::Done),
                Mode::AwaitsExec(awaited, _) | Mode::AwaitsExit(awaited) if awaited == key => {
                    client.answer(&Response::Fault(Fault::new(FaultKind::NotFound, why)));
                }
                Mode::Attached(to, _) if to == key => client.hang_up(),
                _ => {}
            }
        }
    }

    /// Leaves if nothing runs any more and that is what is wanted, or all there
    /// was to do.
    pub(super) fn leave_if_done(&mut self) {
        let done = self.all_stopped();
        self.ending.leave |= done && !self.pod.config.linger && self.launcher.is_none();
        if done && self.ending.leave && self.ending.leaves_at.is_none() {
            self.leave();
        }
    }

    /// Leaves as soon as everybody has heard what was said to him.
    fn leave(&mut self) {
        self.ending.leaves_at = Some(Instant::now() + FAREWELL);
        let fault = self.launcher.as_mut().and_then(|launcher| launcher.fault.take());
        if let Some(fault) = fault {
            self.tell_launcher(&LaunchReply::Failed(fault));
            self.launcher = None;
        }
        for client in &mut self.clients {
            if matches!(client.mode, Mode::AwaitsLeave) {
                client.answer(&Response::Done);
            }
        }
    }

    /// Ends a container for good: by `signal`, and after `grace` by force.
    pub(super) fn stop(&mut self, key: UnitKey, signal: i32, grace: Option<Duration>) {
        let Some(unit) = self.units.iter_mut().find(|unit| unit.key == key) else { return };
        unit.stop = true;
        match unit.phase {
            Phase::Creating | Phase::Removing | Phase::Stopped => {}
            Phase::Waiting(_) => {
                let mut record = unit.last_exit.clone().unwrap_or_default();
                record.stopped = true;
                self.pod.dir.mounted(&unit.config).take_away();
                self.finalize(key, record);
            }
            Phase::Created | Phase::Starting | Phase::Running => {
                let at = grace.map(|grace| Instant::now() + grace);
                unit.kill_at = match (unit.kill_at, at) {
                    (Some(earlier), Some(at)) => Some(earlier.min(at)),
                    (earlier, at) => at.or(earlier),
                };
                let job = Job::Signal { signal, all: false, thaw: true };
                if let Err(fault) = self.assign(key, Purpose::Unheard, job) {
                    warn(&fault);
                }
            }
        }
    }

    /// Ends a container for good, at once.
    pub(super) fn kill(&mut self, key: UnitKey) {
        if let Some(unit) = self.unit(key) {
            unit.kill_at = None;
        }
        self.stop(key, SIGKILL, None);
    }

    /// Ends all of them for good, at once.
    pub(super) fn kill_all(&mut self) {
        for key in self.keys() {
            self.kill(key);
        }
    }

    pub(super) fn keys(&self) -> Vec<UnitKey> {
        self.units.iter().map(|unit| unit.key).collect()
    }

    /// Nobody is going to commit this launch: it never was.
    pub(super) fn abandon(&mut self) {
        self.launcher = None;
        self.ending.leave = true;
        self.kill_all();
        self.leave_if_done();
    }

    /// Reads one piece of output and passes it on; false if there is none.
    pub(super) fn read_output(&mut self, key: UnitKey, stream: Stream) -> bool {
        let Some(unit) = self.units.iter_mut().find(|unit| unit.key == key) else { return false };
        let Some(data) = unit.run.streams.read(stream, &mut self.buffer) else { return false };
        unit.log.write(stream, data);
        for client in &mut self.clients {
            let Mode::Attached(to, spec) = client.mode else { continue };
            match stream {
                _ if to != key => {}
                Stream::Stdout if spec.stdout => client.push_stream(Kind::Stdout, data),
                Stream::Stderr if spec.stderr => client.push_stream(Kind::Stderr, data),
                _ => {}
            }
        }
        true
    }
}
