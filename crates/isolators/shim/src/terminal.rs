//! A terminal between a shim's and the caller's.
//!
//! A shim keeps the process's own terminal and carries its bytes. Callers take
//! a terminal's master, to set its size, and to read and write. So they get one
//! of ours, which leaves every byte as it is, and whose size is passed on.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use caisson_foreign::console::pass_on;
use caisson_foreign::step::Context as _;
use caisson_isolator::{ConsoleSocket, SandboxError};
use caisson_sys::signal_fd::{SignalFd, SignalMask};
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{OptionalActions, Winsize, tcgetattr, tcgetwinsize, tcsetattr};

/// Our side of it.
#[derive(Debug)]
pub(crate) struct Terminal {
    slave: OwnedFd,
}

impl Terminal {
    /// Makes one, and sends its master to who asked.
    pub(crate) fn make(to: &ConsoleSocket) -> Result<Self, SandboxError> {
        let step = || "make a terminal";
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).context(step)?;
        grantpt(&master).and_then(|()| unlockpt(&master)).context(step)?;
        let slave = ioctl_tiocgptpeer(&master, flags).context(step)?;
        let mut modes = tcgetattr(&slave).context(step)?;
        modes.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &modes).context(step)?;
        pass_on(to, &master).context(step)?;
        Ok(Self { slave })
    }

    pub(crate) fn copy(&self) -> Result<OwnedFd, SandboxError> {
        self.slave.try_clone().context(|| "duplicate a terminal's descriptor")
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.slave.as_fd()
    }
}

/// Hears of the terminal's size.
#[derive(Debug)]
pub(crate) struct Sizes {
    terminal: Terminal,
    signals: SignalFd,
    last: (u16, u16),
}

impl Sizes {
    /// In a process of its own, which becomes the one that is told (SIGWINCH).
    pub(crate) fn follow(terminal: Terminal) -> Option<Self> {
        let mask = SignalMask::sendable();
        mask.block().ok()?;
        let signals = SignalFd::new(&mask).ok()?;
        setsid().ok()?;
        ioctl_tiocsctty(&terminal.slave).ok()?;
        Some(Self { terminal, signals, last: (0, 0) })
    }

    /// Readable when the size may have changed.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    /// Rows and columns, if they have changed.
    pub(crate) fn changed(&mut self) -> Option<(u16, u16)> {
        while let Ok(Some(_)) = self.signals.take() {}
        let Winsize { ws_row, ws_col, .. } = tcgetwinsize(&self.terminal.slave).ok()?;
        let size = (ws_row, ws_col);
        let new = size != self.last && size != (0, 0);
        self.last = size;
        new.then_some(size)
    }
}
