//! What can be mounted on in procfs, where names are not cached.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::task::waiter::lock;

use super::super::entry::CACHED;
use super::super::{Entry, Node};

impl Entry {
    /// Has a name of procfs, where names are not cached, be found with what covers it.
    pub(super) fn pin(self: &Arc<Self>) {
        let mut at = Arc::clone(self);
        while matches!(at.node, Node::Proc(_)) && !at.is_root() {
            let Some(parent) = at.parent() else { return };
            let before = lock(&parent.children).insert(at.name(), Arc::clone(&at));
            if before.is_none() {
                CACHED.fetch_add(1, Ordering::Relaxed);
            }
            at = parent;
        }
    }

    /// Whether something can be mounted here: what is a process's own comes and goes with it.
    pub(super) fn can_be_covered(self: &Arc<Self>) -> bool {
        let mut at = Arc::clone(self);
        while let Node::Proc(node) = &at.node
            && !at.is_root()
        {
            let Some(parent) = at.parent().filter(|_| node.is_lasting()) else { return false };
            at = parent;
        }
        true
    }
}
