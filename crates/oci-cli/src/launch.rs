//! Starting a process: what `create`, `run` and `exec` have in common.

mod container;
pub(crate) mod foreground;
mod listen_fds;
mod notify;
mod pid_file;
mod sockets;
mod terminal;

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use caisson_isolator::{ConsoleSocket, SpawnedProcess};
use caisson_runtime_spec::ConsoleSize;

pub(crate) use container::{Mode, container, first_process};
pub(crate) use notify::{NotifySocket, forget as forget_notify_socket};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::failure::CliError;
use crate::flags::Parsed;

/// The flags that say how a process starts.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) detach: bool,
    /// How many descriptors from 3 upwards the process inherits.
    pub(crate) preserve_fds: u32,
    console_socket: Option<PathBuf>,
    pidfd_socket: Option<PathBuf>,
    pid_file: Option<PathBuf>,
}

/// The two ends of a terminal's way out.
#[derive(Debug, Default)]
pub(crate) struct Console {
    /// Where the engine sends the master.
    pub(crate) for_engine: Option<ConsoleSocket>,
    /// Who takes it, if that is this program.
    pub(crate) proxy: Option<terminal::Proxy>,
}

impl Console {
    /// The size that the terminal starts with, if the caller's terminal
    /// decides that.
    pub(crate) fn size(&self) -> Option<ConsoleSize> {
        self.proxy.as_ref().and_then(terminal::Proxy::size)
    }
}

impl Launch {
    /// From the flags; `detach` is what they and the command say together.
    pub(crate) fn new(flags: &Parsed<'_>, detach: bool) -> Result<Self, CliError> {
        let preserve_fds = match flags.integer("preserve-fds") {
            None => 0,
            Some(count) => {
                u32::try_from(count).ok().filter(|n| *n <= 1 << 20).ok_or_else(|| {
                    CliError::Refused(format!(
                        "--preserve-fds {count} is not between 0 and 1048576"
                    ))
                })?
            }
        };
        Ok(Self {
            detach,
            preserve_fds,
            console_socket: flags.filled_path("console-socket"),
            pidfd_socket: flags.filled_path("pidfd-socket"),
            pid_file: flags.filled_path("pid-file"),
        })
    }

    /// A terminal needs somebody who holds its other end, and only then.
    /// The texts are runc's, which tools compare.
    pub(crate) fn check_terminal(&self, terminal: bool) -> Result<(), CliError> {
        let why = match (self.detach, terminal, &self.console_socket) {
            (true, true, None) => {
                "cannot allocate tty if runc will detach without setting console socket"
            }
            (false, _, Some(_)) | (_, false, Some(_)) => {
                "cannot use console socket if runc will not detach or allocate tty"
            }
            _ => return Ok(()),
        };
        Err(CliError::Refused(why.to_owned()))
    }

    /// Checks that the descriptors to pass on are open, after `listening`
    /// sockets of systemd, which come first and count too.
    pub(crate) fn claim_descriptors(&mut self, listening: u32) -> Result<(), CliError> {
        for index in 0..self.preserve_fds {
            let path = format!("/proc/self/fd/{}", 3 + listening + index);
            rustix::fs::access(path.as_str(), rustix::fs::Access::EXISTS).map_err(|e| {
                let count = self.preserve_fds;
                CliError::io(format!("unable to stat preserved-fd {index} (of {count})"), e)
            })?;
        }
        self.preserve_fds += listening;
        Ok(())
    }

    /// Connects the terminal's way out: to the caller's socket when detached,
    /// else to a proxy between it and the caller's own terminal.
    pub(crate) fn console(&self, terminal: bool) -> Result<Console, CliError> {
        if !terminal {
            return Ok(Console::default());
        }
        if let Some(path) = &self.console_socket {
            let socket = sockets::connect("console socket", path)?;
            let for_engine = Some(ConsoleSocket { socket, plain_newlines: false });
            return Ok(Console { for_engine, proxy: None });
        }
        let host = terminal::HostTerminal::find()?;
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .map_err(|e| CliError::io("make a socket pair for the terminal", e))?;
        let theirs = ConsoleSocket { socket: theirs, plain_newlines: true };
        Ok(Console { for_engine: Some(theirs), proxy: Some(terminal::Proxy::new(host, ours)) })
    }

    /// Connects `--pidfd-socket`, before there is a process to be lost.
    pub(crate) fn connect_pidfd_socket(&self) -> Result<Option<OwnedFd>, CliError> {
        self.pidfd_socket.as_deref().map(|path| sockets::connect("pidfd socket", path)).transpose()
    }

    /// Tells the caller which process it is: by pidfd, with `label` as runc
    /// sends it, and by file.
    pub(crate) fn publish(
        &self,
        process: &SpawnedProcess,
        pidfd_socket: Option<OwnedFd>,
        label: &str,
    ) -> Result<(), CliError> {
        if let Some(socket) = pidfd_socket {
            sockets::send_descriptor(&socket, label, &process.pidfd)
                .map_err(|e| CliError::io("send the pidfd to --pidfd-socket", e))?;
        }
        self.write_pid_file(process.pid.as_raw_nonzero().get())
    }

    fn write_pid_file(&self, pid: i32) -> Result<(), CliError> {
        match &self.pid_file {
            Some(path) => pid_file::write(path, pid)
                .map_err(|e| CliError::io(format!("write pid file {}", path.display()), e)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Launch;

    #[test]
    fn a_console_socket_is_needed_exactly_for_a_detached_terminal() {
        let launch = |detach, socket: bool| Launch {
            detach,
            preserve_fds: 0,
            console_socket: socket.then(|| "/s".into()),
            pidfd_socket: None,
            pid_file: None,
        };
        for (detach, terminal, socket, fine) in [
            (true, true, true, true),
            (true, true, false, false),
            (true, false, true, false),
            (true, false, false, true),
            (false, true, true, false),
            (false, true, false, true),
            (false, false, true, false),
            (false, false, false, true),
        ] {
            let result = launch(detach, socket).check_terminal(terminal);
            assert_eq!(result.is_ok(), fine, "{detach} {terminal} {socket}: {result:?}");
        }
    }

    #[test]
    fn descriptors_to_pass_on_have_to_be_open() {
        let mut launch = Launch {
            detach: true,
            preserve_fds: 1 << 20,
            console_socket: None,
            pidfd_socket: None,
            pid_file: None,
        };
        let error = launch.claim_descriptors(0).unwrap_err().to_string();
        assert!(error.starts_with("unable to stat preserved-fd "), "{error}");
    }
}
