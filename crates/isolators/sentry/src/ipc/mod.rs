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

/// The sandbox's IPC namespace.
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
        }
    }
}
