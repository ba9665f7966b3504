//! One client's connection, from the supervisor's side.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{SendFlags, send};

use super::unit::UnitKey;
use crate::wire::{Incoming, Kind, WireError, encode, send as send_with, stream_frame};
use crate::{AttachSpec, Event, OnStall, Response};

/// Output that a client has not read yet: above this it is waited for, or let
/// go of.
const BACKLOG: usize = 256 * 1024;
/// How long a request may take to come in.
const REQUEST_PATIENCE: Duration = Duration::from_secs(10);

/// Names a client for as long as the supervisor lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientId(pub(super) u64);

/// What a client is up to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    /// May send a request.
    Idle,
    /// Waits for the answer to one.
    Asked,
    /// Waits for a container's end.
    AwaitsExit(UnitKey),
    /// Waits until a container is forgotten.
    AwaitsRemoval(UnitKey),
    /// Waits for this program's end.
    AwaitsExec(UnitKey, u64),
    /// Waits for the supervisor to leave.
    AwaitsLeave,
    /// Follows a container's streams.
    Attached(UnitKey, AttachSpec),
    /// Follows what happens.
    Subscribed,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: ClientId,
    /// `None`: the front asks, and takes the answer.
    socket: Option<OwnedFd>,
    answer: Option<Response>,
    pub(super) incoming: Incoming,
    outgoing: Vec<u8>,
    pub(super) mode: Mode,
    /// When the request that is coming in began to.
    partial_since: Option<Instant>,
    /// Is let go of when it has what it is owed.
    leaving: bool,
    pub(super) gone: bool,
}

impl Client {
    /// The socket must be non-blocking.
    pub(super) fn new(id: ClientId, socket: OwnedFd) -> Self {
        Self {
            id,
            socket: Some(socket),
            answer: None,
            incoming: Incoming::default(),
            outgoing: Vec::new(),
            mode: Mode::Idle,
            partial_since: Some(Instant::now()),
            leaving: false,
            gone: false,
        }
    }

    /// One that asks for somebody else.
    pub(super) fn call(id: ClientId) -> Self {
        Self {
            id,
            socket: None,
            answer: None,
            incoming: Incoming::default(),
            outgoing: Vec::new(),
            mode: Mode::Asked,
            partial_since: None,
            leaving: false,
            gone: false,
        }
    }

    /// What somebody else is to be told.
    pub(super) fn take_answer(&mut self) -> Option<Response> {
        self.answer.take()
    }

    /// The socket to wait for.
    pub(super) fn socket(&self) -> Option<&OwnedFd> {
        self.socket.as_ref()
    }

    /// The attachment, if this is one.
    pub(super) fn attached(&self) -> Option<(UnitKey, &AttachSpec)> {
        match &self.mode {
            Mode::Attached(key, spec) if !self.gone => Some((*key, spec)),
            _ => None,
        }
    }

    pub(super) fn is_attached_to(&self, key: UnitKey) -> bool {
        self.attached().is_some_and(|(to, _)| to == key)
    }

    /// Whether it is owed output.
    pub(super) fn wants_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether this container has to wait for it.
    pub(super) fn holds_up(&self, key: UnitKey) -> bool {
        self.attached().is_some_and(|(to, spec)| to == key && spec.on_stall == OnStall::Wait)
            && self.outgoing.len() >= BACKLOG
    }

    /// Receives once.
    pub(super) fn receive(&mut self) {
        let Some(socket) = &self.socket else { return };
        match self.incoming.receive(socket.as_fd()) {
            Ok(()) | Err(WireError::Socket(Errno::AGAIN)) => {}
            Err(_) => self.gone = true,
        }
        match (self.incoming.is_partial(), self.partial_since) {
            (false, _) => self.partial_since = None,
            (true, None) => self.partial_since = Some(Instant::now()),
            (true, Some(_)) => {}
        }
    }

    /// When it is let go of unless the rest of its request has come.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.mode {
            Mode::Idle => self.partial_since.map(|since| since + REQUEST_PATIENCE),
            _ => None,
        }
    }

    /// Answers a request; it may send the next one then.
    pub(super) fn answer(&mut self, response: &Response) {
        if self.socket.is_none() {
            (self.mode, self.answer) = (Mode::Asked, Some(response.clone()));
            return;
        }
        self.mode = Mode::Idle;
        self.partial_since = None;
        match encode(response) {
            Ok(frame) => self.push(&frame),
            Err(_) => self.gone = true,
        }
    }

    /// Queues a piece of the streams.
    pub(super) fn push_stream(&mut self, kind: Kind, data: &[u8]) {
        let Some((_, spec)) = self.attached() else { return };
        if spec.on_stall == OnStall::Detach && self.outgoing.len() >= BACKLOG {
            self.gone = true;
            return;
        }
        match stream_frame(kind, data) {
            Ok(frame) => self.push(&frame),
            Err(_) => self.gone = true,
        }
    }

    /// Queues an event for one that follows them.
    pub(super) fn push_event(&mut self, event: &Event) {
        if !matches!(self.mode, Mode::Subscribed) || self.gone {
            return;
        }
        match encode(event) {
            Ok(frame) if self.outgoing.len() < BACKLOG => self.push(&frame),
            _ => self.gone = true,
        }
    }

    /// Answers with a descriptor.
    pub(super) fn answer_with(&mut self, response: &Response, fd: BorrowedFd<'_>) {
        self.mode = Mode::Idle;
        self.partial_since = None;
        // An answer is small, and the client has read the one before.
        let Some(socket) = &self.socket else { return };
        let sent = encode(response).and_then(|frame| send_with(socket.as_fd(), &frame, &[fd]));
        self.gone |= sent.is_err();
    }

    /// Lets go of it when it has what it is owed.
    pub(super) fn hang_up(&mut self) {
        self.leaving = true;
        self.flush();
    }

    fn push(&mut self, frame: &[u8]) {
        self.outgoing.extend(frame);
        self.flush();
    }

    /// Sends what the socket takes.
    pub(super) fn flush(&mut self) {
        let Some(socket) = &self.socket else { return };
        let mut sent = 0;
        while let Some(rest @ [_, ..]) = self.outgoing.get(sent..) {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match retry_on_intr(|| send(socket, rest, flags)) {
                Ok(count) => sent += count,
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    self.gone = true;
                    break;
                }
            }
        }
        self.outgoing.drain(..sent.min(self.outgoing.len()));
        if self.outgoing.is_empty() {
            self.outgoing.shrink_to(4096);
            self.gone |= self.leaving;
        }
    }
}
