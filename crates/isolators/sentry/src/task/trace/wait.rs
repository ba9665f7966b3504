//! What waits tell a tracer.

use std::sync::Arc;

use crate::kernel::Kernel;
use crate::task::exit::announce;
use crate::task::wait::{WaitFor, WaitOptions};
use crate::task::waiter::lock;
use crate::task::{Change, Pid, Row};

use super::end::any;

/// What a tracer finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// A tracee changed; its real user.
    Changed(Pid, Change, u32),
    /// There are tracees, but none has changed.
    NotYet,
    /// There is one that can't be looked at now, which tells nobody when it can: look again.
    Busy,
    /// There are none.
    None,
}

/// Looks for a tracee of `own` that stopped or ended, and takes note that it was told.
pub fn wait(kernel: &Arc<Kernel>, own: Pid, whom: WaitFor, options: WaitOptions) -> Waited {
    if !any(kernel) {
        return Waited::None;
    }
    let keep = options.contains(WaitOptions::KEEP);
    let meant = |tid: Pid, group: Pid| match whom {
        WaitFor::Any => true,
        WaitFor::One(one) => tid == one,
        WaitFor::Group(wanted) => group == wanted,
    };
    // Held until all are looked through: one that ends meanwhile is found somewhere.
    let mut ends = lock(&kernel.tracees.ends);
    let ended = {
        let at = ends.iter().position(|end| end.tracer == own && meant(end.tid, end.group));
        let at = at.filter(|_| options.contains(WaitOptions::EXITED));
        at.and_then(|at| {
            let found = ends.get(at)?;
            let (tid, user, status) = (found.tid, found.user, found.status);
            let first = found.first && !keep;
            if !keep {
                ends.remove(at);
            }
            Some((tid, user, status, first))
        })
    };
    if let Some((tid, user, status, first)) = ended {
        drop(ends);
        if first {
            announce(kernel, tid);
        }
        return Waited::Changed(tid, Change::Ended(status), user);
    }
    let tree = lock(&kernel.tree);
    let leaving = lock(&kernel.tracees.leaving);
    let leaves = leaving.iter().any(|(tracer, tid, group)| *tracer == own && meant(*tid, *group));
    drop(leaving);
    let mut found = if leaves { Waited::NotYet } else { Waited::None };
    let look = |row: &Row, found: &mut Waited| {
        for thread in row.threads.values() {
            if thread.tracer() != Some(own) || !meant(thread.tid, row.group) {
                continue;
            }
            // Perhaps another thread of its tracer's has it make a call, for as long as that takes.
            let Ok(mut trace) = thread.trace.try_lock() else {
                *found = Waited::Busy;
                continue;
            };
            if !matches!(found, Waited::Busy) {
                *found = Waited::NotYet;
            }
            if let Some(stopped) = trace.stop.as_mut()
                && !stopped.told
            {
                stopped.told = !keep;
                let code = stopped.code;
                let [user, ..] = lock(&thread.credentials).users;
                *found = Waited::Changed(thread.tid, Change::Trapped(code), user);
                return true;
            }
        }
        false
    };
    for (_, row) in tree.rows() {
        if look(row, &mut found) {
            break;
        }
    }
    found
}
