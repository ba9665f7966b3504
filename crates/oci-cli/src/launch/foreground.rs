//! Waiting for a process in the foreground: signals to it, its end from it.

use std::os::fd::AsFd;

use caisson_isolator::{ExitStatus, SpawnedProcess};
use caisson_sys::signal_fd::{self, SignalFd, SignalMask};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use super::notify::NotifySocket;
use super::terminal::{Proxy, Relay};
use crate::failure::CliError;
use crate::log::Log;

/// Signals, as events. From [`Signals::take`] on none of them acts on this
/// program any more. The engine gives its processes an empty mask again.
#[derive(Debug)]
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// Takes over every signal; to be done before the process exists, so that
    /// none gets lost.
    pub(crate) fn take() -> Result<Self, CliError> {
        let failed = |e| CliError::io("take over signals", e);
        let mask = SignalMask::sendable();
        mask.block().map_err(failed)?;
        signal_fd::restore_default_action(Signal::CHILD.as_raw()).map_err(failed)?;
        SignalFd::new(&mask).map(Self).map_err(failed)
    }

    /// Waits for `process`, forwards signals to it and, with a `proxy`, its
    /// terminal to the caller's.
    pub(crate) fn wait(
        self,
        process: &SpawnedProcess,
        proxy: Option<Proxy>,
        log: &Log,
    ) -> Result<ExitStatus, CliError> {
        self.wait_and_notify(process, proxy, None, log)
    }

    /// As [`Signals::wait`], and forwards what the process says to systemd.
    pub(crate) fn wait_and_notify(
        self,
        process: &SpawnedProcess,
        proxy: Option<Proxy>,
        notify: Option<&NotifySocket>,
        log: &Log,
    ) -> Result<ExitStatus, CliError> {
        let mut relay = proxy.map(Proxy::attach).transpose()?;
        loop {
            let ready = self.poll(process, relay.as_ref(), notify)?;
            let mut ended = None;
            if ready.signals {
                ended = self.handle(process, relay.as_mut(), log)?;
            }
            // SIGCHLD alone would do, were it not for engines with threads of
            // their own, which may swallow it.
            if ready.process && ended.is_none() {
                ended = reap_until(process.pid)?;
            }
            if let Some(notify) = notify.filter(|_| ready.notify) {
                notify.forward_pending(rustix::process::getpid(), log);
            }
            if let Some(relay) = &mut relay {
                relay.pump(&ready)?;
            }
            if let Some(status) = ended {
                if let Some(relay) = &mut relay {
                    relay.drain();
                }
                return Ok(status);
            }
        }
    }

    fn poll(
        &self,
        process: &SpawnedProcess,
        relay: Option<&Relay>,
        notify: Option<&NotifySocket>,
    ) -> Result<Ready, CliError> {
        let mut sources = vec![
            (Source::Signals, PollFd::new(&self.0, PollFlags::IN)),
            (Source::Process, PollFd::new(&process.pidfd, PollFlags::IN)),
        ];
        if let Some(socket) = notify.and_then(NotifySocket::socket) {
            sources.push((Source::Notify, PollFd::from_borrowed_fd(socket, PollFlags::IN)));
        }
        if let Some(relay) = relay {
            relay.sources(&mut sources);
        }
        let (names, mut fds): (Vec<_>, Vec<_>) = sources.into_iter().unzip();
        loop {
            match poll(&mut fds, None) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(CliError::io("wait for the process", error)),
            }
        }
        let mut ready = Ready::default();
        for (name, fd) in names.iter().zip(&fds) {
            let events = fd.revents();
            let readable = events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
            let writable = events.intersects(PollFlags::OUT | PollFlags::HUP | PollFlags::ERR);
            match name {
                Source::Signals => ready.signals = readable,
                Source::Process => ready.process = readable,
                Source::Notify => ready.notify = readable,
                Source::Input => ready.input = readable,
                Source::Output => ready.output = writable,
                Source::Master => {
                    ready.master_in = readable;
                    ready.master_out = events.contains(PollFlags::OUT);
                }
            }
        }
        Ok(ready)
    }

    /// Handles pending signals; the process's status if it has ended.
    fn handle(
        &self,
        process: &SpawnedProcess,
        mut relay: Option<&mut Relay>,
        log: &Log,
    ) -> Result<Option<ExitStatus>, CliError> {
        let mut ended = None;
        while let Some(signal) =
            self.0.take().map_err(|e| CliError::io("read pending signals", e))?
        {
            if signal == Signal::CHILD.as_raw() {
                ended = ended.or(reap_until(process.pid)?);
            } else if signal == Signal::WINCH.as_raw() {
                if let Some(relay) = relay.as_deref_mut() {
                    relay.resize();
                }
            } else if signal != Signal::URG.as_raw() && signal != Signal::PIPE.as_raw() {
                log.debug(|| {
                    format!("forward signal {signal} to {}", process.pid.as_raw_nonzero())
                });
                if let Err(error) = signal_fd::send(process.pidfd.as_fd(), signal)
                    && error.raw_os_error() != Some(Errno::SRCH.raw_os_error())
                {
                    log.warn(&format!("forward signal {signal}: {error}"));
                }
            }
        }
        Ok(ended)
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Signals to this program.
    Signals,
    /// The process's end.
    Process,
    /// Messages of the container for systemd.
    Notify,
    /// This program's standard input.
    Input,
    /// This program's standard output.
    Output,
    /// The terminal's master.
    Master,
}

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ready {
    signals: bool,
    process: bool,
    notify: bool,
    pub(super) input: bool,
    pub(super) output: bool,
    pub(super) master_in: bool,
    pub(super) master_out: bool,
}

/// Reaps every child that has ended; the status of `wanted` if it is one.
/// SIGCHLD does not say how many there are, nor whose they were.
fn reap_until(wanted: Pid) -> Result<Option<ExitStatus>, CliError> {
    let mut found = None;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == wanted => found = exit_status(status),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return Ok(found),
            Err(Errno::CHILD) if found.is_some() => return Ok(found),
            Err(error) => {
                let step = format!("wait for process {}", wanted.as_raw_nonzero());
                return Err(CliError::io(step, error));
            }
        }
    }
}

/// Reaps what has ended, without interest in it.
pub(super) fn reap() {
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
}

/// Kills and reaps a process that nobody will wait for.
pub(crate) fn end(process: &SpawnedProcess) {
    if signal_fd::send(process.pidfd.as_fd(), Signal::KILL.as_raw()).is_ok() {
        let _ = rustix::process::waitpid(Some(process.pid), WaitOptions::empty());
    }
}

fn exit_status(status: WaitStatus) -> Option<ExitStatus> {
    let byte = |number: i32| u8::try_from(number & 0xff).unwrap_or(u8::MAX);
    let code = status.exit_status().map(|code| ExitStatus::Code(byte(code)));
    code.or_else(|| status.terminating_signal().map(|signal| ExitStatus::Signal(byte(signal))))
}
