//! Answers that came later, in containerd's words.

use super::tasks::not_found;
use super::{Caller, stdio};
use crate::containerd::events::TaskEvent;
use crate::supervisor::state::Supervisor;
use crate::supervisor::step::{StepError, warn};
use crate::{Fault, FaultKind, Response};
use caisson_containerd::task::{self, Target};
use caisson_containerd::{metrics, ttrpc};

/// What an answer is to.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    Create(Target),
    Start(Target),
    StartAdded(Target),
    Delete(Target),
    Kill,
    Pids,
    Stats,
    Nothing,
}

impl Supervisor {
    /// Passes on the answers that have come.
    pub(super) fn answer_calls(&mut self) {
        while let Some((response, caller, pending)) = self.next_answer() {
            let outcome = match response {
                Response::Fault(fault) => Err(self.failed(&pending, fault)),
                response => self.answer(&pending, response),
            };
            let Some(front) = &mut self.front else { return };
            let payload = outcome.as_ref().map(Vec::as_slice).map_err(ttrpc::Refusal::from);
            front.respond(caller, &ttrpc::response(caller.stream, payload));
            if let (Pending::StartAdded(target), Ok(_)) = (&pending, &outcome) {
                // One that was short has ended already.
                self.catch_up(target);
            }
        }
    }

    fn next_answer(&mut self) -> Option<(Response, Caller, Pending)> {
        let front = self.front.as_mut()?;
        let (at, response) = front.pending.iter().enumerate().find_map(|(at, (id, ..))| {
            let client = self.clients.iter_mut().find(|client| client.id == *id)?;
            let response = client.take_answer()?;
            client.gone = true;
            Some((at, response))
        })?;
        let (_, caller, pending) = front.pending.swap_remove(at);
        Some((response, caller, pending))
    }

    /// What is forgotten when it could not be done.
    fn failed(&mut self, pending: &Pending, fault: Fault) -> Fault {
        let Some(front) = &mut self.front else { return fault };
        match pending {
            Pending::Create(target) => {
                front.tasks.retain(|task| task.id != target.id);
                front.relays.retain(|relay| relay.owner != *target);
            }
            Pending::StartAdded(target) => {
                if let Ok(added) = front.added(target) {
                    (added.held, added.terminal) = (Vec::new(), None);
                }
                front.relays.retain(|relay| relay.owner != *target);
            }
            // It has ended: there is nobody to be sent a signal.
            Pending::Kill if fault.kind == FaultKind::WrongStatus => {
                return not_found("process already finished");
            }
            _ => {}
        }
        fault
    }

    fn answer(&mut self, pending: &Pending, response: Response) -> Result<Vec<u8>, Fault> {
        let front = self.front.as_mut().ok_or_else(|| not_found("containerd's side"))?;
        match (pending, response) {
            (Pending::Create(target), Response::Created { pid }) => {
                if front.task(&target.id)?.stdio.terminal {
                    self.connect_terminal(target)?;
                }
                Ok(task::process(u64::try_from(pid).unwrap_or_default()))
            }
            (Pending::Start(target), _) => Ok(task::process(front.task(&target.id)?.pid)),
            (Pending::StartAdded(target), Response::Exec(started)) => {
                let pid = u64::try_from(started.pid).unwrap_or_default();
                let added = front.added(target)?;
                (added.exec, added.pid) = (Some(started.exec), pid);
                if let Some(terminal) = &mut added.terminal {
                    terminal.receive_master()?;
                    let masters = terminal.hand_over()?;
                    let relays = stdio::relays(&added.stdio, target, masters)?;
                    front.relays.extend(relays);
                }
                front.publish(&target.id, &TaskEvent::ExecStarted { exec: &target.exec, pid });
                Ok(task::process(pid))
            }
            (Pending::Delete(target), _) => {
                let task = front.task(&target.id)?;
                let (pid, exit) = (task.pid, task.exit.unwrap_or_default());
                front.tasks.retain(|task| task.id != target.id);
                let event = TaskEvent::Delete { process: "", pid, exit };
                front.publish(&target.id, &event);
                front.release(target, Err(&not_found(&format!("task {}", target.id))));
                Ok(task::deleted(pid, exit))
            }
            (Pending::Pids, Response::Pids(pids)) => Ok(task::pids(&pids)),
            (Pending::Stats, Response::Stats(stats)) => {
                let unified = caisson_cgroup::Layout::detect()
                    .is_ok_and(|layout| layout.kind() == caisson_cgroup::LayoutKind::Unified);
                Ok(metrics::response(&stats, unified))
            }
            (Pending::Kill | Pending::Nothing, _) => Ok(Vec::new()),
            (_, other) => {
                warn(&StepError::new("answer containerd", format!("{other:?} came")));
                Err(Fault::new(FaultKind::Failed, "the supervisor answered something else"))
            }
        }
    }

    /// Has the terminal's bytes carried between its master and the FIFOs.
    fn connect_terminal(&mut self, target: &Target) -> Result<(), Fault> {
        let unit = self.units.iter_mut().find(|unit| unit.id.as_str() == target.id);
        let unit = unit.ok_or_else(|| not_found(&format!("task {}", target.id)))?;
        let masters = unit.run.streams.hand_over()?;
        if let Some(front) = &mut self.front {
            let relays = stdio::relays(&front.task(&target.id)?.stdio, target, masters)?;
            front.relays.extend(relays);
        }
        Ok(())
    }

    fn catch_up(&mut self, target: &Target) {
        use crate::supervisor::execs::Found;
        let Some(front) = &mut self.front else { return };
        let exec = front.added(target).ok().and_then(|added| added.exec);
        let unit = self.units.iter().find(|unit| unit.id.as_str() == target.id);
        if let (Some(exec), Some(unit)) = (exec, unit)
            && let Some(Found::Ended(exit)) = unit.execs.find(exec)
        {
            front.hear(&target.id, &crate::Happening::ExecExited { exec, exit });
        }
    }
}
