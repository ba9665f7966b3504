//! Waiting for changes of children.

use rustix::io::Errno;

use crate::signal::SIGCHLD;
use crate::time::{Tally, Usage};

use super::tree::Tree;
use super::waiter::lock;
use super::{Pid, Status};

/// Whom a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// Any child.
    Any,
    /// This one.
    One(Pid),
    /// Any of this group.
    Group(Pid),
}

bitflags::bitflags! {
    /// Options of a wait that the tree cares for: those of waitid(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct WaitOptions: u32 {
        /// `WNOHANG`
        const NO_HANG = 1;
        /// `WSTOPPED`, `WUNTRACED`
        const STOPPED = 2;
        /// `WEXITED`
        const EXITED = 4;
        /// `WCONTINUED`
        const CONTINUED = 8;
        /// `WNOWAIT`
        const KEEP = 0x100_0000;
        /// `__WNOTHREAD`
        const NO_THREAD = 0x2000_0000;
        /// `__WALL`
        const ALL = 0x4000_0000;
        /// `__WCLONE`
        const CLONE = 0x8000_0000;
    }
}

/// What happened to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It ended.
    Ended(Status),
    /// A signal stopped it.
    Stopped(i32),
    /// It stopped for its tracer: the signal, and above it the event.
    Trapped(i32),
    /// It was continued.
    Continued,
}

/// What a child has used, with its own children.
#[derive(Clone, Debug, Default)]
pub struct Spent {
    /// Processor time.
    pub times: Usage,
    /// Memory and the rest.
    pub tally: Tally,
}

/// What a wait found.
#[derive(Clone, Debug)]
pub enum WaitResult {
    /// A child changed; its real user and, if it ended, what it used.
    Changed(Pid, Change, u32, Spent),
    /// Children are there, none changed.
    NotYet,
    /// One has changed, and its parent is just being told by a signal.
    Soon,
}

impl Tree {
    /// Looks for a child of `parent` that changed, and takes note that it was told.
    ///
    /// # Errors
    /// `ECHILD` if there is no such child.
    pub fn wait(
        &mut self,
        parent: Pid,
        whom: WaitFor,
        options: WaitOptions,
    ) -> Result<WaitResult, Errno> {
        let keep = options.contains(WaitOptions::KEEP);
        let mut any = false;
        let (mut found, mut soon) = (None, false);
        for (pid, row) in self.rows_mut() {
            let meant = match whom {
                WaitFor::Any => true,
                WaitFor::One(one) => pid == one,
                WaitFor::Group(group) => row.group == group,
            };
            let clone = row.exit_signal != SIGCHLD;
            let kind =
                options.contains(WaitOptions::ALL) || options.contains(WaitOptions::CLONE) == clone;
            if row.parent != parent || !meant || !kind {
                continue;
            }
            // Its own tracer hears of its stops as such.
            let traced = row.stopped.is_some()
                && row.threads.get(&pid).is_some_and(|t| t.tracer() == Some(parent));
            // Nothing but its end can be told of one that ended.
            any |= !row.told || options.contains(WaitOptions::EXITED);
            soon |= match (row.ended, &row.stopped) {
                (Some(_), _) => {
                    let late = row.held || row.process.has_put_off();
                    !row.told && !late && options.contains(WaitOptions::EXITED)
                }
                (None, Some(stop)) => {
                    !traced && stop.is_being_told() && options.contains(WaitOptions::STOPPED)
                }
                (None, None) => false,
            };
            let change = match (row.ended, row.stopped.as_mut()) {
                (Some(status), _) => (row.told && options.contains(WaitOptions::EXITED))
                    .then_some(Change::Ended(status)),
                (None, Some(stop)) => {
                    let wanted = options.contains(WaitOptions::STOPPED) && !traced;
                    let new = wanted && stop.complete && !stop.told;
                    stop.told |= new && !keep;
                    new.then_some(Change::Stopped(stop.signal))
                }
                (None, None) => {
                    let new = options.contains(WaitOptions::CONTINUED) && row.continued;
                    row.continued &= !new || keep;
                    new.then_some(Change::Continued)
                }
            };
            if let Some(change) = change {
                let [user, ..] = lock(&row.process.credentials()).users;
                let accounts = *lock(&row.process.accounts);
                let times = accounts.past.plus(accounts.children);
                let tally = lock(&row.process.counting).all();
                found = Some((pid, change, user, Spent { times, tally }));
                break;
            }
        }
        match found {
            Some((pid, change, user, spent)) => {
                if matches!(change, Change::Ended(_)) && !keep {
                    self.remove(pid);
                    if let Some(row) = self.row(parent) {
                        let mut accounts = lock(&row.process.accounts);
                        accounts.children = accounts.children.plus(spent.times);
                        lock(&row.process.counting).children.absorb(spent.tally.clone());
                    }
                }
                Ok(WaitResult::Changed(pid, change, user, spent))
            }
            None if soon => Ok(WaitResult::Soon),
            None if any => Ok(WaitResult::NotYet),
            None => Err(Errno::CHILD),
        }
    }
}
