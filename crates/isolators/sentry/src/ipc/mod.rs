//! System V IPC (sysvipc(7)): objects that have keys, owners and modes, and live until
//! they are removed.

pub mod objects;
pub mod semaphores;
pub mod shared_memory;

/// The sandbox's IPC namespace.
#[derive(Debug, Default)]
pub struct Ipc {
    /// Segments of shared memory.
    pub segments: std::sync::Mutex<objects::Objects<shared_memory::Segment>>,
    /// Sets of semaphores.
    pub semaphores: semaphores::Semaphores,
}
