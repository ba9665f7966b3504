//! How a UNIX socket ends.

use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::{Role, Unix};

impl Unix {
    /// Whether nobody has it open any more, although somebody may still wait for it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Nobody has it open any more: those who are connected, or wait, are told.
    pub fn close(&self) {
        if self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        let state = std::mem::replace(&mut lock(&self.state).role, Role::Idle);
        let unread = self.inbox.has_unread();
        self.inbox.shut();
        match state {
            Role::Connected(peer) => {
                if unread {
                    peer.fail(Errno::CONNRESET);
                }
                peer.shut();
            }
            Role::Listening { waiting, .. } => {
                for other in waiting {
                    if let Role::Connected(peer) = &lock(&other.state).role {
                        peer.fail(Errno::CONNRESET);
                    }
                }
            }
            Role::Directed(peer) => {
                if let Some(peer) = peer.upgrade() {
                    peer.changed.wake();
                }
            }
            Role::Idle => {}
        }
        self.inbox.clear();
        self.changed.wake();
    }
}

impl Drop for Unix {
    fn drop(&mut self) {
        // Of one that waited in a backlog no file was made.
        self.close();
    }
}
