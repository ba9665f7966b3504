//! Noting what happened to containers: in memory, in the database, and to
//! those who want to know. Each fact is noted once, whoever tells it first.

use caisson_shim::{ExitRecord, State, Status};

use crate::metadata::{Phase, PodPhase};
use crate::pods::Pods;
use crate::pods::table::ContainerEntry;
use crate::pods::view::PodEventKind;

impl Pods {
    /// Its program runs.
    pub(in crate::pods) fn note_started(&self, container: &ContainerEntry, at: u64) {
        let outcome = {
            let mut live = container.live();
            if live.record.phase != Phase::Created {
                return;
            }
            live.record.phase = Phase::Running;
            live.record.outcome.started = Some(at);
            live.record.outcome.clone()
        };
        // What the database misses, the supervisor tells the next engine.
        let _ =
            self.engine().metadata().advance_pod_container(&container.id, Phase::Running, &outcome);
        self.write_event("start", container);
        self.tell(PodEventKind::Started, &container.pod, &container.id);
    }

    /// It has ended.
    pub(in crate::pods) fn note_exit(&self, container: &ContainerEntry, exit: &ExitRecord) {
        let (outcome, unheard) = {
            let mut live = container.live();
            let before = live.record.phase;
            if !matches!(before, Phase::Created | Phase::Running) {
                return;
            }
            live.record.phase = Phase::Exited;
            let outcome = &mut live.record.outcome;
            outcome.started = exit.started_at.or(outcome.started);
            outcome.finished = Some(exit.finished_at);
            outcome.exit_code = exit.code;
            outcome.oom_killed |= exit.oom;
            outcome.lost.clone_from(&exit.error);
            (outcome.clone(), before == Phase::Created && exit.started_at.is_some())
        };
        let _ =
            self.engine().metadata().advance_pod_container(&container.id, Phase::Exited, &outcome);
        if unheard {
            self.write_event("start", container);
            self.tell(PodEventKind::Started, &container.pod, &container.id);
        }
        self.write_event("die", container);
        self.tell(PodEventKind::Stopped, &container.pod, &container.id);
    }

    /// The kernel killed something in it for lack of memory.
    pub(in crate::pods) fn note_oom(&self, container: &ContainerEntry) {
        container.live().record.outcome.oom_killed = true;
    }

    /// What a supervisor says of a container.
    pub(in crate::pods) fn take_over(&self, state: &State) {
        let Ok(container) = self.table().container(&state.id) else { return };
        match (&state.exit, state.status) {
            (Some(exit), Status::Stopped) => self.note_exit(&container, exit),
            (_, Status::Running | Status::Paused) => {
                self.note_started(&container, state.started_at.unwrap_or(state.created_at));
            }
            _ => {}
        }
    }

    /// The stream of a pod's events has ended.
    pub(in crate::pods) fn supervisor_left(&self, id: &str) {
        let Ok(pod) = self.table().pod(id) else { return };
        if pod.phase() != PodPhase::Ready {
            return;
        }
        // It may only have had no room for what we did not read.
        if self.follow(id).is_ok() {
            return;
        }
        let pods = self.clone();
        // Clearing away may take long, and others wait to be heard.
        let spawned = std::thread::Builder::new().name("lost pod".to_owned()).spawn(move || {
            // Who makes or starts something in it is about to fail; who stops it
            // does all that is to be done.
            let gate = pod.write_gate();
            if pod.phase() == PodPhase::Ready {
                pods.lose(&pod, "its supervisor was killed");
            }
            drop(gate);
        });
        drop(spawned);
    }

    /// Notes that a pod is dead, with all in it. Its network is taken back when
    /// it is stopped.
    pub(in crate::pods) fn lose(&self, pod: &crate::pods::table::PodEntry, why: &str) {
        // Whoever stops it does this again.
        let _ = self.end_supervisor(&pod.id);
        self.note_ends(&pod.id);
        let outcome = {
            let mut live = pod.live();
            live.record.phase = PodPhase::Stopped;
            live.record.outcome.error = Some(why.to_owned());
            live.record.outcome.clone()
        };
        let _ = self.engine().metadata().advance_pod(&pod.id, PodPhase::Stopped, &outcome);
        self.write_pod_event("lose", pod);
        self.tell(PodEventKind::Stopped, &pod.id, &pod.id);
    }
}
