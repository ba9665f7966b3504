//! Bytes from here to there, where nobody else may stand in between: to a
//! terminal, from it, and to a process's input.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, read, retry_on_intr, write};

use caisson_containerd::task::Target;

const CHUNK: usize = 16 * 1024;

/// One direction. Both ends are non-blocking.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) owner: Target,
    /// Whether it is the process's input.
    pub(super) is_input: bool,
    from: Option<OwnedFd>,
    to: Option<OwnedFd>,
    waiting: Vec<u8>,
    /// No more comes than what is there already.
    ends: bool,
}

impl Relay {
    pub(super) fn new(owner: Target, is_input: bool, from: OwnedFd, to: OwnedFd) -> Self {
        let (from, to) = (Some(from), Some(to));
        Self { owner, is_input, from, to, waiting: Vec::new(), ends: false }
    }

    pub(super) fn is_done(&self) -> bool {
        self.to.is_none()
    }

    /// Whether what it has can still be passed on.
    pub(super) fn owes(&self) -> bool {
        !self.is_input && !self.waiting.is_empty()
    }

    pub(super) fn source(&self) -> Option<PollFd<'_>> {
        if self.waiting.is_empty() {
            self.from.as_ref().map(|from| PollFd::new(from, PollFlags::IN))
        } else {
            self.to.as_ref().map(|to| PollFd::new(to, PollFlags::OUT))
        }
    }

    /// Ends it once what is there is passed on.
    pub(super) fn end(&mut self) {
        self.ends = true;
        self.step();
    }

    /// Passes on what there is.
    pub(super) fn step(&mut self) {
        loop {
            if !self.waiting.is_empty() && !self.pass_on() {
                return;
            }
            let Some(from) = &self.from else {
                self.to = None;
                return;
            };
            let mut chunk = [0_u8; CHUNK];
            match retry_on_intr(|| read(from, &mut chunk)) {
                Ok(count @ 1..) => {
                    self.waiting.extend(chunk.get(..count).unwrap_or_default());
                }
                Err(Errno::AGAIN) if !self.ends => return,
                // A terminal whose other side is closed fails with EIO.
                Ok(0) | Err(_) => self.from = None,
            }
        }
    }

    /// False if something is left.
    fn pass_on(&mut self) -> bool {
        while let (Some(to), false) = (&self.to, self.waiting.is_empty()) {
            match retry_on_intr(|| write(to, &self.waiting)) {
                Ok(count) => drop(self.waiting.drain(..count.min(self.waiting.len()))),
                Err(Errno::AGAIN) => return false,
                // Nobody reads any more.
                Err(_) => {
                    (self.to, self.from) = (None, None);
                    self.waiting = Vec::new();
                }
            }
        }
        true
    }
}
