//! One direction of a process's streams.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, retry_on_intr};

/// What a pipe takes in one go once poll(2) has called it writable.
const CHUNK: usize = 4096;

/// Bytes from here to there.
#[derive(Debug)]
pub(crate) struct Pump {
    from: Option<OwnedFd>,
    /// None once nobody takes them: they are dropped.
    to: Option<OwnedFd>,
    held: Vec<u8>,
    is_input: bool,
}

impl Pump {
    pub(crate) fn new(from: OwnedFd, to: OwnedFd, is_input: bool) -> Self {
        Self { from: Some(from), to: Some(to), held: Vec::new(), is_input }
    }

    pub(crate) fn is_input(&self) -> bool {
        self.is_input
    }

    /// Whether all has been carried, and no more comes.
    pub(crate) fn is_over(&self) -> bool {
        self.from.is_none() && self.held.is_empty()
    }

    /// What it works with.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.from.iter().chain(&self.to).map(OwnedFd::as_fd)
    }

    /// What is waited for.
    pub(crate) fn wanted(&self) -> Option<PollFd<'_>> {
        if self.held.is_empty() {
            return self.from.as_ref().map(|from| PollFd::new(from, PollFlags::IN));
        }
        self.to.as_ref().map(|to| PollFd::new(to, PollFlags::OUT))
    }

    /// Does one step of what [`Pump::wanted`] was ready for.
    pub(crate) fn step(&mut self) {
        match self.held.is_empty() {
            true => self.read(),
            false => self.write(),
        }
        if self.from.is_none() && self.held.is_empty() {
            // The other side sees the end now, not when we end.
            self.to = None;
        }
    }

    fn read(&mut self) {
        let Some(from) = &self.from else { return };
        let mut chunk = [0_u8; CHUNK];
        match retry_on_intr(|| rustix::io::read(from.as_fd(), &mut chunk)) {
            Ok(count @ 1..) if self.to.is_some() => {
                self.held.extend(chunk.get(..count).unwrap_or_default());
            }
            Ok(1..) | Err(Errno::AGAIN) => {}
            // A terminal whose other side is closed fails with EIO.
            Ok(0) | Err(_) => self.from = None,
        }
    }

    fn write(&mut self) {
        let Some(to) = &self.to else { return self.held.clear() };
        match retry_on_intr(|| rustix::io::write(to.as_fd(), &self.held)) {
            Ok(count) => drop(self.held.drain(..count.min(self.held.len()))),
            Err(Errno::AGAIN) => {}
            Err(_) => {
                (self.to, self.held) = (None, Vec::new());
                if self.is_input {
                    // Nobody reads it any more.
                    self.from = None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::pipe;

    fn carry(pump: &mut Pump) {
        for _ in 0..100 {
            let Some(wanted) = pump.wanted() else { return };
            let now = rustix::time::Timespec::default();
            if rustix::event::poll(&mut [wanted], Some(&now)) != Ok(1) {
                return;
            }
            pump.step();
        }
    }

    #[test]
    fn what_is_written_arrives_and_ends() {
        let ((from, writer), (reader, to)) = (pipe().unwrap(), pipe().unwrap());
        let mut pump = Pump::new(from, to, false);
        rustix::io::write(&writer, b"hello").unwrap();
        carry(&mut pump);
        let mut buffer = [0; 16];
        assert_eq!(rustix::io::read(&reader, &mut buffer), Ok(5));
        drop(writer);
        carry(&mut pump);
        assert!(pump.is_over());
        assert_eq!(rustix::io::read(&reader, &mut buffer), Ok(0));
    }

    #[test]
    fn output_that_nobody_takes_does_not_hold_its_writer() {
        let ((from, writer), (reader, to)) = (pipe().unwrap(), pipe().unwrap());
        let mut pump = Pump::new(from, to, false);
        drop(reader);
        // SIGPIPE is ignored by the test harness, and blocked in a supervisor.
        for _ in 0..64 {
            rustix::io::write(&writer, &[0; 4096]).unwrap();
            carry(&mut pump);
        }
        drop(writer);
        carry(&mut pump);
        assert!(pump.is_over());
    }
}
