//! The supervisor as a shim of containerd: ttrpc in front of the same
//! containers.
//!
//! Each request that can't be answered at once is a client ([`Client::call`])
//! that waits as others do; its answer is put into containerd's words then.

mod answers;
mod calls;
mod happenings;
mod publisher;
mod relay;
mod stdio;
mod tasks;

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::socket_peercred;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};

use self::answers::Pending;
use self::publisher::Publisher;
use self::relay::Relay;
use self::tasks::{Task, Waiting};
use super::client::ClientId;
use super::pod::PodDir;
use super::startup::listen_in;
use super::state::Supervisor;
use super::step::StepError;
use crate::ContainerdConfig;
use caisson_containerd::ttrpc::take_frame;

/// So many connections may there be at once.
const MOST_CONNECTIONS: usize = 64;
/// No more is taken from who does not read what he is owed.
const BACKLOG: usize = 1 << 20;

/// The front's part of the supervisor.
pub(super) struct Front {
    listener: OwnedFd,
    namespace: String,
    connections: Vec<Connection>,
    next_connection: u64,
    tasks: Vec<Task>,
    waiting: Vec<Waiting>,
    pending: Vec<(ClientId, Caller, Pending)>,
    publisher: Publisher,
    relays: Vec<Relay>,
}

/// Whom an answer goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Caller {
    connection: u64,
    stream: u32,
}

#[derive(Debug)]
struct Connection {
    id: u64,
    socket: OwnedFd,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    gone: bool,
}

/// What the front waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum FrontSource {
    Listener,
    Connection(u64),
    Relay(usize),
    Publisher,
}

impl Front {
    /// Listens in the pod's directory.
    pub(super) fn open(dir: &PodDir, config: &ContainerdConfig) -> Result<Self, StepError> {
        Ok(Self {
            listener: listen_in(dir, crate::names::TASK_SOCKET)?,
            namespace: config.namespace.clone(),
            connections: Vec::new(),
            next_connection: 0,
            tasks: Vec::new(),
            waiting: Vec::new(),
            pending: Vec::new(),
            publisher: Publisher::new(config.events.clone()),
            relays: Vec::new(),
        })
    }

    /// What to wait for.
    pub(super) fn sources(&self) -> Vec<(FrontSource, PollFd<'_>)> {
        let mut sources = vec![(FrontSource::Listener, PollFd::new(&self.listener, PollFlags::IN))];
        for connection in &self.connections {
            let mut wanted = PollFlags::empty();
            wanted.set(PollFlags::IN, connection.outgoing.len() < BACKLOG);
            wanted.set(PollFlags::OUT, !connection.outgoing.is_empty());
            let fd = PollFd::new(&connection.socket, wanted);
            sources.push((FrontSource::Connection(connection.id), fd));
        }
        for (index, relay) in self.relays.iter().enumerate() {
            sources.extend(relay.source().map(|fd| (FrontSource::Relay(index), fd)));
        }
        sources.extend(self.publisher.source().map(|fd| (FrontSource::Publisher, fd)));
        sources
    }

    /// Whether somebody is owed something.
    pub(super) fn owes(&self) -> bool {
        self.publisher.owes()
            || self.connections.iter().any(|connection| !connection.outgoing.is_empty())
            || self.relays.iter().any(Relay::owes)
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while let Ok(socket) = accept_with(&self.listener, flags) {
            let own = rustix::process::geteuid();
            let allowed =
                socket_peercred(&socket).is_ok_and(|peer| peer.uid.is_root() || peer.uid == own);
            if !allowed || self.connections.len() >= MOST_CONNECTIONS {
                continue;
            }
            self.next_connection += 1;
            let (incoming, outgoing) = (Vec::new(), Vec::new());
            let id = self.next_connection;
            self.connections.push(Connection { id, socket, incoming, outgoing, gone: false });
        }
    }

    /// Queues a frame for whoever asked.
    fn respond(&mut self, to: Caller, frame: &[u8]) {
        let connection = self.connections.iter_mut().find(|one| one.id == to.connection);
        if let Some(connection) = connection {
            connection.outgoing.extend(frame);
            connection.gone |= flush(connection.socket.as_fd(), &mut connection.outgoing).is_err();
        }
    }
}

/// Sends what the socket takes.
fn flush(socket: BorrowedFd<'_>, outgoing: &mut Vec<u8>) -> Result<(), Errno> {
    let mut sent = 0;
    let outcome = loop {
        let Some(rest @ [_, ..]) = outgoing.get(sent..) else { break Ok(()) };
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match retry_on_intr(|| send(socket, rest, flags)) {
            Ok(count) => sent += count,
            Err(Errno::AGAIN) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    outgoing.drain(..sent.min(outgoing.len()));
    if outgoing.is_empty() {
        outgoing.shrink_to(4096);
    }
    outcome
}

/// Receives what is there; an error at the end.
fn fill(socket: BorrowedFd<'_>, incoming: &mut Vec<u8>) -> Result<(), Errno> {
    let mut chunk = [0_u8; 8192];
    match retry_on_intr(|| recv(socket, &mut chunk, RecvFlags::DONTWAIT)) {
        Ok((0, _)) => Err(Errno::CONNRESET),
        Ok((count, _)) => {
            incoming.extend(chunk.get(..count).unwrap_or_default());
            Ok(())
        }
        Err(Errno::AGAIN) => Ok(()),
        Err(error) => Err(error),
    }
}

impl Supervisor {
    pub(super) fn react_front(&mut self, source: FrontSource, events: PollFlags) {
        let Some(front) = &mut self.front else { return };
        match source {
            FrontSource::Listener => front.accept(),
            FrontSource::Publisher => front.publisher.react(),
            FrontSource::Relay(index) => {
                if let Some(relay) = front.relays.get_mut(index) {
                    relay.step();
                }
            }
            FrontSource::Connection(id) => self.hear_connection(id, events),
        }
    }

    fn hear_connection(&mut self, id: u64, events: PollFlags) {
        let Some(front) = &mut self.front else { return };
        let Some(connection) = front.connections.iter_mut().find(|one| one.id == id) else {
            return;
        };
        if events.contains(PollFlags::OUT) {
            connection.gone |= flush(connection.socket.as_fd(), &mut connection.outgoing).is_err();
        }
        if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            connection.gone |= fill(connection.socket.as_fd(), &mut connection.incoming).is_err();
        }
        loop {
            let Some(front) = &mut self.front else { return };
            let connection = front.connections.iter_mut().find(|one| one.id == id);
            let Some(connection) = connection else { return };
            match take_frame(&mut connection.incoming) {
                Ok(None) => return,
                Ok(Some(frame)) if frame.is_request => {
                    let caller = Caller { connection: id, stream: frame.stream };
                    self.take_call(caller, &frame.data);
                }
                Ok(Some(_)) | Err(_) => {
                    connection.gone = true;
                    return;
                }
            }
        }
    }

    /// Passes on answers that have come; forgets who is gone.
    pub(super) fn keep_front(&mut self) {
        if self.front.is_none() {
            return;
        }
        self.answer_calls();
        let Some(front) = &mut self.front else { return };
        front.connections.retain(|connection| !connection.gone);
        front.relays.retain(|relay| !relay.is_done());
        let here = |connection: u64| front.connections.iter().any(|one| one.id == connection);
        front.waiting.retain(|waiting| here(waiting.caller.connection));
    }
}
