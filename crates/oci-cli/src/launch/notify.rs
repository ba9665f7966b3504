//! `sd_notify(3)` from inside a container to the systemd outside.
//!
//! The container gets a socket of ours in a read-only bind mount; what it
//! says about being ready is passed on, with the main process's id.

use std::io::{IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use caisson_isolator::{ContainerId, SpawnedProcess};
use caisson_runtime_spec::{Mount, Spec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr,
};
use rustix::process::Pid;

use crate::failure::CliError;
use crate::log::Log;

/// Where the container finds the socket's directory.
const INSIDE: &str = "/run/notify";
const NAME: &str = "notify.sock";

/// How long systemd may take to confirm that it has read everything.
const BARRIER: Duration = Duration::from_secs(30);

/// A container's way to `$NOTIFY_SOCKET`.
#[derive(Debug)]
pub(crate) struct NotifySocket {
    /// The socket of who started this program.
    host: PathBuf,
    dir: PathBuf,
    socket: Option<UnixDatagram>,
}

impl NotifySocket {
    /// If this program was started by somebody who wants to be notified.
    pub(crate) fn from_env(root: &Path, id: &ContainerId) -> Option<Self> {
        let host = std::env::var_os("NOTIFY_SOCKET").filter(|host| !host.is_empty())?;
        Some(Self { host: host.into(), dir: dir(root, id), socket: None })
    }

    /// Makes the directory and adds mount and variable to the configuration.
    pub(super) fn prepare(&self, spec: &mut Spec) -> Result<(), CliError> {
        let failed = |e| CliError::io(format!("make directory {}", self.dir.display()), e);
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&self.dir).map_err(failed)?;
        let source = self.dir.to_str().ok_or_else(|| {
            CliError::Refused(format!("path {} is not valid UTF-8", self.dir.display()))
        })?;
        let options = ["bind", "nosuid", "noexec", "nodev", "ro"];
        spec.mounts.push(Mount {
            destination: INSIDE.to_owned(),
            source: Some(source.to_owned()),
            options: options.map(str::to_owned).to_vec(),
            ..Mount::default()
        });
        if let Some(process) = &mut spec.process {
            process.env.push(format!("NOTIFY_SOCKET={INSIDE}/{NAME}"));
        }
        Ok(())
    }

    /// Whether the container was created with the mount.
    pub(crate) fn is_prepared(&self) -> bool {
        self.dir.is_dir()
    }

    /// Opens the socket, for any user inside.
    pub(crate) fn bind(&mut self) -> Result<(), CliError> {
        let path = self.dir.join(NAME);
        let failed = |e| CliError::io(format!("bind {}", path.display()), e);
        let socket = UnixDatagram::bind(&path).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).map_err(failed)?;
        self.socket = Some(socket);
        Ok(())
    }

    /// The socket to poll for messages.
    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Passes on the pending messages that say "ready", with `main_pid` as the
    /// process for systemd to watch.
    pub(super) fn forward_pending(&self, main_pid: Pid, log: &Log) {
        while let Some(ready) = self.next_ready() {
            if let Err(error) = ready.map_or(Ok(()), |line| self.tell(&line, main_pid)) {
                log.warn(&error.to_string());
            }
        }
    }

    /// Waits until the process is ready or has ended, passes that on and has
    /// systemd confirm it, since this program ends then.
    pub(crate) fn forward_until_ready(&self, process: &SpawnedProcess) -> Result<(), CliError> {
        let Some(socket) = &self.socket else { return Ok(()) };
        loop {
            let mut fds =
                [PollFd::new(socket, PollFlags::IN), PollFd::new(&process.pidfd, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(CliError::io("wait for the container", error)),
            }
            let [_, ended] = &fds;
            let ended = !ended.revents().is_empty();
            while let Some(ready) = self.next_ready() {
                if let Some(line) = ready {
                    self.tell(&line, process.pid)?;
                    let confirmed = self.barrier();
                    self.remove();
                    return confirmed;
                }
            }
            if ended {
                self.remove();
                return Ok(());
            }
        }
    }

    /// Removes the socket and its directory from the host.
    pub(crate) fn remove(&self) {
        // Either may be gone already.
        let _ = std::fs::remove_file(self.dir.join(NAME));
        let _ = std::fs::remove_dir(&self.dir);
    }

    /// Takes one message: its line that says "ready", if it has one. `None` if
    /// there is no message.
    fn next_ready(&self) -> Option<Option<Vec<u8>>> {
        let mut message = vec![0; 4096];
        let length = self.socket.as_ref()?.recv(&mut message).ok()?;
        message.truncate(length);
        let line = message.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"READY="));
        Some(line.map(<[u8]>::to_vec))
    }

    fn tell(&self, ready: &[u8], main_pid: Pid) -> Result<(), CliError> {
        let mut line = ready.to_vec();
        line.push(b'\n');
        self.send(&line, None)?;
        self.send(format!("MAINPID={}\n", main_pid.as_raw_nonzero()).as_bytes(), None)
    }

    /// Waits until systemd has handled what was sent: it closes the pipe end
    /// that comes with the message (sd_notify_barrier(3)).
    fn barrier(&self) -> Result<(), CliError> {
        let failed = |e| CliError::io("wait for systemd's confirmation", e);
        let (mut reader, writer) = std::io::pipe().map_err(failed)?;
        self.send(b"BARRIER=1", Some(writer.as_fd()))?;
        drop(writer);
        let timeout = Timespec { tv_sec: BARRIER.as_secs().cast_signed(), tv_nsec: 0 };
        let mut fds = [PollFd::new(&reader, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            // Old systemd does not know the message; it is told all the same.
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(failed(error.into())),
        }
        match reader.read(&mut [0]).map_err(failed)? {
            0 => Ok(()),
            _ => Err(CliError::Refused("unexpected data from systemd's confirmation".to_owned())),
        }
    }

    fn send(&self, message: &[u8], descriptor: Option<BorrowedFd<'_>>) -> Result<(), CliError> {
        let failed = |e: Errno| CliError::io(format!("notify {}", self.host.display()), e);
        let socket = UnixDatagram::unbound().map_err(|e| CliError::io("make a socket", e))?;
        let name = std::os::unix::ffi::OsStrExt::as_bytes(self.host.as_os_str());
        // A leading @ means the abstract namespace (sd_notify(3)).
        let address = match name.split_first() {
            Some((b'@', name)) => SocketAddrUnix::new_abstract_name(name),
            _ => SocketAddrUnix::new(&self.host),
        };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptor.as_slice().is_empty() {
            control.push(SendAncillaryMessage::ScmRights(descriptor.as_slice()));
        }
        let payload = [IoSlice::new(message)];
        let address = address.map_err(failed)?;
        sendmsg_addr(&socket, &address, &payload, &mut control, SendFlags::NOSIGNAL)
            .map_err(failed)?;
        Ok(())
    }
}

/// Removes what `create` left for a `start` that never came.
pub(crate) fn forget(root: &Path, id: &ContainerId) {
    if let Some(socket) = NotifySocket::from_env(root, id) {
        socket.remove();
    }
}

/// Beside the containers, under a name that no container can have.
fn dir(root: &Path, id: &ContainerId) -> PathBuf {
    root.join("@notify").join(id.as_str())
}
