//! TCP sockets. The two sides of a connection on this machine write into each other's
//! inboxes, without packets; what Linux shows of packets (a reset, a refusal, a
//! connection that comes to be later) is shown all the same.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::net::inbox::{Inbox, Packet, Received};
use crate::net::socket::Options;
use crate::task::WaitQueue;
use crate::task::waiter::{Waiter, lock};
use crate::vfs::Ready;

use crate::net::inet::address;
use crate::net::inet::ports::{Held, Ports, Wish};

/// What may be on the way in one direction, if nobody sets another limit.
pub const BUFFER: usize = 1 << 20;

mod backlog;
mod connect;
mod measure;
mod patience;

pub use connect::Progress;
use measure::Measured;
pub use patience::Patience;

#[derive(Debug)]
enum Role {
    Idle,
    Listening {
        backlog: usize,
        waiting: VecDeque<Arc<Tcp>>,
        /// Who found it full, and the address that he wants.
        late: VecDeque<(Weak<Tcp>, SocketAddr)>,
    },
    /// A backlog is full, or the other side has not answered yet.
    Connecting,
    /// To the other side's inbox. `told`: connect(2) has said so.
    Connected {
        peer: Arc<Inbox>,
        told: bool,
    },
}

#[derive(Debug)]
struct State {
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    held: Option<Held<Tcp>>,
    /// Its address was asked for.
    bound: bool,
    /// A connection did not come to be.
    failed: bool,
    /// It asked for its connection.
    active: bool,
    /// There was one.
    joined: bool,
    role: Role,
    wish: Wish,
    receive_shut: bool,
    send_shut: bool,
    /// `SO_LINGER` with no time: closed by a reset.
    abrupt: bool,
    limit: usize,
    patience: Patience,
}

/// A TCP socket.
#[derive(Debug)]
pub struct Tcp {
    /// Whether it is of `AF_INET6`.
    is_v6: AtomicBool,
    /// What came to it.
    pub inbox: Arc<Inbox>,
    /// What is known of its packets, if there are any.
    pub measured: Measured,
    changed: WaitQueue,
    ports: Arc<Ports<Tcp>>,
    state: Mutex<State>,
}

impl Tcp {
    /// Bound to nothing.
    #[must_use]
    pub fn new(is_v6: bool, ports: &Arc<Ports<Tcp>>) -> Arc<Self> {
        let state = State {
            local: None,
            remote: None,
            held: None,
            bound: false,
            failed: false,
            active: false,
            joined: false,
            role: Role::Idle,
            wish: Wish::default(),
            receive_shut: false,
            send_shut: false,
            abrupt: false,
            limit: BUFFER,
            patience: Patience::default(),
        };
        Arc::new(Tcp {
            is_v6: AtomicBool::new(is_v6),
            inbox: Inbox::new(BUFFER),
            measured: Measured::default(),
            changed: WaitQueue::default(),
            ports: Arc::clone(ports),
            state: Mutex::new(state),
        })
    }

    /// Whether it is of `AF_INET6`.
    #[must_use]
    pub fn is_v6(&self) -> bool {
        self.is_v6.load(Ordering::Relaxed)
    }

    /// Is of `AF_INET` from now on.
    pub fn become_v4(&self) {
        self.is_v6.store(false, Ordering::Relaxed);
    }

