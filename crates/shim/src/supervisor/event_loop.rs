//! Waiting for whatever happens next.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{SocketFlags, accept_with};
use rustix::process::{Signal, geteuid};
use rustix::time::Timespec;

use super::client::{Client, ClientId, Mode};
use super::front::FrontSource;
use super::log::Stream;
use super::state::Supervisor;
use super::step::{Context as _, StepError};
use super::unit::{Phase, Unit, UnitKey};
use crate::wire::{WireError, decode};
use crate::{Fault, FaultKind, LaunchReply, Response};

/// So many may be connected at once.
const MOST_CLIENTS: usize = 128;
/// So long after something has happened the supervisor makes itself small.
const REST: Duration = Duration::from_secs(1);

/// What is waited for.
#[derive(Clone, Copy, Debug)]
enum Source {
    Signals,
    Listener,
    Launcher,
    Worker,
    Oom(UnitKey),
    Output(UnitKey, Stream),
    Input(UnitKey),
    Client(ClientId),
    Front(FrontSource),
}

impl Supervisor {
    /// Runs until there is nothing left to do.
    pub(super) fn run(&mut self) -> Result<(), StepError> {
        self.go_on_launching();
        while !self.is_over() {
            for (source, events) in self.wait()? {
                self.react(source, events)?;
                self.rest_at.get_or_insert_with(|| Instant::now() + REST);
            }
            self.keep_time();
            self.keep_front();
            self.drop_gone();
        }
        Ok(())
    }

    /// Whether the supervisor is to leave and everybody knows.
    fn is_over(&self) -> bool {
        let Some(at) = self.ending.leaves_at else { return false };
        let front = self.front.as_ref();
        let heard = || {
            let owed = self.clients.iter().any(Client::wants_write);
            !owed && !front.is_some_and(super::front::Front::owes)
        };
        self.workers.is_empty() && self.launcher.is_none() && (heard() || Instant::now() >= at)
    }

    fn wait(&self) -> Result<Vec<(Source, PollFlags)>, StepError> {
        let mut sources = vec![(Source::Signals, PollFd::new(&self.signals, PollFlags::IN))];
        sources.push((Source::Listener, PollFd::new(&self.listener, PollFlags::IN)));
        if let Some(launcher) = &self.launcher {
            sources.push((Source::Launcher, PollFd::new(&launcher.socket, PollFlags::IN)));
        }
        for (_, _, worker) in &self.workers {
            sources.push((Source::Worker, PollFd::new(worker, PollFlags::IN)));
        }
        for Unit { key, run, .. } in &self.units {
            if let Some(watch) = &run.oom_watch {
                sources.push((Source::Oom(*key), PollFd::new(watch, PollFlags::IN)));
            }
            if !self.clients.iter().any(|client| client.holds_up(*key)) {
                for (stream, fd) in run.streams.sources() {
                    sources.push((Source::Output(*key, stream), PollFd::new(fd, PollFlags::IN)));
                }
            }
            if let Some(sink) = run.streams.sink() {
                sources.push((Source::Input(*key), PollFd::new(sink, PollFlags::OUT)));
            }
        }
        for client in &self.clients {
            let mut wanted = PollFlags::empty();
            wanted.set(PollFlags::IN, self.listens_to(client));
            wanted.set(PollFlags::OUT, client.wants_write());
            let socket = client.socket().map(|socket| PollFd::new(socket, wanted));
            sources.extend(socket.map(|fd| (Source::Client(client.id), fd)));
        }
        if let Some(front) = &self.front {
            let named = front.sources().into_iter();
            sources.extend(named.map(|(source, fd)| (Source::Front(source), fd)));
        }
        let limit = self.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let (names, mut fds): (Vec<_>, Vec<_>) = sources.into_iter().unzip();
        match poll(&mut fds, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context(|| "wait for events"),
        }
        let ready = names.into_iter().zip(fds.iter().map(PollFd::revents));
        Ok(ready.filter(|(_, events)| !events.is_empty()).collect())
    }

