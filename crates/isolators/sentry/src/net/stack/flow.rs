//! A connection with another machine: between its socket in the stack and the inboxes
//! of the guest's socket.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{self, RecvError, State};

use crate::net::inbox::{Inbox, Packet};
use crate::net::inet::Tcp;
use crate::task::waiter::Waiter;

use super::silence::Silence;

/// Bytes that are on the way in each direction at most.
const WINDOW: usize = 256 << 10;

/// How long another machine that has asked for a connection may take to confirm it.
const HURRY: Duration = Duration::from_secs(30);

/// How far a connection is.
enum Stage {
    /// The guest has asked for it.
    Connecting(Weak<Tcp>),
    /// Another machine has: by which listener it goes to the guest.
    Arriving(Weak<Tcp>, Arc<Tcp>),
    Open(Weak<Tcp>),
}

/// A connection.
pub(super) struct Flow {
    pub(super) handle: SocketHandle,
    stage: Stage,
    /// What the guest receives.
    inbox: Arc<Inbox>,
    /// What the guest sends.
    wire: Arc<Inbox>,
    /// What is sent next.
    rest: Packet,
    since: Instant,
    silence: Silence,
    /// It is over, but for what its socket still has to say: a reset, or that the other
    /// side's end has arrived.
    ended: bool,
}

pub(super) fn time(duration: Duration) -> smoltcp::time::Duration {
    smoltcp::time::Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// A socket of the stack for one connection; `asked` if it is another machine's wish.
pub(super) fn socket(asked: bool) -> tcp::Socket<'static> {
    let buffer = || tcp::SocketBuffer::new(vec![0; WINDOW]);
    let mut socket = tcp::Socket::new(buffer(), buffer());
    socket.set_nagle_enabled(false);
    socket.set_ack_delay(None);
    socket.set_timeout(asked.then(|| time(HURRY)));
    socket
}

impl Flow {
    /// Of a connect(2).
    pub(super) fn connecting(handle: SocketHandle, tcp: &Arc<Tcp>) -> Self {
        Flow::new(handle, Stage::Connecting(Arc::downgrade(tcp)), &tcp.inbox)
    }

    /// To a listener.
    pub(super) fn arriving(handle: SocketHandle, listener: &Arc<Tcp>, child: Arc<Tcp>) -> Self {
        let inbox = Arc::clone(&child.inbox);
        Flow::new(handle, Stage::Arriving(Arc::downgrade(listener), child), &inbox)
    }

    fn new(handle: SocketHandle, stage: Stage, inbox: &Arc<Inbox>) -> Self {
        let (inbox, wire) = (Arc::clone(inbox), Inbox::new(WINDOW));
        // To other machines it goes with the rest.
        wire.set_urgent_inline(true);
        let (rest, since, ended) = (Packet::default(), Instant::now(), false);
        Flow { handle, stage, inbox, wire, rest, since, silence: Silence::new(), ended }
    }

    /// Whether it still waits for the other machine's answer.
    pub(super) fn is_half_open(&self) -> bool {
        !matches!(self.stage, Stage::Open(_))
    }

    /// Whether another machine has asked for it, and not confirmed yet.
    pub(super) fn is_arriving(&self) -> bool {
        matches!(self.stage, Stage::Arriving(..))
    }

    /// Since when it is there.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// When [`Self::pump`] is to be called at the latest.
    pub(super) fn due(&self) -> Option<Instant> {
        self.silence.due
    }

    /// Something came from the other machine, which the stack does not know yet.
    pub(super) fn hear(&mut self, socket: &mut tcp::Socket<'_>) {
        self.silence.hear(socket);
    }

    /// Whether the next round is its last: [`Self::pump`] is to be called once more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Moves what can be moved; whether it goes on. `poke` is called when the guest has
    /// moved something.
    pub(super) fn pump(&mut self, socket: &mut tcp::Socket<'_>, poke: &Arc<Waiter>) -> bool {
        if self.ended {
            return false;
        }
        // First listen, then look.
        self.wire.readable.join(poke);
        self.inbox.room.join(poke);
        if !self.advance(socket) {
            return false;
        }
        if self.is_half_open() {
            return true;
        }
        let over = |state| matches!(state, State::TimeWait | State::Closed);
        if let Some(tcp) = self.guest() {
            tcp.measured.look(socket.send_queue());
        }
        self.receive(socket, over(socket.state()));
        if !over(socket.state()) {
            self.send(socket);
            self.check_silence(socket);
        }
        self.ended = over(socket.state());
        if socket.state() == State::Closed {
            if !self.inbox.is_shut() {
                self.inbox.reset(Errno::CONNRESET);
            }
            self.wire.shut();
        }
        true
    }

