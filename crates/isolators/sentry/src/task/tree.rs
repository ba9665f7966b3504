//! Who is whose child: ids, groups, sessions, and waiting for ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustix::io::Errno;

use crate::time::Usage;

use super::waiter::lock;
use super::{Pid, Process, Status, Thread};

/// A process's row.
pub struct Row {
    /// The process.
    pub process: Arc<Process>,
    /// Its parent; 0 for the first process.
    pub parent: Pid,
    /// Process group.
    pub group: Pid,
    /// Session.
    pub session: Pid,
    /// The signal its parent gets at its end; 0 for none.
    pub exit_signal: i32,
    /// How it ended; it is a zombie.
    pub ended: Option<Status>,
    /// Live threads, by id.
    pub threads: BTreeMap<Pid, Arc<Thread>>,
    /// Whether it has executed a program since it was made.
    pub executed: bool,
}

/// Every process.
#[derive(Default)]
pub struct Tree {
    rows: BTreeMap<Pid, Row>,
    last: Pid,
}

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

/// What a wait found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitResult {
    /// A child ended.
    Ended(Pid, Status, Usage),
    /// Children are there, none ended.
    NotYet,
}

const PID_MAX: Pid = 32_768;

impl Tree {
    /// An id that nobody has.
    ///
    /// # Errors
    /// `EAGAIN` if there is none.
    pub fn new_id(&mut self) -> Result<Pid, Errno> {
        for _ in 0..PID_MAX {
            self.last = if self.last + 1 >= PID_MAX { 1 } else { self.last + 1 };
            let id = self.last;
            let taken = self.rows.iter().any(|(pid, row)| {
                *pid == id || row.group == id || row.session == id || row.threads.contains_key(&id)
            });
            if !taken {
                return Ok(id);
            }
        }
        Err(Errno::AGAIN)
    }

    /// Adds a process.
    pub fn insert(&mut self, pid: Pid, row: Row) {
        self.rows.insert(pid, row);
    }

    /// A process, also one that has ended.
    #[must_use]
    pub fn row(&self, pid: Pid) -> Option<&Row> {
        self.rows.get(&pid)
    }

    /// The same, to change.
    pub fn row_mut(&mut self, pid: Pid) -> Option<&mut Row> {
        self.rows.get_mut(&pid)
    }

    /// All of them.
    pub fn rows(&self) -> impl Iterator<Item = (Pid, &Row)> {
        self.rows.iter().map(|(pid, row)| (*pid, row))
    }

    /// Forgets a process.
    pub fn remove(&mut self, pid: Pid) {
        self.rows.remove(&pid);
    }

    /// The thread with this id.
    #[must_use]
    pub fn thread(&self, tid: Pid) -> Option<&Arc<Thread>> {
        let own = self.rows.get(&tid).and_then(|row| row.threads.get(&tid));
        own.or_else(|| self.rows.values().find_map(|row| row.threads.get(&tid)))
    }

    /// Gives the children of one that ends to the first process. Returns whether
    /// one of them has ended already.
    pub fn orphan(&mut self, parent: Pid) -> bool {
        let mut zombie = false;
        for row in self.rows.values_mut().filter(|row| row.parent == parent) {
            row.parent = 1;
            row.exit_signal = libc_sigchld();
            zombie |= row.ended.is_some();
        }
        zombie
    }

    /// Looks for a child of `parent` that has ended; takes it away unless `keep`.
    ///
    /// # Errors
    /// `ECHILD` if there is no such child.
    pub fn wait(&mut self, parent: Pid, whom: WaitFor, keep: bool) -> Result<WaitResult, Errno> {
        let mut any = false;
        let mut found = None;
        for (pid, row) in &self.rows {
            let meant = match whom {
                WaitFor::Any => true,
                WaitFor::One(one) => *pid == one,
                WaitFor::Group(group) => row.group == group,
            };
            if row.parent != parent || !meant {
                continue;
            }
            any = true;
            if let Some(status) = row.ended {
                let accounts = *lock(&row.process.accounts);
                found = Some((*pid, status, accounts.past.plus(accounts.children)));
                break;
            }
        }
        match found {
            Some((pid, status, usage)) => {
                if !keep {
                    self.rows.remove(&pid);
                    if let Some(row) = self.rows.get(&parent) {
                        let mut accounts = lock(&row.process.accounts);
                        accounts.children = accounts.children.plus(usage);
                    }
                }
                Ok(WaitResult::Ended(pid, status, usage))
            }
            None if any => Ok(WaitResult::NotYet),
            None => Err(Errno::CHILD),
        }
    }
}

fn libc_sigchld() -> i32 {
    crate::signal::SIGCHLD
}
