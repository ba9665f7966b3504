//! System V IPC (sysvipc(7)): objects that have keys, owners and modes, and live until
//! they are removed; and POSIX message queues, which have names.

pub mod messages;
pub mod objects;
pub mod queues;
pub mod semaphores;
pub mod shared_memory;
pub mod text;

/// The sandbox's IPC namespace.
#[derive(Debug, Default)]
pub struct Ipc {
    /// Segments of shared memory.
    pub segments: std::sync::Mutex<objects::Objects<shared_memory::Segment>>,
    /// POSIX message queues.
    pub queues: queues::Queues,
    /// Queues of messages.
    pub messages: messages::Messages,
    /// Sets of semaphores.
    pub semaphores: semaphores::Semaphores,
}
