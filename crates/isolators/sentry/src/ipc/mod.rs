//! System V IPC (sysvipc(7)): objects that have keys, owners and modes, and live until
//! they are removed; and POSIX message queues, which have names.

pub mod messages;
pub mod objects;
pub mod queues;
pub mod semaphores;
pub mod shared_memory;
pub mod text;

use std::sync::Arc;

use crate::settings::Settings;
use crate::task::user_namespace::{Space, new_number};
use crate::task::waiter::lock;

/// An IPC namespace: the container's, or one that a program has made.
#[derive(Debug)]
pub struct Ipc {
    /// Segments of shared memory.
    pub segments: std::sync::Mutex<objects::Objects<shared_memory::Segment>>,
    /// POSIX message queues.
    pub queues: queues::Queues,
    /// Queues of messages.
    pub messages: messages::Messages,
    /// Sets of semaphores.
    pub semaphores: semaphores::Semaphores,
    /// What its configuration says.
    pub settings: Arc<Settings>,
    /// Its number; `None`: the container's.
    pub number: Option<u64>,
    /// Where capabilities count in it.
    pub owner: Space,
}

impl Ipc {
    /// An empty one, as a program makes it.
    #[must_use]
    pub fn of(owner: &Space) -> Arc<Self> {
        let ipc = Ipc { number: Some(new_number()), owner: owner.clone(), ..Ipc::default() };
        lock(&ipc.segments).owner.clone_from(owner);
        lock(&ipc.messages.queues).owner.clone_from(owner);
        lock(&ipc.semaphores.sets).owner.clone_from(owner);
        Arc::new(ipc)
    }
}

impl Default for Ipc {
    fn default() -> Self {
        let settings = Arc::<Settings>::default();
        Ipc {
            queues: queues::Queues::new(&settings),
            settings,
            segments: Default::default(),
            messages: Default::default(),
            semaphores: Default::default(),
            number: None,
            owner: None,
        }
    }
}
