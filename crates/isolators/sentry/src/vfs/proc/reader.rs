//! Who has opened a text of procfs: he may be gone when it is read.

use std::sync::Arc;

use crate::ipc::Ipc;
use crate::kernel::Kernel;
use crate::task::Credentials;
use crate::task::namespaces::{Names, ipc_of};
use crate::task::pid_namespace::{Pids, number_of};
use crate::task::waiter::lock;

use super::super::Walker;
use super::process;

/// What of him counts in a text.
pub(super) struct Reader {
    tid: i32,
    pids: Pids,
    /// His IPC namespace.
    pub(super) ipc: Arc<Ipc>,
    names: Option<Arc<Names>>,
    /// Who he is.
    pub(super) credentials: Credentials,
}

impl Reader {
    pub(super) fn of(walker: &Walker<'_>) -> Self {
        let (kernel, thread) = (walker.kernel, super::reader(walker));
        let ipc = thread.as_ref().map(|thread| ipc_of(kernel, &**thread));
        Reader {
            tid: walker.tid,
            pids: process(kernel, walker.pid).and_then(|process| process.pids()),
            ipc: ipc.unwrap_or_else(|| Arc::clone(&kernel.ipc)),
            names: thread.and_then(|thread| thread.namespaces().names),
            credentials: walker.credentials.clone(),
        }
    }

    /// The number that he knows a process by; 0 if none.
    pub(super) fn number(&self, id: i32) -> i32 {
        number_of(&self.pids, id)
    }

    /// Those of the machine that he sees, by now, as long as he is there.
    pub(super) fn names(&self, kernel: &Kernel) -> Option<Arc<Names>> {
        let thread = lock(&kernel.tree).thread(self.tid).cloned();
        thread.map_or_else(|| self.names.clone(), |thread| thread.namespaces().names)
    }
}
