//! How a connection comes to be, and that it didn't.

use std::net::SocketAddr;
use std::sync::Arc;

use rustix::io::Errno;

use crate::net::inbox::Inbox;
use crate::task::waiter::{lock, lock_both};

use super::{Ports, Role, Tcp};

/// How far a call of connect(2) got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It was connected already, and nobody has been told.
    Finished,
    /// It is connected now.
    Done,
    /// It goes on by itself.
    Started,
}

impl Tcp {
    /// A listener has room again: for those who found it full, the first one first, if
    /// they still want it.
    pub(super) fn let_in(self: &Arc<Self>) {
        loop {
            let next = match &mut lock(&self.state).role {
                Role::Listening { backlog, waiting, late } if waiting.len() <= *backlog => {
                    late.pop_front()
                }
                _ => None,
            };
            let Some((next, to)) = next else { return };
            if let Some(next) = next.upgrade().filter(|next| next.wants(to))
                && let Err(errno) = next.join(self)
            {
                next.fail(errno);
            }
        }
    }

    /// Whether it is about to connect there.
    pub(super) fn wants(&self, to: SocketAddr) -> bool {
        let state = lock(&self.state);
        matches!(state.role, Role::Connecting) && state.remote == Some(to)
    }

    /// Begins to connect to who has one of these ports, and hears what comes by an interface.
    /// `from` is what it is bound to if it isn't yet.
    ///
    /// # Errors
    /// `EISCONN`, `EALREADY`, `ECONNREFUSED`, `EADDRINUSE` if there is no port left
    pub fn connect(
        self: &Arc<Self>,
        to: SocketAddr,
        from: SocketAddr,
        (ports, link): (&Ports<Tcp>, u32),
    ) -> Result<Progress, Errno> {
        if let Some(progress) = self.begin(to, from)? {
            return Ok(progress);
        }
        let own = self.local();
        let listener = ports.chosen(to, own, |tcp| tcp.listens() && tcp.hears(link));
        let joined = listener.ok_or(Errno::CONNREFUSED).and_then(|l| self.join(&l));
        if joined.is_err() {
            self.unconnected();
        }
        joined
    }

    /// Gives back what a connection that did not come to be had taken.
    pub fn unconnected(&self) {
        let mut state = lock(&self.state);
        state.role = Role::Idle;
        state.failed = true;
        let held = if state.bound { None } else { state.held.take() };
        if held.is_some() {
            state.local = None;
        }
        drop(state);
        drop(held);
    }

    /// The part of [`Self::connect`] that asks nobody else: `None` if it may go on.
    ///
    /// # Errors
    /// The same.
    pub fn begin(
        self: &Arc<Self>,
        to: SocketAddr,
        from: SocketAddr,
    ) -> Result<Option<Progress>, Errno> {
        let error = self.inbox.take_error();
        let mut state = lock(&self.state);
        match &mut state.role {
            Role::Connected { told, .. } if !*told => {
                *told = true;
                return Ok(Some(Progress::Finished));
            }
            Role::Connected { .. } | Role::Listening { .. } => return Err(Errno::ISCONN),
            Role::Connecting => return Err(Errno::ALREADY),
            Role::Idle => {
                if let Some(error) = error {
                    return Err(error);
                }
            }
        }
        match state.local {
            None => {
                let (held, local) =
                    self.ports.take(SocketAddr::new(from.ip(), 0), state.wish, self)?;
                state.held = Some(held);
                state.local = Some(local);
            }
            Some(local) if local.ip().is_unspecified() => {
                state.local = Some(SocketAddr::new(from.ip(), local.port()));
                if let Some(held) = &state.held {
                    held.narrow(from.ip());
                }
            }
            Some(_) => {}
        }
        state.remote = Some(to);
        state.role = Role::Connecting;
        (state.active, state.joined) = (true, false);
        self.measured.forget();
        Ok(None)
    }

