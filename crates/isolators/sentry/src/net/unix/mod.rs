//! UNIX sockets, which live in the sentry alone.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::task::WaitQueue;
use crate::task::waiter::{Waiter, lock, lock_both};
use crate::vfs::Ready;

use crate::net::inbox::{Inbox, Received, Sender};
use crate::net::socket::{Outgoing, Type};

mod close;
mod names;

pub use names::{Name, Names};

/// `AF_UNIX`
pub const FAMILY: u16 = 1;
/// Datagrams that wait at a socket (`net.unix.max_dgram_qlen`).
const DATAGRAMS: usize = 10;

#[derive(Debug)]
enum Role {
    Idle,
    Listening {
        backlog: usize,
        waiting: VecDeque<Arc<Unix>>,
        owner: Sender,
    },
    /// A stream or a pair: the other side's inbox.
    Connected(Arc<Inbox>),
    /// Datagrams: where they go.
    Directed(Weak<Unix>),
}

#[derive(Debug)]
struct State {
    name: Option<Name>,
    role: Role,
    peer_name: Option<Vec<u8>>,
    peer: Option<Sender>,
    limit: usize,
    /// Nothing more is sent from here.
    send_shut: bool,
}

/// A UNIX socket.
#[derive(Debug)]
pub struct Unix {
    /// Stream, datagram or records.
    pub kind: Type,
    /// What was sent to it.
    pub inbox: Arc<Inbox>,
    /// Woken when its role changes, and when a listener has connections or room.
    changed: WaitQueue,
    state: Mutex<State>,
    /// Nobody has it open any more.
    closed: AtomicBool,
}

impl Unix {
    /// Bound to nothing.
    #[must_use]
    pub fn new(kind: Type, limit: usize) -> Arc<Self> {
        let (name, peer_name, peer, send_shut) = (None, None, None, false);
        let state = State { name, role: Role::Idle, peer_name, peer, limit, send_shut };
        let (inbox, changed) = (Inbox::new(limit), WaitQueue::default());
        let (state, closed) = (Mutex::new(state), AtomicBool::new(false));
        Arc::new(Unix { kind, inbox, changed, state, closed })
    }

    /// Two that are connected.
    #[must_use]
    pub fn pair(kind: Type, limit: usize, owner: Sender) -> [Arc<Self>; 2] {
        let (one, two) = (Self::new(kind, limit), Self::new(kind, limit));
        for (from, to) in [(&one, &two), (&two, &one)] {
            let mut state = lock(&from.state);
            state.role = match kind {
                Type::Datagram => Role::Directed(Arc::downgrade(to)),
                _ => Role::Connected(Arc::clone(&to.inbox)),
            };
            state.peer = Some(owner);
        }
        [one, two]
    }

    /// The limit of what may be on the way from here.
    pub fn set_limit(&self, limit: usize) {
        let mut state = lock(&self.state);
        state.limit = limit;
        if let Role::Connected(peer) = &state.role {
            peer.set_limit(limit);
        }
    }

    /// Its name as `struct sockaddr_un`.
    #[must_use]
    pub fn name(&self) -> Option<Vec<u8>> {
        lock(&self.state).name.as_ref().map(Name::bytes)
    }

