//! The two sides of a terminal as files.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::syscalls::{Call, Failure};
use crate::task::Restart;
use crate::task::waiter::{Waiter, Woken, lock};

use super::termios::special;
use super::{SIGTTIN, SIGTTOU, Tty, control};
use crate::vfs::{Asks, Attributes, Entry, File, Kind, Ready};

/// The side of a terminal's keyboard and screen.
pub(super) struct Master(pub(super) Arc<Tty>);

/// The side of programs.
pub(super) struct Slave {
    pub(super) tty: Arc<Tty>,
    entry: Option<Arc<Entry>>,
}

/// What stat(2) tells of a terminal that has no name here.
fn attributes(entry: Option<&Arc<Entry>>, tty: &Tty, number: u64) -> Result<Attributes, Errno> {
    if let Some(entry) = entry
        && let Some(kernel) = tty.kernel.upgrade()
    {
        return entry.attributes(&kernel);
    }
    let mode = Kind::Character as u32 | 0o620;
    let inode = u64::from(tty.number) + 3;
    Ok(Attributes { device: 21, inode, mode, links: 1, number, ..Attributes::default() })
}

/// What is behind the piece in which copying ended. Linux reads terminals in pieces of so many
/// bytes, and loses the rest of that one.
fn behind_piece(read: &[u8], copied: usize) -> &[u8] {
    const PIECE: usize = 64;
    read.get((copied / PIECE + 1) * PIECE..).unwrap_or_default()
}

impl File for Master {
    fn waits_cleanly(&self) -> bool {
        false
    }

    fn read(&self, into: &mut [u8], _: u64) -> Result<usize, Errno> {
        let mut state = lock(&self.0.state);
        if state.line.output_waiting() == 0 {
            // Nobody is there to write, although somebody was.
            return if state.opened && state.slaves == 0 {
                Err(Errno::IO)
            } else {
                Err(Errno::AGAIN)
            };
        }
        let mut room = into;
        let mut head = 0;
        if state.packet {
            // TIOCPKT_DATA
            let (first, rest) = room.split_first_mut().ok_or(Errno::INVAL)?;
            *first = 0;
            (room, head) = (rest, 1);
        }
        let count = state.line.take_output(room);
        drop(state);
        self.0.changed.wake();
        Ok(head + count)
    }

    fn take_back(&self, read: &[u8], copied: usize) -> usize {
        lock(&self.0.state).line.put_output_back(behind_piece(read, copied));
        self.0.changed.wake();
        copied
    }

    fn write(&self, from: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        match self.0.receive(from) {
            0 if !from.is_empty() => Err(Errno::AGAIN),
            count => Ok(count),
        }
    }

    fn ready(&self) -> Ready {
        let state = lock(&self.0.state);
        let mut ready = Ready::empty();
        ready.set(Ready::IN, state.line.output_waiting() > 0);
        ready.set(Ready::OUT, state.line.has_room(&state.termios));
        ready.set(Ready::HUP, state.opened && state.slaves == 0);
        ready
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        self.0.watch(waiter);
    }

    fn asks(&self) -> Asks {
        Asks::Terminal(None)
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        attributes(None, &self.0, rustix::fs::makedev(5, 2))
    }

    fn own(&self) -> Option<&dyn Any> {
        Some(self)
    }

    fn control(&self, call: &Call<'_>, request: u32, argument: u64) -> Result<i64, Errno> {
        control::of_master(&self.0, call, request, argument)
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.0.hang_up();
        if let Some(kernel) = self.0.kernel.upgrade() {
            kernel.terminals.remove(self.0.number);
        }
    }
}

impl Slave {
    /// Opens the slave.
    ///
    /// # Errors
    /// `EIO` if it is locked or its master is closed, `EBUSY` if it is another's alone.
    pub(super) fn open(tty: &Arc<Tty>, entry: Option<&Arc<Entry>>) -> Result<Self, Errno> {
        let mut state = lock(&tty.state);
        if state.locked || state.hung_up {
            return Err(Errno::IO);
        }
        if state.exclusive && state.slaves > 0 {
            return Err(Errno::BUSY);
        }
        state.slaves += 1;
        state.opened = true;
        drop(state);
        tty.changed.wake();
        Ok(Slave { tty: Arc::clone(tty), entry: entry.map(Arc::clone) })
    }

    pub(super) fn is_dead(&self) -> bool {
        lock(&self.tty.state).hung_up
    }