    /// The guest's socket, if it has the connection.
    fn guest(&self) -> Option<Arc<Tcp>> {
        if let Stage::Open(tcp) = &self.stage { tcp.upgrade() } else { None }
    }

    /// Ends it, if the other machine has not said what it had to for too long.
    fn check_silence(&mut self, socket: &mut tcp::Socket<'_>) {
        let Stage::Open(tcp) = &self.stage else { return };
        let Some(patience) = tcp.upgrade().map(|tcp| tcp.patience()) else {
            // Nobody is left to wait for the other side's end.
            socket.set_timeout(Some(time(Duration::from_secs(60))));
            self.silence.forget();
            return;
        };
        if self.silence.is_over(socket, patience) {
            self.inbox.reset(Errno::TIMEDOUT);
            socket.abort();
        }
    }

    fn advance(&mut self, socket: &mut tcp::Socket<'_>) -> bool {
        let open = socket.may_send();
        let over = matches!(socket.state(), State::Closed | State::Listen | State::TimeWait);
        let next = match &self.stage {
            Stage::Connecting(tcp) => {
                let Some(tcp) = tcp.upgrade() else {
                    socket.abort();
                    self.ended = true;
                    return true;
                };
                if over {
                    tcp.fail(Errno::CONNREFUSED);
                    return false;
                }
                if !open && self.silence.is_in_vain(self.since, tcp.patience().connecting()) {
                    tcp.fail(Errno::TIMEDOUT);
                    return false;
                }
                if !open {
                    return true;
                }
                tcp.connected(&self.wire);
                Arc::downgrade(&tcp)
            }
            Stage::Arriving(listener, child) => {
                if over {
                    return false;
                }
                if !open {
                    return true;
                }
                child.connected(&self.wire);
                let weak = Arc::downgrade(child);
                let arrived = listener.upgrade().map(|l| l.arrive(Arc::clone(child)));
                if !matches!(arrived, Some(Ok(()))) {
                    socket.abort();
                    self.ended = true;
                    return true;
                }
                weak
            }
            Stage::Open(_) => return true,
        };
        self.stage = Stage::Open(next);
        socket.set_timeout(None);
        true
    }

    /// Hands over what came: as much as there is room for, or `all` if the socket is
    /// about to go.
    fn receive(&self, socket: &mut tcp::Socket<'_>, all: bool) {
        while socket.can_recv() && (all || self.inbox.has_room()) {
            let taken = socket.recv(|bytes| (bytes.len(), bytes.to_vec()));
            let Ok(bytes) = taken else { break };
            if bytes.is_empty() {
                break;
            }
            if self.inbox.take_in(bytes).is_err() {
                // Nobody is there to receive it: that is answered by a reset.
                socket.abort();
                return;
            }
        }
        // All was received, and that was all.
        let ended = socket.recv(|_| (0, ())) == Err(RecvError::Finished);
        if ended && !self.inbox.is_shut() {
            self.inbox.shut();
        }
    }

    fn send(&mut self, socket: &mut tcp::Socket<'_>) {
        if self.wire.is_reset() {
            socket.abort();
            return;
        }
        let tcp = self.guest();
        while socket.can_send() {
            if self.rest.start >= self.rest.bytes.len() {
                let room = socket.send_capacity().saturating_sub(socket.send_queue());
                match self.wire.stream(room.max(1), false, false) {
                    Ok(received) if received.length == 0 => {
                        socket.close();
                        return;
                    }
                    Ok(received) => {
                        let mut bytes = Vec::with_capacity(received.length);
                        for (piece, start) in &received.pieces {
                            bytes.extend_from_slice(piece.get(*start..).unwrap_or_default());
                        }
                        self.rest = Packet { bytes, ..Packet::default() };
                    }
                    Err(_) => return,
                }
            }
            let part = self.rest.bytes.get(self.rest.start..).unwrap_or_default();
            match socket.send_slice(part) {
                Ok(sent) if sent > 0 => {
                    if let Some(tcp) = &tcp {
                        tcp.measured.give(sent, socket.send_queue().saturating_sub(sent));
                    }
                    self.rest.start += sent;
                    self.silence.sent(sent);
                }
                _ => return,
            }
        }
    }

    /// The stack ends, or the connection was not wanted.
    pub(super) fn abandon(&self) {
        self.wire.shut();
    }
}