    fn listens_to(&self, client: &Client) -> bool {
        match client.mode {
            Mode::Idle => true,
            Mode::Attached(key, _) => {
                let unit = self.units.iter().find(|unit| unit.key == key);
                unit.is_none_or(|unit| {
                    !unit.run.streams.takes_input() || unit.run.streams.has_room()
                })
            }
            // To notice that it has left.
            Mode::Subscribed => true,
            _ => false,
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let of_units = self.units.iter().flat_map(|unit| {
            let waiting = match unit.phase {
                Phase::Waiting(until) => Some(until),
                _ => None,
            };
            waiting.into_iter().chain(unit.kill_at)
        });
        let of_workers = self.workers.iter().map(|(_, _, worker)| worker.deadline);
        let of_clients = self.clients.iter().filter_map(Client::deadline);
        // Once it has passed only the launcher is waited for.
        let leaves_at = self.ending.leaves_at.filter(|at| *at > Instant::now());
        let own = [leaves_at, self.rest_at].into_iter().flatten();
        own.chain(of_units).chain(of_workers).chain(of_clients).min()
    }

    fn react(&mut self, source: Source, events: PollFlags) -> Result<(), StepError> {
        let closed = events.intersects(PollFlags::HUP | PollFlags::ERR);
        match source {
            Source::Signals => self.take_signals()?,
            Source::Listener => self.accept(),
            Source::Launcher => self.hear_launcher(),
            Source::Worker => self.hear_workers(),
            Source::Oom(key) => self.see_oom(key),
            Source::Output(key, stream) => drop(self.read_output(key, stream)),
            Source::Input(key) => {
                if let Some(unit) = self.unit(key) {
                    unit.run.streams.write_input();
                }
            }
            Source::Front(source) => self.react_front(source, events),
            Source::Client(id) => {
                let Some(client) = self.client(id) else { return Ok(()) };
                if events.contains(PollFlags::OUT) {
                    client.flush();
                }
                if events.contains(PollFlags::IN) {
                    client.receive();
                    self.serve(id);
                } else if closed {
                    client.gone = true;
                }
            }
        }
        Ok(())
    }

    fn take_signals(&mut self) -> Result<(), StepError> {
        while let Some(signal) = self.signals.take().context(|| "read pending signals")? {
            if signal == Signal::CHILD.as_raw() {
                self.reap();
            } else if signal == Signal::TERM.as_raw() {
                self.ending.leave = true;
                for key in self.keys() {
                    let Some(unit) = self.unit(key) else { continue };
                    let (signal, grace) = (unit.stop_signal(), unit.grace());
                    self.stop(key, signal, Some(grace));
                }
                self.leave_if_done();
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while let Ok(socket) = accept_with(&self.listener, flags) {
            let allowed = socket_peercred(&socket)
                .is_ok_and(|peer| peer.uid.is_root() || peer.uid == geteuid());
            if !allowed {
                continue;
            }
            self.next_client += 1;
            let mut client = Client::new(ClientId(self.next_client), socket);
            if self.clients.len() >= MOST_CLIENTS {
                let why = format!("the supervisor has {MOST_CLIENTS} clients already");
                client.answer(&Response::Fault(Fault::new(FaultKind::Busy, why)));
                continue;
            }
            self.clients.push(client);
        }
    }

    fn hear_launcher(&mut self) {
        let Some(launcher) = &mut self.launcher else { return };
        let frame = match launcher.incoming.receive(launcher.socket.as_fd()) {
            Ok(()) => launcher.incoming.take_frame(),
            Err(WireError::Socket(Errno::AGAIN)) => return,
            Err(error) => Err(error),
        };
        match frame.and_then(|frame| frame.map(|frame| decode(&frame)).transpose()) {
            Ok(None) => {}
            Ok(Some(LaunchReply::Committed)) => {
                self.launcher = None;
                self.leave_if_done();
            }
            Ok(Some(_)) | Err(_) => self.abandon(),
        }
    }

    /// Does what is due.
    fn keep_time(&mut self) {
        let now = Instant::now();
        self.end_slow_workers();
        for key in self.keys() {
            let Some(unit) = self.unit(key) else { continue };
            if unit.kill_at.is_some_and(|at| at <= now) {
                self.kill(key);
            } else if matches!(unit.phase, Phase::Waiting(until) if until <= now) {
                unit.restarts = unit.restarts.saturating_add(1);
                self.begin_run(key);
            }
        }
        if self.rest_at.is_some_and(|at| at <= now) {
            self.rest_at = None;
            // Whether it works is of no consequence.
            let _ = caisson_sys::program_text::let_go();
        }
        for client in &mut self.clients {
            if client.deadline().is_some_and(|at| at <= now) {
                client.gone = true;
            }
        }
    }

    fn drop_gone(&mut self) {
        let gone: Vec<ClientId> =
            self.clients.iter().filter(|client| client.gone).map(|client| client.id).collect();
        self.clients.retain(|client| !client.gone);
        for id in gone {
            self.input_ended(id);
        }
    }
}
