//! Namespaces of a process's own: unshare(2).

use std::sync::Arc;

use rustix::io::Errno;

use crate::ipc::Ipc;
use crate::net::Network;
use crate::net::netlink::Named;
use crate::task::Pid;
use crate::task::namespaces::{ipc_of, leave_ipc, living, make, network_of, new};

use crate::task::waiter::lock;
use crate::vfs::Namespace;

use super::{Call, Outcome};

impl Call<'_> {
    /// The id that a number of the caller's PID namespace means; what is none stays so.
    pub(super) fn id_of(&self, number: Pid) -> Pid {
        self.thread.process.id_of(number)
    }

    /// The number that the caller knows an id by; 0 for none.
    pub(super) fn number_of(&self, id: Pid) -> Pid {
        self.thread.process.number_of(id)
    }

    /// The caller's network.
    pub(super) fn network(&self) -> Arc<Network> {
        network_of(self.kernel, &**self.thread)
    }

    /// The caller's IPC namespace.
    pub(super) fn ipc(&self) -> Arc<Ipc> {
        ipc_of(self.kernel, &**self.thread)
    }
}

/// The network that a request of netlink names.
pub(super) fn network(call: &Call<'_>, named: Named) -> Result<Arc<Network>, Errno> {
    match named {
        Named::Process(number) => {
            let process = lock(&call.kernel.tree)
                .row(call.id_of(number))
                .map(|row| Arc::clone(&row.process))
                .ok_or(Errno::SRCH)?;
            Ok(living(&*process).ok_or(Errno::SRCH)?.network_in(call.kernel))
        }
        Named::Descriptor(number) => {
            let number = u32::try_from(number).map_err(|_| Errno::BADF)?;
            let file = call.files().get(number)?;
            match super::setns::namespace(&file).map(|file| &file.of) {
                Some(Namespace::Network(network)) => Ok(Arc::clone(network)),
                _ => Err(Errno::INVAL),
            }
        }
    }
}

const VM: u64 = 0x100;
const FS: u64 = 0x200;
const FILES: u64 = 0x400;
const HANDLERS: u64 = 0x800;
const THREAD: u64 = 0x1_0000;
const SEMAPHORES: u64 = 0x4_0000;

/// Whether another process, which has not ended, has the caller's actions for signals, or, if it
/// is about that, his memory.
fn shares(call: &Call<'_>, memory: bool) -> bool {
    let process = &call.thread.process;
    let (actions, space) = (process.actions(), call.thread.space());
    lock(&call.kernel.tree).rows().any(|(pid, row)| {
        let other = pid != process.pid && row.ended.is_none();
        other
            && (Arc::ptr_eq(&row.process.actions(), &actions)
                || memory && row.threads.values().any(|thread| thread.lives_in(&space)))
    })
}

pub(super) fn unshare(call: &Call<'_>) -> Outcome {
    let flags = call.arg(0);
    if flags & !(VM | FS | FILES | HANDLERS | THREAD | SEMAPHORES | new::ALL) != 0 {
        return Err(Errno::INVAL.into());
    }
    let (thread, process) = (call.thread, &call.thread.process);
    // Users, memory and what signals do are all threads'.
    let alone = call.kernel.threads_of(process.pid).len() <= 1;
    if !alone && flags & (VM | HANDLERS | THREAD | new::USERS) != 0 {
        return Err(Errno::INVAL.into());
    }
    if flags & (VM | HANDLERS) != 0 && shares(call, flags & VM != 0) {
        return Err(Errno::INVAL.into());
    }
    if flags & new::ALL != 0 {
        let who = super::identity::who(call);
        let made = make(call.kernel, (thread, &who), flags)?;
        // What several threads have is undone by the last.
        if flags & new::IPC != 0 {
            thread.leave_undo_list(call.kernel);
            if alone {
                leave_ipc(call.kernel, process);
            }
        }
        made.enter(call.kernel, thread);
    }
    if flags & SEMAPHORES != 0 {
        thread.leave_undo_list(call.kernel);
    }
    if flags & (FS | new::USERS) != 0 {
        thread.set_fs(thread.fs().copy());
    }
    if alone && flags & FILES != 0 {
        process.own_files(call.kernel);
    }
    Ok(0)
}
