//! Connections that wait at a listener.

use std::net::SocketAddr;
use std::sync::Arc;

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::{Role, Tcp};

impl Tcp {
    /// The next connection.
    ///
    /// # Errors
    /// `EAGAIN` if there is none, `EINVAL` if it doesn't listen.
    pub fn accept(self: &Arc<Self>) -> Result<Arc<Tcp>, Errno> {
        let mut state = lock(&self.state);
        let Role::Listening { waiting, .. } = &mut state.role else {
            return Err(Errno::INVAL);
        };
        let next = waiting.pop_front().ok_or(Errno::AGAIN)?;
        drop(state);
        self.let_in();
        Ok(next)
    }

    /// Puts a connection back that was taken in vain.
    pub fn give_back(&self, other: &Arc<Tcp>) {
        if let Role::Listening { waiting, .. } = &mut lock(&self.state).role {
            waiting.push_front(Arc::clone(other));
        }
        self.changed.wake();
    }

    /// A connection of this listener that is not connected yet.
    #[must_use]
    pub fn child(self: &Arc<Self>, local: SocketAddr, remote: SocketAddr) -> Arc<Tcp> {
        let child = Tcp::new(self.is_v6(), &self.ports);
        let (wish, limit, patience) = {
            let state = lock(&self.state);
            (state.wish, state.limit, state.patience)
        };
        let held = self.ports.share(local, wish, &child);
        let mut state = lock(&child.state);
        (state.local, state.remote, state.held) = (Some(local), Some(remote), Some(held));
        (state.wish, state.limit, state.patience) = (wish, limit, patience);
        drop(state);
        child
    }

    /// Whether a connection from outside may wait here.
    #[must_use]
    pub fn has_room(&self) -> bool {
        match &lock(&self.state).role {
            Role::Listening { backlog, waiting, .. } => waiting.len() <= *backlog,
            _ => false,
        }
    }

    /// Puts a connection from outside into the backlog.
    ///
    /// # Errors
    /// `ECONNREFUSED` if it listens no more.
    pub fn arrive(&self, child: Arc<Tcp>) -> Result<(), Errno> {
        match &mut lock(&self.state).role {
            Role::Listening { waiting, .. } => waiting.push_back(child),
            _ => return Err(Errno::CONNREFUSED),
        }
        self.inbox.count_arrival();
        self.changed.wake();
        Ok(())
    }
}
