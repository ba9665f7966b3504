//! Who is whose child: ids, groups, sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use rustix::io::Errno;

use crate::signal::Pending;

use super::pid_namespace::PidNamespace;
use super::waiter::lock;
use super::{Pid, Process, Status, Stop, Thread};

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
    /// Whether the parent was sent the signal of its end, and waits may tell of it.
    pub told: bool,
    /// Whether it waits for its tracer to hear of that first.
    pub held: bool,
    /// Live threads, by id.
    pub threads: BTreeMap<Pid, Arc<Thread>>,
    /// Whether it has executed a program since it was made.
    pub executed: bool,
    /// Whether it is stopped.
    pub stopped: Option<Stop>,
    /// Whether it was continued, and no wait has told of it.
    pub continued: bool,
    /// Whether orphans among its descendants become its children.
    pub subreaper: bool,
    /// The signal it gets when its parent ends; 0 for none.
    pub death_signal: i32,
}

impl Row {
    /// Of a new process without threads.
    #[must_use]
    pub fn new(process: Arc<Process>, parent: Pid, group: Pid, session: Pid) -> Self {
        Row {
            process,
            parent,
            group,
            session,
            exit_signal: 0,
            ended: None,
            told: false,
            held: false,
            threads: BTreeMap::new(),
            executed: false,
            stopped: None,
            continued: false,
            subreaper: false,
            death_signal: 0,
        }
    }

    /// Whether a thread is one of its live ones.
    #[must_use]
    pub fn has(&self, thread: &Arc<Thread>) -> bool {
        self.threads.get(&thread.tid).is_some_and(|own| Arc::ptr_eq(own, thread))
    }
}

/// Every process.
#[derive(Default)]
pub struct Tree {
    rows: BTreeMap<Pid, Row>,
    last: Pid,
    /// Ids of which nothing is there yet.
    given: BTreeSet<Pid>,
    /// PID namespaces, which have numbers for what is here.
    spaces: Vec<Weak<PidNamespace>>,
    /// Groups that somebody knows by their id: what tells that it is another's.
    marks: BTreeMap<Pid, Weak<AtomicBool>>,
}

pub(super) const PID_MAX: Pid = 32_768;

impl Tree {
    /// An id that nobody has, as [`Self::take_id`] does.
    ///
    /// # Errors
    /// `EAGAIN` if there is none.
    pub fn new_id(&mut self) -> Result<Pid, Errno> {
        for _ in 0..PID_MAX {
            self.last = if self.last + 1 >= PID_MAX { 1 } else { self.last + 1 };
            let id = self.last;
            if self.take_id(id).is_ok() {
                return Ok(id);
            }
        }
        Err(Errno::AGAIN)
    }

    /// Has an id be a new one's, until it is there or [given back](Self::give_back).
    ///
    /// # Errors
    /// `EEXIST` if it is somebody's.
    pub fn take_id(&mut self, id: Pid) -> Result<(), Errno> {
        if self.is_used(id) {
            return Err(Errno::EXIST);
        }
        self.spaces.iter().filter_map(Weak::upgrade).for_each(|space| space.forget(id));
        if let Some(mark) = self.marks.remove(&id).and_then(|mark| mark.upgrade()) {
            mark.store(true, Ordering::SeqCst);
        }
        self.given.insert(id);
        Ok(())
    }

    /// An id is its thread's by now, or nobody's again.
    pub fn give_back(&mut self, id: Pid) {
        self.given.remove(&id);
    }

    /// Whether an id is that of a process, a thread, a group or a session.
    #[must_use]
    pub fn is_used(&self, id: Pid) -> bool {
        self.given.contains(&id)
            || self.rows.iter().any(|(pid, row)| {
                *pid == id || row.group == id || row.session == id || row.threads.contains_key(&id)
            })
    }

    /// Whether there is a group of this id.
    #[must_use]
    pub fn has_group(&self, id: Pid) -> bool {
        self.rows.values().any(|row| row.group == id)
    }

    /// What becomes true once the id of a group is another's.
    pub fn mark(&mut self, group: Pid) -> Arc<AtomicBool> {
        if let Some(mark) = self.marks.get(&group).and_then(Weak::upgrade) {
            return mark;
        }
        self.marks.retain(|_, mark| mark.strong_count() > 0);
        let mark = Arc::default();
        self.marks.insert(group, Arc::downgrade(&mark));
        mark
    }

    /// Has a namespace forget ids that become others'.
    pub fn note(&mut self, space: &Arc<PidNamespace>) {
        self.spaces.retain(|space| space.strong_count() > 0);
        self.spaces.push(Arc::downgrade(space));
    }

