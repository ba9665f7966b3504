//! What happens to containers, for containerd.

use super::Front;
use super::tasks::Task;
use crate::containerd::events::TaskEvent;
use crate::{Fault, Happening, now_nanos};
use caisson_containerd::task::{Exit, Target, waited};
use caisson_containerd::ttrpc::{Refusal, response};

impl Front {
    /// Hears of it, before any client does.
    pub(in crate::supervisor) fn hear(&mut self, container: &str, what: &Happening) {
        let Some(task) = self.tasks.iter_mut().find(|task| task.id == container) else { return };
        match what {
            Happening::Oom => self.publish(container, &TaskEvent::Oom),
            Happening::Paused => self.publish(container, &TaskEvent::Paused),
            Happening::Resumed => self.publish(container, &TaskEvent::Resumed),
            Happening::Created { pid } => {
                task.pid = u64::try_from(*pid).unwrap_or_default();
                let Task { bundle, rootfs, stdio, pid, .. } = task;
                let (bundle, rootfs, stdio) = (bundle.clone(), rootfs.clone(), stdio.clone());
                let pid = *pid;
                let event =
                    TaskEvent::Create { bundle: &bundle, rootfs: &rootfs, stdio: &stdio, pid };
                self.publish(container, &event);
            }
            Happening::Started { .. } => {
                let pid = task.pid;
                self.publish(container, &TaskEvent::Start { pid });
            }
            Happening::Exited { exit, .. } => {
                let exit = Exit::from(exit);
                (task.exit, task.held) = (Some(exit), Vec::new());
                let pid = task.pid;
                let target = Target { id: container.to_owned(), exec: String::new() };
                self.ended(&target, pid, exit);
            }
            Happening::ExecExited { exec, exit } => {
                let Some(added) = task.by_number(*exec) else { return };
                let exit = Exit::from(exit);
                (added.exit, added.held, added.terminal) = (Some(exit), Vec::new(), None);
                let (pid, exec) = (added.pid, added.id.clone());
                self.ended(&Target { id: container.to_owned(), exec }, pid, exit);
            }
            // Told when its caller is: only then its name is known.
            Happening::ExecStarted { .. } | Happening::Removed => {}
        }
    }

    pub(super) fn publish(&mut self, container: &str, event: &TaskEvent<'_>) {
        let call = event.forward(&self.namespace, container, now_nanos());
        self.publisher.tell(&call);
    }

    /// A process has ended: those who wait hear it.
    fn ended(&mut self, target: &Target, pid: u64, exit: Exit) {
        let process = if target.exec.is_empty() { &target.id } else { &target.exec };
        self.publish(&target.id, &TaskEvent::Exit { process, pid, exit });
        self.release(target, Ok(exit));
        // Nobody reads its input any more.
        self.relays.retain(|relay| !(relay.is_input && relay.owner == *target));
    }

    /// Answers those who wait for it.
    pub(super) fn release(&mut self, target: &Target, outcome: Result<Exit, &Fault>) {
        let all = std::mem::take(&mut self.waiting);
        let (heard, rest) = all.into_iter().partition(|waiting| waiting.target == *target);
        self.waiting = rest;
        let heard: Vec<super::tasks::Waiting> = heard;
        for waiting in heard {
            let payload = outcome.map(waited);
            let payload =
                payload.as_ref().map(Vec::as_slice).map_err(|fault| Refusal::from(*fault));
            self.respond(waiting.caller, &response(waiting.caller.stream, payload));
        }
    }
}
