//! Carrying bytes between the user's streams and a program's.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use caisson_sys::signal_fd::{SignalFd, SignalMask};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{Winsize, tcsetwinsize};

use super::streams::{DetachKeys, Detector};
use super::terminal::{RawTerminal, size};
use crate::failure::Failure;

const PIECE: usize = 16 * 1024;
/// SIGHUP, SIGINT, SIGQUIT, SIGTERM: they end us, but not before the user's
/// terminal is as it was.
const ENDING: [i32; 4] = [1, 2, 3, 15];
/// How long output may still come after the program has ended.
const DRAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Pipes to and from a program.
#[derive(Debug, Default)]
pub(super) struct Pump {
    input: Option<OwnedFd>,
    outputs: Vec<(OwnedFd, BorrowedFd<'static>)>,
}

impl Pump {
    /// Standard input goes into `pipe`.
    pub(super) fn input(&mut self, pipe: OwnedFd) {
        self.input = Some(pipe);
    }

    /// What comes out of `pipe` goes to `own`.
    pub(super) fn output(&mut self, pipe: OwnedFd, own: BorrowedFd<'static>) {
        self.outputs.push((pipe, own));
    }

    /// Whether there is nothing to carry.
    pub(super) fn is_empty(&self) -> bool {
        self.input.is_none() && self.outputs.is_empty()
    }

    /// Carries until every output has ended; once `over` is closed at its other
    /// end, only what is still to come at once.
    pub(super) fn run(mut self, over: BorrowedFd<'_>) -> Result<(), Failure> {
        let mut ended = false;
        loop {
            if self.outputs.is_empty() && ended {
                return Ok(());
            }
            let mut fds: Vec<PollFd<'_>> =
                self.outputs.iter().map(|(pipe, _)| PollFd::new(pipe, PollFlags::IN)).collect();
            let outputs = fds.len();
            if !ended {
                fds.push(PollFd::from_borrowed_fd(over, PollFlags::IN));
                if self.input.is_some() {
                    fds.push(PollFd::from_borrowed_fd(stdin(), PollFlags::IN));
                }
            }
            match poll(&mut fds, ended.then_some(&DRAIN)) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(std::io::Error::from(error).into()),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            let is = |index: usize| ready.get(index).copied().unwrap_or(false);
            let mut open = Vec::new();
            for (index, (pipe, own)) in self.outputs.drain(..).enumerate() {
                if !is(index) || carry(pipe.as_fd(), own)? {
                    open.push((pipe, own));
                }
            }
            self.outputs = open;
            if !ended && is(outputs + 1) {
                let more = match &self.input {
                    // A program that does not read any more is none of our business.
                    Some(pipe) => carry(stdin(), pipe.as_fd()).unwrap_or(false),
                    None => false,
                };
                if !more {
                    self.input = None;
                }
            }
            if !ended && is(outputs) {
                ended = true;
            }
        }
    }
}

/// Carries one piece; false at the end.
fn carry(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<bool, Failure> {
    let mut buffer = [0; PIECE];
    match rustix::io::read(from, &mut buffer) {
        // A terminal whose other side is closed says EIO.
        Ok(0) | Err(Errno::IO) => Ok(false),
        Ok(count) => {
            write_all(to, buffer.get(..count).unwrap_or_default())?;
            Ok(true)
        }
        Err(Errno::INTR | Errno::AGAIN) => Ok(true),
        Err(error) => Err(std::io::Error::from(error).into()),
    }
}

/// Writes all of it, waiting where need be. A reader that has gone away is fine.
pub(super) fn write_all(fd: BorrowedFd<'_>, mut data: &[u8]) -> Result<(), Failure> {
    while !data.is_empty() {
        match rustix::io::write(fd, data) {
            Ok(count) => data = data.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut wait = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
                let _ = poll(&mut wait, None);
            }
            Err(Errno::PIPE) => return Ok(()),
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
    }
    Ok(())
}

/// The descriptor that comes over `socket`.
pub(super) fn receive_descriptor(socket: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
    let mut byte = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buffers = [IoSliceMut::new(&mut byte)];
    recvmsg(socket, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)
        .map_err(std::io::Error::from)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message
            && let Some(fd) = fds.next()
        {
            return Ok(fd);
        }
    }
    Err(Failure::new("the supervisor sent no terminal"))
}

/// Carries between the user's terminal and the `master` of a program's, until
/// the program has ended or the user has typed `keys`; whether it was the keys.
/// Without keys nothing that the user types is passed on.
pub(super) fn terminal(master: BorrowedFd<'_>, keys: Option<DetachKeys>) -> Result<bool, Failure> {
    let mask = SignalMask::sendable();
    mask.block()?;
    let signals = SignalFd::new(&mask)?;
    resize(master);
    let interactive = keys.is_some();
    let _raw = (interactive && super::terminal::stdin_is_terminal())
        .then(RawTerminal::enter)
        .transpose()?;
    let mut detector = Detector::new(keys.unwrap_or_default());
    let mut typing = interactive;
    loop {
        let mut fds = vec![
            PollFd::from_borrowed_fd(master, PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        if typing {
            fds.push(PollFd::from_borrowed_fd(stdin(), PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let is = |index: usize| ready.get(index).copied().unwrap_or(false);
        if is(1) {
            while let Some(signal) = signals.take()? {
                if ENDING.contains(&signal) {
                    return Err(Failure::silent(u8::try_from(128 + signal).unwrap_or(255)));
                }
            }
            resize(master);
        }
        if is(2) {
            let mut buffer = [0; PIECE];
            let count = match rustix::io::read(stdin(), &mut buffer) {
                Ok(count) => count,
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Err(_) => 0,
            };
            if count == 0 {
                typing = false;
            }
            let (through, detach) = detector.feed(buffer.get(..count).unwrap_or_default());
            write_all(master, &through)?;
            if detach {
                return Ok(true);
            }
        }
        if is(0) && !carry(master, stdout())? {
            return Ok(false);
        }
    }
}

fn resize(master: BorrowedFd<'_>) {
    if let Some((rows, columns)) = size() {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // The wrong size is better than no terminal.
        let _ = tcsetwinsize(master, size);
    }
}