    /// Waits in the backlog of a listener, or for room in it.
    fn join(self: &Arc<Self>, listener: &Arc<Tcp>) -> Result<Progress, Errno> {
        let (local, remote) = {
            let state = lock(&self.state);
            (state.local.ok_or(Errno::INVAL)?, state.remote.ok_or(Errno::INVAL)?)
        };
        let other = listener.child(remote, local);
        // It may have become a listener itself meanwhile.
        let both = lock_both(&self.state, &listener.state);
        let (mut own_state, mut state) = both.ok_or(Errno::CONNREFUSED)?;
        let Role::Listening { backlog, waiting, late } = &mut state.role else {
            return Err(Errno::CONNREFUSED);
        };
        if waiting.len() > *backlog {
            let own = Arc::downgrade(self);
            late.retain(|(tcp, _)| tcp.strong_count() > 0 && !tcp.ptr_eq(&own));
            late.push_back((own, remote));
            return Ok(Progress::Started);
        }
        if !matches!(own_state.role, Role::Connecting) || own_state.remote != Some(remote) {
            // It was ended meanwhile, and is another's by now.
            return Ok(Progress::Started);
        }
        other.inbox.set_limit(own_state.limit);
        own_state.role = Role::Connected { peer: Arc::clone(&other.inbox), told: false };
        own_state.joined = true;
        other.connected(&self.inbox);
        waiting.push_back(other);
        listener.inbox.count_arrival();
        drop((own_state, state));
        self.changed.wake();
        listener.changed.wake();
        Ok(Progress::Done)
    }

    /// It is connected: what it sends goes to that inbox.
    pub fn connected(&self, peer: &Arc<Inbox>) {
        let mut state = lock(&self.state);
        peer.set_limit(state.limit);
        state.role = Role::Connected { peer: Arc::clone(peer), told: false };
        state.joined = true;
        drop(state);
        self.changed.wake();
    }

    /// connect(2) has said that it is connected.
    pub fn told(&self) {
        if let Role::Connected { told, .. } = &mut lock(&self.state).role {
            *told = true;
        }
    }

    /// What became of a connect that was started.
    ///
    /// # Errors
    /// `EAGAIN` if it goes on.
    pub fn outcome(&self) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        match &mut state.role {
            Role::Connected { told, .. } => {
                *told = true;
                Ok(())
            }
            Role::Connecting => Err(Errno::AGAIN),
            _ => Err(self.inbox.take_error().unwrap_or(Errno::CONNABORTED)),
        }
    }

    /// A connect that was started has failed, or the other side has reset the
    /// connection.
    pub fn fail(&self, error: Errno) {
        let connecting = matches!(lock(&self.state).role, Role::Connecting);
        if connecting {
            self.unconnected();
            self.inbox.fail(error);
        } else {
            self.inbox.reset(error);
        }
        self.changed.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::links::LOOPBACK;

    #[test]
    fn who_found_no_room_comes_in_unless_he_left() {
        let ports = Ports::new(true);
        let tcp = || Tcp::new(false, &ports);
        let place = |text: &str| text.parse::<SocketAddr>().unwrap();
        let from = place("127.0.0.1:0");
        let (listener, other) = (tcp(), tcp());
        for (socket, to) in [(&listener, "127.0.0.1:80"), (&other, "127.0.0.1:81")] {
            socket.bind(place(to)).unwrap();
            socket.listen(0).unwrap();
        }
        let connect = |tcp: &Arc<Tcp>, to: &str| tcp.connect(place(to), from, (&ports, LOOPBACK));
        let (first, last, moved) = (tcp(), tcp(), tcp());
        assert_eq!(connect(&first, "127.0.0.1:80"), Ok(Progress::Done));
        for _ in 0..100 {
            assert_eq!(connect(&tcp(), "127.0.0.1:80"), Ok(Progress::Started));
        }
        // It goes elsewhere, and waits there.
        let full = tcp();
        assert_eq!(connect(&full, "127.0.0.1:81"), Ok(Progress::Done));
        assert_eq!(connect(&moved, "127.0.0.1:80"), Ok(Progress::Started));
        moved.disconnect();
        assert_eq!(connect(&moved, "127.0.0.1:81"), Ok(Progress::Started));
        assert_eq!(connect(&last, "127.0.0.1:80"), Ok(Progress::Started));
        if let Role::Listening { late, .. } = &lock(&listener.state).role {
            assert!(late.len() < 4, "{}", late.len());
        }
        assert!(listener.accept().is_ok());
        assert_eq!(last.outcome(), Ok(()));
        assert_eq!(moved.outcome(), Err(Errno::AGAIN));
        assert!(listener.accept().is_ok());
        assert_eq!(listener.accept().err(), Some(Errno::AGAIN));
        assert!(other.accept().is_ok());
        assert_eq!(moved.outcome(), Ok(()));
        // What a listener that ends tells those who wait is for those who still do.
        let (one, two) = (tcp(), tcp());
        assert_eq!(connect(&one, "127.0.0.1:80"), Ok(Progress::Done));
        assert_eq!(connect(&two, "127.0.0.1:80"), Ok(Progress::Started));
        drop(listener);
        assert_eq!(two.outcome(), Err(Errno::CONNREFUSED));
    }
}
