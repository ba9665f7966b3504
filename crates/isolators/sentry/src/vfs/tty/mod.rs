//! Terminals: pairs of a master and a slave, and the sandbox's console.

mod console;
mod control;
mod line;
mod pair;
mod registry;
mod termios;

use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::signal::{SIGCONT, SIGHUP};
use crate::syscalls::{Call, Failure};
use crate::task::waiter::{Waiter, lock};
use crate::task::{Pid, Restart, WaitQueue, signal_group};

use line::Line;
use termios::{Termios, local};

pub use registry::Terminals;

const SIGTTIN: i32 = 21;
const SIGTTOU: i32 = 22;
const SIGWINCH: i32 = 28;

/// Rows, columns, and the size in pixels.
pub type Size = [u16; 4];

#[derive(Debug, Default)]
struct State {
    termios: Termios,
    size: Size,
    line: Line,
    /// The slave can't be opened yet.
    locked: bool,
    /// Nobody else may open the slave.
    exclusive: bool,
    /// `TIOCPKT`
    packet: bool,
    /// The session that it controls, and the group in its foreground.
    session: Option<Pid>,
    foreground: Option<Pid>,
    /// Open slaves.
    slaves: usize,
    /// Whether one was ever open.
    opened: bool,
    /// The master is closed: slaves are at their end.
    hung_up: bool,
}

/// A terminal.
#[derive(Debug)]
pub struct Tty {
    /// Its number: `/dev/pts/<number>`.
    pub number: u32,
    /// Who made it.
    owner: (u32, u32),
    /// It is in one devpts alone.
    apart: bool,
    kernel: Weak<Kernel>,
    state: Mutex<State>,
    changed: WaitQueue,
}

impl Tty {
    fn new(kernel: &Arc<Kernel>, number: u32, owner: (u32, u32), apart: bool) -> Arc<Self> {
        Arc::new(Tty {
            number,
            owner,
            apart,
            kernel: Arc::downgrade(kernel),
            state: Mutex::default(),
            changed: WaitQueue::default(),
        })
    }

    /// Bytes typed, or written to the master. Returns how many there was room for.
    fn receive(&self, bytes: &[u8]) -> usize {
        let mut signals = Vec::new();
        let mut done = 0;
        let foreground = {
            let mut state = lock(&self.state);
            let State { line, termios, .. } = &mut *state;
            line.begin();
            for byte in bytes {
                if !line.has_room(termios) {
                    break;
                }
                signals.extend(line.receive(termios, *byte));
                done += 1;
            }
            state.foreground
        };
        if let (Some(group), Some(kernel)) = (foreground, self.kernel.upgrade()) {
            signals.into_iter().for_each(|signal| signal_group(&kernel, group, signal));
        }
        if done > 0 {
            self.changed.wake();
        }
        done
    }

    /// Leaves newlines as they are: who shows them adds what his screen needs.
    pub fn keep_newlines(&self) {
        lock(&self.state).termios.output &= !termios::output::ONLCR;
    }

    /// Sets the size of its window; the foreground is told.
    pub fn resize(&self, size: Size) {
        let foreground = {
            let mut state = lock(&self.state);
            if state.size == size {
                return;
            }
            state.size = size;
            state.foreground
        };
        if let (Some(group), Some(kernel)) = (foreground, self.kernel.upgrade()) {
            signal_group(&kernel, group, SIGWINCH);
        }
    }

    /// The other side is gone: whoever has it open finds its end, and the session is
    /// told.
    fn hang_up(&self) {
        let (session, foreground) = {
            let mut state = lock(&self.state);
            state.hung_up = true;
            state.line.flush_input();
            (state.session.take(), state.foreground.take())
        };
        self.changed.wake();
        let Some(kernel) = self.kernel.upgrade() else { return };
        if let Some(session) = session {
            kernel.terminals.leave(session);
            let leader = lock(&kernel.tree).row(session).map(|row| Arc::clone(&row.process));
            if let Some(leader) = leader {
                use crate::signal::{Info, SI_KERNEL, Target, send};
                for signal in [SIGHUP, SIGCONT] {
                    let target = Target::Process(Arc::clone(&leader));
                    send(&kernel, &target, Info::new(signal, SI_KERNEL));
                }
            }
        }
        if let Some(group) = foreground {
            signal_group(&kernel, group, SIGHUP);
            signal_group(&kernel, group, SIGCONT);
        }
    }

    /// Has a caller of a background group stopped by `signal`, unless that has no
    /// effect on it.
    ///
    /// # Errors
    /// `EIO` if nobody could continue it; the interruption by the signal.
    fn admit(&self, call: &Call<'_>, signal: i32) -> Result<(), Failure> {
        let (session, foreground) = {
            let state = lock(&self.state);
            (state.session, state.foreground)
        };
        let (own_session, group, orphaned) = {
            let tree = lock(&call.kernel.tree);
            let row = tree.row(call.thread.process.pid).ok_or(Errno::IO)?;
            (row.session, row.group, tree.is_orphaned(row.group))
        };
        if session != Some(own_session) || foreground.is_none_or(|f| f == group) {
            return Ok(());
        }
        let without_effect = {
            let ignored = lock(&call.thread.process.actions()).ignores(signal);
            ignored || lock(&call.thread.signals).mask & crate::signal::bit(signal) != 0
        };
        match (without_effect, signal) {
            (true, SIGTTIN) => Err(Errno::IO.into()),
            (true, _) => Ok(()),
            (false, _) if orphaned => Err(Errno::IO.into()),
            (false, _) => {
                signal_group(call.kernel, group, signal);
                Err(Failure::Interrupted(Restart::IfAsked))
            }
        }
    }

    fn admit_writer(&self, call: &Call<'_>) -> Result<(), Failure> {
        let stops = lock(&self.state).termios.local & local::TOSTOP != 0;
        if stops { self.admit(call, SIGTTOU) } else { Ok(()) }
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        self.changed.join(waiter);
    }
}
