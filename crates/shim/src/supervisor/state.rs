//! What the supervisor knows while it runs.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::Instant;

use caisson_sys::signal_fd::SignalFd;

use super::client::{Client, ClientId, Mode};
use super::front::Front;
use super::guard::Guard;
use super::pod::Pod;
use super::unit::{Phase, Unit, UnitKey};
use super::worker::Worker;
use crate::wire::Incoming;
use crate::{ContainerConfig, Fault, PodState, State};

/// Who is to hear of a worker's outcome.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Create,
    Start(Option<ClientId>),
    Remove,
    /// Frozen or thawed.
    Freeze(ClientId, bool),
    Exec(ClientId),
    Answer(ClientId),
    /// Nobody.
    Unheard,
}

/// The launcher, until it has committed.
#[derive(Debug)]
pub(super) struct Launcher {
    pub(super) socket: OwnedFd,
    pub(super) incoming: Incoming,
    /// Containers that are still to be made for it.
    pub(super) pending: VecDeque<ContainerConfig>,
    /// Why the launch has failed; told when nothing is left.
    pub(super) fault: Option<Fault>,
    /// Streams for the only container.
    pub(super) streams: Option<[OwnedFd; 3]>,
}

/// The end of the supervisor.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// Somebody wants it.
    pub(super) leave: bool,
    /// It is about to leave, and does then.
    pub(super) leaves_at: Option<Instant>,
    /// Somebody does what the exit command is for.
    pub(super) settled: bool,
    /// The launch failed: there never was a pod.
    pub(super) failed: bool,
}

/// The supervisor.
pub(super) struct Supervisor {
    pub(super) pod: Pod,
    pub(super) guard: Guard,
    pub(super) signals: SignalFd,
    pub(super) listener: OwnedFd,
    pub(super) launcher: Option<Launcher>,
    pub(super) clients: Vec<Client>,
    pub(super) next_client: u64,
    pub(super) workers: Vec<(UnitKey, Purpose, Worker)>,
    pub(super) units: Vec<Unit>,
    pub(super) next_unit: u64,
    pub(super) ending: Ending,
    /// containerd's side, if the pod is one of its.
    pub(super) front: Option<Front>,
    pub(super) buffer: Vec<u8>,
    /// When to let go of code that was needed for what has happened since.
    pub(super) rest_at: Option<Instant>,
}

impl Supervisor {
    pub(super) fn unit(&mut self, key: UnitKey) -> Option<&mut Unit> {
        self.units.iter_mut().find(|unit| unit.key == key)
    }

    pub(super) fn unit_called(&self, id: &str) -> Option<&Unit> {
        self.units.iter().find(|unit| unit.id.as_str() == id)
    }

    pub(super) fn client(&mut self, id: ClientId) -> Option<&mut Client> {
        self.clients.iter_mut().find(|client| client.id == id)
    }

    pub(super) fn set_mode(&mut self, client: ClientId, mode: Mode) {
        if let Some(client) = self.client(client) {
            client.mode = mode;
        }
    }

    /// Whether no container is left to run.
    pub(super) fn all_stopped(&self) -> bool {
        self.units.iter().all(|unit| unit.phase == Phase::Stopped)
    }

    /// One container's state.
    pub(super) fn state_of(&self, unit: &Unit) -> State {
        let attached = self.clients.iter().filter(|client| client.is_attached_to(unit.key)).count();
        unit.state(attached)
    }

    /// For [`crate::Request::Pod`].
    pub(super) fn pod_state(&self) -> PodState {
        PodState {
            id: self.pod.config.id.clone(),
            shim_pid: rustix::process::getpid().as_raw_nonzero().get(),
            containers: self.units.iter().map(|unit| self.state_of(unit)).collect(),
        }
    }
}