    /// Adds a process.
    pub fn insert(&mut self, pid: Pid, row: Row) {
        self.given.remove(&pid);
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

    /// All of them, to change.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = (Pid, &mut Row)> {
        self.rows.iter_mut().map(|(pid, row)| (*pid, row))
    }

    /// Forgets a process.
    pub fn remove(&mut self, pid: Pid) {
        if let Some(row) = self.rows.remove(&pid) {
            // Who still knows it does not keep them.
            *lock(&row.process.pending) = Pending::default();
        }
    }

    /// The thread with this id.
    #[must_use]
    pub fn thread(&self, tid: Pid) -> Option<&Arc<Thread>> {
        let own = self.rows.get(&tid).and_then(|row| row.threads.get(&tid));
        own.or_else(|| self.rows.values().find_map(|row| row.threads.get(&tid)))
    }

    /// The process of the thread with this id, which may be its first one and have ended.
    #[must_use]
    pub fn process(&self, tid: Pid) -> Option<Arc<Process>> {
        let own = self.rows.get(&tid).map(|row| Arc::clone(&row.process));
        own.or_else(|| self.thread(tid).map(|thread| Arc::clone(&thread.process)))
    }

    /// Who gets the children of one that ends: the closest ancestor that asked for
    /// them, or the first process; in its PID namespace.
    #[must_use]
    pub fn heir(&self, pid: Pid) -> Pid {
        let mut at = self.rows.get(&pid).map_or(1, |row| row.parent);
        let own = self.rows.get(&pid).and_then(|row| row.process.pids());
        let first = own.as_ref().and_then(|space| space.first()).unwrap_or(1);
        // As deep as there are processes at most.
        for _ in 0..self.rows.len() {
            match self.rows.get(&at) {
                Some(row) if own.as_ref().is_some_and(|own| !own.has(&row.process.pids())) => break,
                Some(row) if row.subreaper && row.ended.is_none() => return at,
                Some(row) if at != first => at = row.parent,
                _ => break,
            }
        }
        first
    }

    /// Gives the children of one that ends to `heir`. Returns those that have ended already,
    /// of which their parent was told: this one is to be, and does not find them before.
    pub fn orphan(&mut self, parent: Pid, heir: Pid) -> Vec<Pid> {
        let mut zombies = Vec::new();
        for (pid, row) in self.rows.iter_mut().filter(|(_, row)| row.parent == parent) {
            row.parent = heir;
            row.exit_signal = crate::signal::SIGCHLD;
            if row.ended.is_some() && std::mem::take(&mut row.told) {
                zombies.push(*pid);
            }
        }
        zombies
    }

    /// Whether no process of a group has a parent in the same session and another
    /// group: nobody could continue it.
    #[must_use]
    pub fn is_orphaned(&self, group: Pid) -> bool {
        let live = self.rows.values().filter(|row| row.group == group && row.ended.is_none());
        !live.into_iter().any(|row| {
            let parent = self.rows.get(&row.parent);
            parent.is_some_and(|p| p.group != group && p.session == row.session)
        })
    }

    /// Other groups of the session that `pid` keeps from being orphaned: those of its
    /// children, and its own if its parent controls it.
    #[must_use]
    pub fn controlled(&self, pid: Pid) -> Vec<Pid> {
        let Some(own) = self.rows.get(&pid) else { return Vec::new() };
        let children = self.rows.values().filter(|row| row.parent == pid);
        let theirs = children.filter(|row| row.group != own.group && row.session == own.session);
        let mut groups: Vec<Pid> = theirs.map(|row| row.group).collect();
        let parent = self.rows.get(&own.parent);
        if parent.is_some_and(|p| p.group != own.group && p.session == own.session) {
            groups.push(own.group);
        }
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids come again once all others were given.
    #[test]
    fn a_group_is_known_until_its_id_is_anothers() {
        let mut tree = Tree::default();
        let group = tree.new_id().unwrap();
        tree.give_back(group);
        let (mark, other) = (tree.mark(group), tree.mark(group + 1));
        assert!(Arc::ptr_eq(&mark, &tree.mark(group)));
        for _ in 0..PID_MAX - 2 {
            let id = tree.new_id().unwrap();
            assert_ne!(id, group);
            assert_eq!(tree.take_id(id), Err(Errno::EXIST), "nothing is there yet");
            tree.give_back(id);
            assert!(!mark.load(Ordering::SeqCst));
        }
        assert!(other.load(Ordering::SeqCst));
        assert_eq!((tree.new_id(), mark.load(Ordering::SeqCst)), (Ok(group), true));
        assert!(!tree.mark(group).load(Ordering::SeqCst));
    }
}
