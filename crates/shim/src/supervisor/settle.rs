//! Giving work to workers, and what comes of it.

use std::time::Duration;

use super::client::ClientId;
use super::job::{Job, Outcome};
use super::state::{Purpose, Supervisor};
use super::step::warn;
use super::unit::UnitKey;
use super::worker::Worker;
use crate::{Event, Fault, FaultKind, Happening, Response, Started, now_nanos};

/// How long a step may take that starts no program of the user's.
const QUICK: Duration = Duration::from_secs(30);
/// How long any other may take, if the configuration does not say.
const STEP: Duration = Duration::from_secs(120);
/// How often the removal of what a container had is tried.
const MOST_REMOVALS: u32 = 8;

impl Supervisor {
    /// Has a worker do `job`.
    pub(super) fn assign(&mut self, key: UnitKey, purpose: Purpose, job: Job) -> Result<(), Fault> {
        let Some(unit) = self.units.iter().find(|unit| unit.key == key) else {
            return Err(Fault::new(FaultKind::NotFound, "the container is gone"));
        };
        let limit = self.pod.config.step_limit_ms.map_or(STEP, Duration::from_millis);
        let limit = match &job {
            Job::Create(_) | Job::Start | Job::Exec { .. } | Job::Delete(_) => limit,
            _ => limit.min(QUICK),
        };
        let score = self.pod.oom_score.as_deref();
        let worker = Worker::start(&self.pod.engine, &unit.id, job, limit, score)?;
        self.workers.push((key, purpose, worker));
        Ok(())
    }

    /// Hears all workers that have something to say.
    pub(super) fn hear_workers(&mut self) {
        let mut index = 0;
        while let Some((key, purpose, worker)) = self.workers.get_mut(index) {
            if !worker.is_ready() {
                index += 1;
                continue;
            }
            let (key, purpose) = (*key, *purpose);
            if let Some(outcome) = worker.read() {
                self.workers.swap_remove(index);
                self.settle(key, purpose, outcome);
                // What that led to may have changed the list.
                index = 0;
            }
        }
    }

    /// Ends the workers that take too long.
    pub(super) fn end_slow_workers(&mut self) {
        let now = std::time::Instant::now();
        while let Some(at) = self.workers.iter().position(|(_, _, worker)| worker.deadline <= now) {
            let (key, purpose, worker) = self.workers.swap_remove(at);
            self.settle(key, purpose, Err(worker.give_up()));
        }
    }

    /// A worker has reported.
    fn settle(&mut self, key: UnitKey, purpose: Purpose, outcome: Result<Outcome, Fault>) {
        match (purpose, outcome) {
            (Purpose::Create, Ok(Outcome::Process { pid, child })) => self.created(key, pid, child),
            (Purpose::Create, outcome) => self.not_created(key, unexpected(outcome)),
            (Purpose::Start(client), outcome) => self.started(key, client, outcome.map(drop)),
            (Purpose::Remove, outcome) => {
                if let Err(fault) = outcome {
                    warn(&fault);
                    let late = fault.kind == FaultKind::TimedOut;
                    if let Some(unit) = self.unit(key) {
                        unit.run.left = Some(fault);
                        unit.run.removals += 1;
                        if !late && unit.run.removals < MOST_REMOVALS {
                            // The worker may have been killed.
                            let last = unit.run.unmounted;
                            return self.assign_removal(key, last);
                        }
                    }
                } else if let Some(unit) = self.unit(key) {
                    unit.run.left = None;
                }
                self.finish_run(key);
            }
            (Purpose::Freeze(client, frozen), outcome) => {
                if let (Ok(_), Some(unit)) = (&outcome, self.unit(key)) {
                    unit.run.paused = frozen;
                    let what = if frozen { Happening::Paused } else { Happening::Resumed };
                    self.tell(key, what);
                }
                self.reply(client, outcome.map(|_| Response::Done));
            }
            (Purpose::Exec(client), Ok(Outcome::Process { pid, child })) => {
                let Some(unit) = self.unit(key) else { return };
                let exec = unit.execs.add(pid, child);
                self.tell(key, Happening::ExecStarted { exec, pid });
                self.reply(client, Ok(Response::Exec(Started { exec, pid })));
            }
            (Purpose::Exec(client) | Purpose::Answer(client), outcome) => {
                let response = outcome.map(|outcome| match outcome {
                    Outcome::Stats(stats) => Response::Stats(stats),
                    Outcome::Pids(pids) => Response::Pids(pids),
                    Outcome::Done | Outcome::Process { .. } => Response::Done,
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

    /// Tells subscribers what has happened.
    pub(super) fn tell(&mut self, key: UnitKey, what: Happening) {
        let Some(unit) = self.units.iter().find(|unit| unit.key == key) else { return };
        let event = Event { container: unit.id.to_string(), at: now_nanos(), what };
        if let Some(front) = &mut self.front {
            front.hear(&event.container, &event.what);
        }
        for client in &mut self.clients {
            client.push_event(&event);
        }
    }
}

fn unexpected(outcome: Result<Outcome, Fault>) -> Fault {
    match outcome {
        Err(fault) => fault,
        Ok(_) => Fault::new(FaultKind::Failed, "the worker process reported something else"),
    }
}