    /// Its address; any if it has none yet.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        let none = SocketAddr::new(address::any(self.is_v6()), 0);
        lock(&self.state).local.unwrap_or(none)
    }

    /// The other side's address.
    ///
    /// # Errors
    /// `ENOTCONN`
    pub fn remote(&self) -> Result<SocketAddr, Errno> {
        let state = lock(&self.state);
        match state.role {
            Role::Connected { .. } if !self.inbox.is_reset() => state.remote.ok_or(Errno::NOTCONN),
            _ => Err(Errno::NOTCONN),
        }
    }

    /// The other side's address, if it had one at any time.
    #[must_use]
    pub fn remote_ever(&self) -> SocketAddr {
        let none = SocketAddr::new(address::any(self.is_v6()), 0);
        lock(&self.state).remote.unwrap_or(none)
    }

    /// `tcpi_state`: the states of RFC 9293 by Linux's numbers.
    #[must_use]
    pub fn number(&self) -> u8 {
        const NUMBERS: [u8; 4] = [1, 8, 4, 5];
        let state = lock(&self.state);
        match state.role {
            Role::Idle => 7,
            Role::Connected { .. } if self.inbox.is_reset() => 7,
            Role::Listening { .. } => 10,
            Role::Connecting => 2,
            Role::Connected { .. } => {
                let index = usize::from(self.inbox.is_shut()) + 2 * usize::from(state.send_shut);
                NUMBERS.get(index).copied().unwrap_or(1)
            }
        }
    }

    /// Takes other options.
    pub fn set(&self, change: impl FnOnce(&mut Wish)) {
        let mut state = lock(&self.state);
        change(&mut state.wish);
        if let Some(held) = &state.held {
            held.set(state.wish);
        }
    }

    /// Whether nothing of IPv4 comes to it.
    #[must_use]
    pub fn only_v6(&self) -> bool {
        lock(&self.state).wish.only_v6
    }

    /// Whether it takes what comes by an interface.
    #[must_use]
    pub fn hears(&self, link: u32) -> bool {
        lock(&self.state).wish.hears(link)
    }

    /// The interface that it is bound to; 0 for none.
    #[must_use]
    pub fn device(&self) -> u32 {
        lock(&self.state).wish.device
    }

    /// How long the other side may be silent.
    #[must_use]
    pub fn patience(&self) -> Patience {
        lock(&self.state).patience
    }

    /// Does as its socket's options say; whether its patience is another one now.
    pub fn follow(&self, options: &Options) -> bool {
        self.inbox.set_low_water(options.low_water);
        self.inbox.set_urgent_inline(options.urgent_inline);
        let patience = Patience::of(options);
        let mut state = lock(&self.state);
        // Closed by a reset.
        state.abrupt = options.linger == Some(0);
        std::mem::replace(&mut state.patience, patience) != patience
    }

    /// What may be on the way to the other side.
    pub fn set_limit(&self, limit: usize) {
        let mut state = lock(&self.state);
        state.limit = limit;
        if let Role::Connected { peer, .. } = &state.role {
            peer.set_limit(limit);
        }
    }

    /// Whether it is a listener.
    #[must_use]
    pub fn listens(&self) -> bool {
        matches!(lock(&self.state).role, Role::Listening { .. })
    }

    /// Takes an address.
    ///
    /// # Errors
    /// `EINVAL` if it has one, `EADDRINUSE`.
    pub fn bind(self: &Arc<Self>, address: SocketAddr) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        if state.local.is_some() || !matches!(state.role, Role::Idle) {
            return Err(Errno::INVAL);
        }
        let (held, address) = self.ports.take(address, state.wish, self)?;
        state.held = Some(held);
        state.local = Some(address);
        state.bound = true;
        Ok(())
    }

    /// Lets others connect.
    ///
    /// # Errors
    /// `EINVAL` if it is connected, `EADDRINUSE` if another listens there.
    pub fn listen(self: &Arc<Self>, backlog: usize) -> Result<(), Errno> {
        if !self.listens() && lock(&self.state).local.is_none() {
            self.bind(SocketAddr::new(address::any(self.is_v6()), 0))?;
        }
        let mut state = lock(&self.state);
        let wish = Wish { listens: true, ..state.wish };
        match &mut state.role {
            Role::Listening { backlog: old, .. } => *old = backlog,
            Role::Idle => {
                state.held.as_ref().ok_or(Errno::INVAL)?.listen(wish)?;
                let (waiting, late) = (VecDeque::new(), VecDeque::new());
                state.role = Role::Listening { backlog, waiting, late };
            }
            _ => return Err(Errno::INVAL),
        }
        drop(state);
        self.changed.wake();
        Ok(())
    }

    /// Sends a piece: all of it, or nothing; the last byte as urgent data, if `urgent`. If
    /// the call has `begun`, its end does not tell the socket's error.
    ///
    /// # Errors
    /// `EAGAIN` if there is no room, `EPIPE` if the connection is over.
    pub fn send(&self, packet: &mut Packet, urgent: bool, begun: bool) -> Result<(), Errno> {
        if begun && self.inbox.has_error() {
            return Err(Errno::PIPE);
        }
        if let Some(error) = self.inbox.take_error() {
            return Err(error);
        }
        let state = lock(&self.state);
        if state.send_shut || self.inbox.is_reset() {
            return Err(Errno::PIPE);
        }
        let peer = match &state.role {
            Role::Connected { peer, .. } => Arc::clone(peer),
            Role::Connecting => return Err(Errno::AGAIN),
            _ => return Err(Errno::PIPE),
        };
        drop(state);
        if packet.bytes.is_empty() {
            return Ok(());
        }
        let last = if urgent { packet.bytes.pop() } else { None };
        let pushed = if packet.bytes.is_empty() { Ok(()) } else { peer.push(packet, true) };
        let pushed = match last {
            Some(_) if pushed.is_ok() => peer.check_urgent(),
            _ => pushed,
        };
        match (pushed, last) {
            (Ok(()), Some(byte)) => peer.push_urgent(byte),
            (Err(Errno::AGAIN), Some(byte)) => packet.bytes.push(byte),
            _ => {}
        }
        match pushed {
            Err(Errno::PIPE) => {
                // Nobody is there: the first piece is sent, and answered by a reset.
                *packet = Packet::default();
                let error = if self.inbox.is_shut() { Errno::PIPE } else { Errno::CONNRESET };
                self.fail(error);
                Ok(())
            }
            other => other,
        }
    }

    /// Whether a read of so many bytes that may wait does not.
    #[must_use]
    pub fn has_enough(&self, room: usize) -> bool {
        let state = lock(&self.state);
        let open = matches!(state.role, Role::Connected { .. }) && !state.receive_shut;
        !open || self.inbox.has_enough(room)
    }

    /// Receives.
    ///
    /// # Errors
    /// `EAGAIN` if there is nothing, `ENOTCONN`
    pub fn receive(&self, room: usize, peek: bool) -> Result<Received, Errno> {
        let state = lock(&self.state);
        let receive_shut = state.receive_shut;
        match state.role {
            Role::Idle if self.inbox.has_error() => {}
            Role::Idle | Role::Listening { .. } => return Err(Errno::NOTCONN),
            Role::Connecting => return Err(Errno::AGAIN),
            Role::Connected { .. } => {}
        }
        drop(state);
        match self.inbox.stream(room, peek, false) {
            Err(Errno::AGAIN) if receive_shut => Ok(Received::default()),
            // The end of the stream came before the reset.
            Err(Errno::PIPE) => Ok(Received::default()),
            other => other,
        }
    }

    /// shutdown(2).
    ///
    /// # Errors
    /// `ENOTCONN`
    pub fn shutdown(&self, receive: bool, send: bool) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        match &mut state.role {
            Role::Connected { peer, .. } => {
                let peer = Arc::clone(peer);
                state.receive_shut |= receive;
                state.send_shut |= send;
                drop(state);
                if send {
                    peer.shut();
                }
            }
            Role::Listening { .. } if receive => {
                // It stops to listen.
                let role = std::mem::replace(&mut state.role, Role::Idle);
                if let Some(held) = &state.held {
                    held.end_listening();
                }
                drop(state);
                abandon(role);
            }
            Role::Listening { .. } => {}
            _ => return Err(Errno::NOTCONN),
        }
        self.inbox.readable.wake();
        self.changed.wake();
        Ok(())
    }

    /// Ends the connection, so that it can be used for another: connect(2) with
    /// `AF_UNSPEC`.
    pub fn disconnect(&self) {
        let role = std::mem::replace(&mut lock(&self.state).role, Role::Idle);
        abandon(role);
        self.unconnected();
        self.inbox.clear();
        self.inbox.renew();
        lock(&self.state).failed = false;
        self.changed.wake();
    }

    /// What poll(2) tells.
    #[must_use]
    pub fn ready(&self) -> Ready {
        let state = lock(&self.state);
        let shut = self.inbox.is_shut();
        let mut ready = Ready::empty();
        let (hang_up, writable) = match &state.role {
            Role::Listening { waiting, .. } => {
                return if waiting.is_empty() { ready } else { Ready::IN | Ready::RDNORM };
            }
            Role::Connecting => return ready,
            Role::Idle => (true, true),
            Role::Connected { peer, .. } => {
                let both = state.send_shut && (shut || state.receive_shut);
                let both = both || self.inbox.is_reset();
                (both, state.send_shut || peer.is_shut() || peer.has_room())
            }
        };
        let idle = matches!(state.role, Role::Idle);
        let ended = shut || state.receive_shut || (idle && state.failed);
        let failed = self.inbox.has_error();
        ready.set(Ready::IN | Ready::RDNORM, ended || failed || self.inbox.is_readable());
        ready.set(Ready::RDHUP, ended || (failed && hang_up));
        ready.set(Ready::HUP, hang_up);
        ready.set(Ready::ERR, failed);
        ready.set(Ready::PRI, self.inbox.has_urgent());
        ready.set(Ready::OUT | Ready::WRNORM, writable);
        ready
    }

    /// Has the waiter called when that changes.
    pub fn watch(&self, waiter: &Arc<Waiter>) {
        self.changed.join(waiter);
        self.inbox.readable.join(waiter);
        if let Role::Connected { peer, .. } = &lock(&self.state).role {
            peer.room.join(waiter);
        }
    }
}

/// Resets what waits for, or in, a role that ends.
fn abandon(role: Role) {
    match role {
        Role::Connected { peer, .. } => {
            peer.reset(if peer.is_shut() { Errno::PIPE } else { Errno::CONNRESET });
        }
        Role::Listening { waiting, late, .. } => {
            for other in &waiting {
                lock(&other.state).abrupt = true;
            }
            for (other, to) in late {
                if let Some(other) = other.upgrade().filter(|other| other.wants(to)) {
                    other.fail(Errno::CONNREFUSED);
                }
            }
        }
        _ => {}
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        let (role, abrupt) = {
            let mut state = lock(&self.state);
            (std::mem::replace(&mut state.role, Role::Idle), state.abrupt)
        };
        let unread = self.inbox.packets() > 0;
        self.inbox.shut();
        match role {
            Role::Connected { peer, .. } if !unread && !abrupt => peer.shut(),
            other => abandon(other),
        }
        self.inbox.clear();
    }
}
