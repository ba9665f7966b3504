//! The process's pseudo-terminal.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use caisson_isolator::ConsoleSocket;
use caisson_rootpath::{Root, check_ptmx, check_pty_slave};
use caisson_runtime_spec::{ConsoleSize, Process};
use rustix::fs::{Gid, Mode, OFlags, Uid, fchown};
use rustix::process::ioctl_tiocsctty;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr, tcsetwinsize};

use super::attach::{attach, copy_of, is_on_procfs};
use crate::channel::send_descriptors;
use crate::step::{Context, StepError};

const PTMX: &str = "/dev/pts/ptmx";

/// The slave end, to become the process's controlling terminal.
#[derive(Debug)]
pub(crate) struct Console {
    slave: OwnedFd,
}

impl AsFd for Console {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.slave.as_fd()
    }
}

impl Console {
    /// Opens a pseudo-terminal of the container's own devpts and sends the
    /// master over `socket`. With `mount`, shows the slave as `/dev/console`.
    ///
    /// All by descriptor, each checked to be what its name says: `/dev/pts`,
    /// `ptmx` and `/dev/console` are the image's (CVE-2025-52565).
    pub(crate) fn open(
        root: &Root,
        process: &Process,
        socket: &ConsoleSocket,
        mount: bool,
    ) -> Result<Self, StepError> {
        let step = || format!("open {PTMX} of the container (is a devpts mounted there?)");
        let ptmx = root.resolve(Path::new(PTMX)).context(step)?;
        check_ptmx(&ptmx).map_err(|fault| fault.to_string()).context(step)?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let master = reopen(&ptmx, flags).context(step)?;
        unlockpt(&master).context(|| "unlock the pseudo-terminal")?;
        let slave = ioctl_tiocgptpeer(
            &master,
            OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
        )
        .context(|| "open the pseudo-terminal's slave")?;
        check_pty_slave(&slave)
            .map_err(|fault| fault.to_string())
            .context(|| "open the pseudo-terminal's slave")?;
        if let Some(ConsoleSize { height, width }) = process.console_size {
            let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
            tcsetwinsize(&master, size).context(|| "set process.consoleSize")?;
        }
        if socket.plain_newlines {
            keep_newlines(&master).context(|| "set the terminal's modes")?;
        }
        let uid = Uid::from_raw(process.user.uid);
        match fchown(&slave, Some(uid), None::<Gid>) {
            // Not mapped, or not ours to give away.
            Ok(()) | Err(rustix::io::Errno::PERM | rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error).context(|| "give the terminal to process.user"),
        }
        if mount {
            let target = root
                .create_file_at(Path::new("/dev/console"), Mode::from_raw_mode(0o620))
                .context(|| "make /dev/console")?;
            if is_on_procfs(&target)? {
                return Err(StepError::new("mount /dev/console", "it leads into procfs"));
            }
            attach(&copy_of(&slave, false)?, &target).context(|| "mount /dev/console")?;
        }
        // The name is what runc sends; receivers show it or ignore it.
        send_descriptors(&socket.socket, b"/dev/ptmx", &[master.as_fd()])
            .context(|| "send the terminal over the console socket")?;
        Ok(Self { slave })
    }

    /// Makes it the controlling terminal and the three standard streams. The
    /// caller leads a session.
    pub(crate) fn take(&self) -> Result<(), StepError> {
        let step = || "take the controlling terminal";
        ioctl_tiocsctty(&self.slave).context(step)?;
        dup2_stdin(&self.slave).context(step)?;
        dup2_stdout(&self.slave).context(step)?;
        dup2_stderr(&self.slave).context(step)
    }
}

/// Opens a checked `O_PATH` descriptor for use; /proc is not the container's.
fn reopen(fd: &OwnedFd, flags: OFlags) -> Result<OwnedFd, StepError> {
    let proc = caisson_rootpath::ProcHandle::new(caisson_rootpath::ProcScope::Pids)
        .context(|| "get a procfs of our own")?;
    proc.reopen(fd, flags).context(|| "open")
}

fn keep_newlines(master: &OwnedFd) -> rustix::io::Result<()> {
    let mut modes = tcgetattr(master)?;
    modes.output_modes.remove(OutputModes::ONLCR);
    tcsetattr(master, OptionalActions::Now, &modes)
}