    /// Whether it has a name.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        lock(&self.state).name.is_some()
    }

    /// The other side's name.
    ///
    /// # Errors
    /// `ENOTCONN`
    pub fn peer_name(&self) -> Result<Vec<u8>, Errno> {
        let state = lock(&self.state);
        match &state.role {
            Role::Connected(_) => {
                Ok(state.peer_name.clone().unwrap_or_else(|| FAMILY.to_le_bytes().to_vec()))
            }
            Role::Directed(peer) => {
                let peer = peer.upgrade();
                drop(state);
                let name = peer.ok_or(Errno::NOTCONN)?.name();
                Ok(name.unwrap_or_else(|| FAMILY.to_le_bytes().to_vec()))
            }
            _ => Err(Errno::NOTCONN),
        }
    }

    /// `SO_PEERCRED`
    #[must_use]
    pub fn peer(&self) -> Option<Sender> {
        lock(&self.state).peer
    }

    /// Whether it is a listener.
    #[must_use]
    pub fn listens(&self) -> bool {
        matches!(lock(&self.state).role, Role::Listening { .. })
    }

    /// Takes a name.
    ///
    /// # Errors
    /// `EINVAL` if it has one, `EADDRINUSE` if another socket has that one.
    pub fn bind(self: &Arc<Self>, names: &Names, name: Name) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        if state.name.is_some() {
            return Err(Errno::INVAL);
        }
        names.enter(&name, self)?;
        state.name = Some(name);
        Ok(())
    }

    /// Lets others connect.
    ///
    /// # Errors
    /// `EINVAL` without a name, `EOPNOTSUPP` for datagrams.
    pub fn listen(&self, backlog: usize, owner: Sender) -> Result<(), Errno> {
        if self.kind == Type::Datagram {
            return Err(Errno::OPNOTSUPP);
        }
        let mut state = lock(&self.state);
        let named = state.name.is_some();
        match &mut state.role {
            Role::Idle if named => {
                state.role = Role::Listening { backlog, waiting: VecDeque::new(), owner };
            }
            Role::Listening { backlog: old, .. } => *old = backlog,
            _ => return Err(Errno::INVAL),
        }
        drop(state);
        self.changed.wake();
        Ok(())
    }

    /// The next connection.
    ///
    /// # Errors
    /// `EAGAIN` if there is none.
    pub fn accept(&self) -> Result<Arc<Unix>, Errno> {
        if self.kind == Type::Datagram {
            return Err(Errno::OPNOTSUPP);
        }
        let mut state = lock(&self.state);
        let Role::Listening { backlog, waiting, .. } = &mut state.role else {
            return Err(Errno::INVAL);
        };
        let full = waiting.len() > *backlog;
        let none = if self.inbox.is_shut() { Errno::INVAL } else { Errno::AGAIN };
        let next = waiting.pop_front().ok_or(none)?;
        drop(state);
        if full {
            self.changed.wake();
        }
        Ok(next)
    }

    /// Puts a connection back that was taken in vain.
    pub fn give_back(&self, other: &Arc<Unix>) {
        if let Role::Listening { waiting, .. } = &mut lock(&self.state).role {
            waiting.push_front(Arc::clone(other));
        }
        self.changed.wake();
    }

    /// Connects to `target`.
    ///
    /// # Errors
    /// `EAGAIN` if its backlog is full: [`Self::watch`] it meanwhile.
    pub fn connect(self: &Arc<Self>, target: &Arc<Unix>, owner: Sender) -> Result<(), Errno> {
        if self.kind != target.kind {
            return Err(Errno::PROTOTYPE);
        }
        if self.kind == Type::Datagram {
            // The other side may take datagrams from one peer alone.
            target.takes_from(self)?;
            lock(&self.state).role = Role::Directed(Arc::downgrade(target));
            self.changed.wake();
            return Ok(());
        }
        let (limit, own_name) = {
            let state = lock(&self.state);
            match state.role {
                Role::Idle => (state.limit, state.name.as_ref().map(Name::bytes)),
                Role::Connected(_) => return Err(Errno::ISCONN),
                _ => return Err(Errno::INVAL),
            }
        };
        let other = Unix::new(self.kind, limit);
        // Both may become listeners meanwhile, and connect to each other.
        let both = lock_both(&self.state, &target.state);
        let (mut own, mut state) = both.ok_or(Errno::CONNREFUSED)?;
        match own.role {
            Role::Idle => {}
            Role::Listening { .. } => return Err(Errno::INVAL),
            _ => return Err(Errno::ISCONN),
        }
        let name = state.name.clone();
        let Role::Listening { backlog, waiting, owner: listener } = &mut state.role else {
            return Err(Errno::CONNREFUSED);
        };
        if target.inbox.is_shut() {
            return Err(Errno::CONNREFUSED);
        }
        if waiting.len() > *backlog {
            return Err(Errno::AGAIN);
        }
        let listener = *listener;
        {
            let mut theirs = lock(&other.state);
            theirs.role = Role::Connected(Arc::clone(&self.inbox));
            theirs.name.clone_from(&name);
            theirs.peer_name = own_name;
            theirs.peer = Some(owner);
        }
        own.role = Role::Connected(Arc::clone(&other.inbox));
        own.peer = Some(listener);
        own.peer_name = name.as_ref().map(Name::bytes);
        waiting.push_back(other);
        target.inbox.count_arrival();
        drop((own, state));
        target.changed.wake();
        self.changed.wake();
        Ok(())
    }

    /// Sends datagrams nowhere in particular again.
    pub fn disconnect(&self) {
        let mut state = lock(&self.state);
        if matches!(state.role, Role::Directed(_)) {
            state.role = Role::Idle;
            drop(state);
            // Whoever waited for room where it went may send no more.
            self.changed.wake();
        }
    }

    fn takes_from(&self, sender: &Arc<Unix>) -> Result<(), Errno> {
        match &lock(&self.state).role {
            Role::Directed(peer) if !peer.ptr_eq(&Arc::downgrade(sender)) => Err(Errno::PERM),
            _ => Ok(()),
        }
    }

    /// Where its datagrams go.
    fn directed(&self) -> Result<Arc<Unix>, Errno> {
        match &lock(&self.state).role {
            Role::Directed(peer) => {
                peer.upgrade().filter(|peer| !peer.is_closed()).ok_or(Errno::CONNREFUSED)
            }
            _ => Err(Errno::NOTCONN),
        }
    }

    /// Sends a packet: the whole of `message.packet`, or nothing.
    ///
    /// # Errors
    /// `EAGAIN` if there is no room.
    pub fn send(
        self: &Arc<Self>,
        message: &mut Outgoing,
        to: Option<&Arc<Unix>>,
    ) -> Result<(), Errno> {
        let (send_shut, limit, peer) = {
            let state = lock(&self.state);
            let peer = match &state.role {
                Role::Connected(peer) => Some(Arc::clone(peer)),
                _ => None,
            };
            (state.send_shut, state.limit, peer)
        };
        if self.kind == Type::Datagram {
            if send_shut {
                return Err(Errno::PIPE);
            }
            let target = match to {
                Some(target) => Arc::clone(target),
                None => self.directed().inspect_err(|_| self.disconnect())?,
            };
            if target.is_closed() {
                return Err(Errno::CONNREFUSED);
            }
            if target.kind != self.kind {
                return Err(Errno::PROTOTYPE);
            }
            if message.packet.bytes.len() > limit.saturating_sub(32) {
                return Err(Errno::MSGSIZE);
            }
            target.takes_from(self)?;
            if target.inbox.packets() > DATAGRAMS && !target.inbox.is_shut() {
                return Err(Errno::AGAIN);
            }
            message.packet.from = self.name();
            return target.inbox.put(&mut message.packet, |_| Vec::new());
        }
        let Some(peer) = peer else {
            return Err(if to.is_some() { Errno::OPNOTSUPP } else { Errno::NOTCONN });
        };
        if to.is_some() && self.kind == Type::Stream {
            return Err(Errno::ISCONN);
        }
        if let Some(error) = self.inbox.take_error() {
            return Err(error);
        }
        if self.kind == Type::Records && message.packet.bytes.len() > limit.saturating_sub(32) {
            return Err(Errno::MSGSIZE);
        }
        if self.kind == Type::Stream && message.packet.bytes.is_empty() {
            // Nothing to send; but to a closed one it is an error.
            return if peer.is_shut() { Err(Errno::PIPE) } else { Ok(()) };
        }
        if message.urgent {
            return peer.push_apart(&mut message.packet);
        }
        peer.push(&mut message.packet, self.kind == Type::Stream)
    }

    /// Receives.
    ///
    /// # Errors
    /// `EAGAIN` if there is nothing.
    pub fn receive(&self, room: usize, peek: bool, apart: bool) -> Result<Received, Errno> {
        if self.kind == Type::Datagram {
            let received = self.inbox.datagram(room, peek)?;
            if let (false, Some(peer)) = (peek, self.directed().ok()) {
                // Whether it may send depends on that.
                peer.changed.wake();
            }
            self.changed.wake();
            return Ok(received);
        }
        if !matches!(lock(&self.state).role, Role::Connected(_)) {
            let stream = self.kind == Type::Stream;
            return Err(if stream { Errno::INVAL } else { Errno::NOTCONN });
        }
        if self.kind == Type::Stream {
            self.inbox.stream(room, peek, apart)
        } else {
            self.inbox.datagram(room, peek)
        }
    }

    /// Takes the byte that was sent out of band, or looks at it.
    ///
    /// # Errors
    /// `EINVAL` if there is none, or no connection; `EOPNOTSUPP` unless it is a stream.
    pub fn urgent(&self, peek: bool) -> Result<u8, Errno> {
        let connected = matches!(lock(&self.state).role, Role::Connected(_));
        match self.kind {
            Type::Stream if connected => self.inbox.take_apart(peek),
            Type::Stream => Err(Errno::INVAL),
            Type::Records if !connected => Err(Errno::NOTCONN),
            _ => Err(Errno::OPNOTSUPP),
        }
    }

    /// shutdown(2).
    ///
    /// # Errors
    /// `ENOTCONN`
    pub fn shutdown(&self, receive: bool, send: bool) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        state.send_shut |= send;
        let peer = match &state.role {
            Role::Connected(peer) => Some(Arc::clone(peer)),
            _ => None,
        };
        drop(state);
        if receive {
            self.inbox.shut();
        }
        if let (true, Some(peer)) = (send, peer) {
            peer.shut();
        }
        self.changed.wake();
        Ok(())
    }

    /// What poll(2) tells.
    #[must_use]
    pub fn ready(&self) -> Ready {
        let state = lock(&self.state);
        let mut ready = Ready::empty();
        let (peer_shut, writable) = match &state.role {
            Role::Listening { waiting, .. } => {
                let shut = self.inbox.is_shut();
                ready.set(Ready::IN | Ready::RDNORM, shut || !waiting.is_empty());
                ready.set(Ready::RDHUP, shut);
                ready.set(Ready::HUP, shut && state.send_shut);
                return ready;
            }
            Role::Connected(peer) => (peer.is_shut(), peer.is_shut() || peer.has_room()),
            Role::Directed(peer) => {
                let room = |p: Arc<Unix>| p.inbox.packets() <= DATAGRAMS || p.inbox.is_shut();
                (state.send_shut, peer.upgrade().is_none_or(room))
            }
            Role::Idle => (state.send_shut, true),
        };
        let unconnected = matches!(state.role, Role::Idle) && self.kind != Type::Datagram;
        drop(state);
        let shut = self.inbox.is_shut();
        ready.set(Ready::IN | Ready::RDNORM, shut || self.inbox.packets() > 0);
        ready.set(Ready::PRI, self.inbox.has_urgent());
        ready.set(Ready::RDHUP, shut);
        ready.set(Ready::HUP, unconnected || (shut && peer_shut));
        ready.set(Ready::ERR, self.inbox.has_error());
        ready.set(Ready::OUT | Ready::WRNORM | Ready::WRBAND, writable);
        ready
    }

    /// Has the waiter called when that changes.
    pub fn watch(&self, waiter: &Arc<Waiter>) {
        self.changed.join(waiter);
        self.inbox.readable.join(waiter);
        match &lock(&self.state).role {
            Role::Connected(peer) => peer.room.join(waiter),
            Role::Directed(peer) => {
                if let Some(peer) = peer.upgrade() {
                    peer.changed.join(waiter);
                }
            }
            _ => {}
        }
    }

    /// Has the waiter called when this one may take a connection or a datagram.
    pub fn watch_for_room(&self, waiter: &Arc<Waiter>) {
        self.changed.join(waiter);
        self.inbox.room.join(waiter);
    }

    /// Bytes that were sent from here and not received.
    #[must_use]
    pub fn unsent(&self) -> usize {
        match &lock(&self.state).role {
            Role::Connected(peer) => peer.bytes().0,
            _ => 0,
        }
    }
}