    /// Waits until a read gets something, as the modes say how long. `Some` if there is
    /// nothing and the read is over.
    fn wait(&self, call: &Call<'_>, nonblocking: bool) -> Result<Option<usize>, Failure> {
        let mut deadline: Option<Instant> = None;
        let mut seen = 0;
        loop {
            if self.is_dead() {
                return Ok(None);
            }
            self.tty.admit(call, SIGTTIN)?;
            self.tty.watch(call.waiter());
            let (readable, least, time, canonical) = {
                let state = lock(&self.tty.state);
                let readable = state.line.readable(&state.termios);
                let least = usize::from(state.termios.number(special::MIN));
                let tenths = u64::from(state.termios.number(special::TIME));
                let time = Duration::from_millis(tenths * 100);
                (readable, least, time, state.termios.is_canonical())
            };
            if canonical {
                if readable > 0 || nonblocking {
                    return Ok(None);
                }
                deadline = None;
            } else {
                if readable > 0 && (readable >= least || nonblocking) {
                    return Ok(None);
                }
                if least == 0 && time.is_zero() {
                    return Ok(Some(0));
                }
                if nonblocking {
                    return Ok(None);
                }
                // From the start without a minimum, else from the last byte on.
                if least == 0 {
                    deadline = deadline.or_else(|| Some(Instant::now() + time));
                } else if !time.is_zero() && readable > seen {
                    deadline = Some(Instant::now() + time);
                }
                seen = readable;
            }
            match call.waiter().wait(deadline) {
                Woken::Called => {}
                Woken::TimedOut if readable > 0 => return Ok(None),
                Woken::TimedOut => return Ok(Some(0)),
                Woken::Interrupted => return Err(Failure::Interrupted(Restart::IfAsked)),
            }
        }
    }
}

impl File for Slave {
    fn waits_cleanly(&self) -> bool {
        false
    }

    fn read(&self, into: &mut [u8], _: u64) -> Result<usize, Errno> {
        let mut state = lock(&self.tty.state);
        if state.hung_up || into.is_empty() {
            return Ok(0);
        }
        let super::State { line, termios, .. } = &mut *state;
        let count = line.read(termios, into).ok_or(Errno::AGAIN)?;
        drop(state);
        self.tty.changed.wake();
        Ok(count)
    }

    fn take_back(&self, read: &[u8], copied: usize) -> usize {
        lock(&self.tty.state).line.put_back(behind_piece(read, copied));
        self.tty.changed.wake();
        copied
    }

    fn write(&self, from: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        let mut state = lock(&self.tty.state);
        if state.hung_up {
            return Err(Errno::IO);
        }
        let super::State { line, termios, .. } = &mut *state;
        let count = line.write(termios, from);
        drop(state);
        if count == 0 && !from.is_empty() {
            return Err(Errno::AGAIN);
        }
        self.tty.changed.wake();
        Ok(count)
    }

    fn ready(&self) -> Ready {
        let state = lock(&self.tty.state);
        if state.hung_up {
            return Ready::IN | Ready::OUT | Ready::ERR | Ready::HUP;
        }
        let canonical = state.termios.is_canonical();
        let least = usize::from(state.termios.number(special::MIN)).max(1);
        let timed = state.termios.number(special::TIME) > 0;
        let wanted = if canonical || timed { 1 } else { least };
        let mut ready = Ready::empty();
        ready.set(Ready::IN, state.line.readable(&state.termios) >= wanted);
        ready.set(Ready::OUT, state.line.has_output_room());
        ready
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        self.tty.watch(waiter);
    }

    fn asks(&self) -> Asks {
        Asks::Terminal(lock(&self.tty.state).foreground)
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        attributes(self.entry.as_ref(), &self.tty, rustix::fs::makedev(136, self.tty.number))
    }

    fn own(&self) -> Option<&dyn Any> {
        Some(self)
    }

    fn admit(
        &self,
        call: &Call<'_>,
        what: Ready,
        nonblocking: bool,
    ) -> Result<Option<usize>, Failure> {
        match what {
            Ready::IN => return self.wait(call, nonblocking),
            Ready::PRI if !control::changes(call.uint(1)) => {}
            Ready::PRI => self.tty.admit(call, SIGTTOU)?,
            _ => self.tty.admit_writer(call)?,
        }
        Ok(None)
    }

    fn control(&self, call: &Call<'_>, request: u32, argument: u64) -> Result<i64, Errno> {
        if self.is_dead() {
            return Err(Errno::IO);
        }
        control::of_slave(&self.tty, call, request, argument)
    }
}

impl Drop for Slave {
    fn drop(&mut self) {
        let mut state = lock(&self.tty.state);
        state.slaves = state.slaves.saturating_sub(1);
        drop(state);
        self.tty.changed.wake();
    }
}
