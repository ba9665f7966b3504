//! Namespaces of a process's own: unshare(2).

use std::sync::Arc;

use rustix::io::Errno;

use crate::task::namespaces::{make, new};
use crate::task::waiter::lock;

use super::{Call, Outcome};

const VM: u64 = 0x100;
const FS: u64 = 0x200;
const FILES: u64 = 0x400;
const HANDLERS: u64 = 0x800;
const THREAD: u64 = 0x1_0000;
const SEMAPHORES: u64 = 0x4_0000;

pub(super) fn unshare(call: &Call<'_>) -> Outcome {
    let flags = call.arg(0);
    if flags & !(VM | FS | FILES | HANDLERS | THREAD | SEMAPHORES | new::ALL) != 0 {
        return Err(Errno::INVAL.into());
    }
    let process = &call.thread.process;
    // Threads have those of their process: one alone can't leave them.
    let alone = call.kernel.threads_of(process.pid).len() <= 1;
    if !alone && flags & (VM | HANDLERS | THREAD | new::ALL) != 0 {
        return Err(Errno::INVAL.into());
    }
    if flags & new::ALL != 0 {
        let who = super::identity::who(call);
        make(call.kernel, (process, &who), flags)?.enter(call.kernel, process);
        // Its first thread may have ended before.
        let now = process.who();
        *lock(&call.thread.credentials) = now;
    }
    if flags & FILES != 0 {
        let mut files = lock(&process.files);
        *files = Arc::new(files.copy());
    }
    Ok(0)
}
