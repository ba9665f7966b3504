//! The pseudo-terminal, on its way from the runtime to who asked for it.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use caisson_foreign::console::pass_on;
use caisson_isolator::{ConsoleSocket, SandboxError};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix,
    SocketFlags, SocketType, accept_with, bind, listen, recvmsg, socket_with,
};
use rustix::termios::isatty;
use rustix::time::Timespec;

use crate::state::StateDir;
use caisson_foreign::program::Watch;
use caisson_foreign::step::Context as _;

/// A socket that the runtime connects to, and where what comes goes.
pub(crate) struct Console<'a> {
    listener: OwnedFd,
    connection: Option<OwnedFd>,
    passed_on: bool,
    to: &'a ConsoleSocket,
}

impl<'a> Console<'a> {
    /// Listens under `name` in `dir`.
    pub(crate) fn listen(
        dir: &StateDir,
        name: &str,
        to: &'a ConsoleSocket,
    ) -> Result<(Self, PathBuf), SandboxError> {
        let step = || "listen for the terminal";
        let path = dir.short_path().join(name);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).context(step)?;
        bind(&socket, &SocketAddrUnix::new(&path).context(step)?).context(step)?;
        listen(&socket, 1).context(step)?;
        let console = Self { listener: socket, connection: None, passed_on: false, to };
        Ok((console, path))
    }

    /// The runtime has ended: takes what it has sent by then.
    pub(crate) fn finish(mut self) -> Result<(), String> {
        let now = Timespec::default();
        while let Some(source) = self.source() {
            let mut wanted = [PollFd::from_borrowed_fd(source, PollFlags::IN)];
            match retry_on_intr(|| poll(&mut wanted, Some(&now))) {
                Ok(0) => return Err("the runtime has sent no terminal".to_owned()),
                Ok(_) => self.take()?,
                Err(error) => return Err(format!("wait for the terminal: {error}")),
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Result<(), String> {
        let words = |what: &'static str| move |e: rustix::io::Errno| format!("{what}: {e}");
        let Some(connection) = &self.connection else {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket =
                accept_with(&self.listener, flags).map_err(words("hear the runtime's terminal"))?;
            self.connection = Some(socket);
            return Ok(());
        };
        let mut name = [0_u8; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            connection,
            &mut [IoSliceMut::new(&mut name)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
        .map_err(words("receive the runtime's terminal"))?;
        if received.bytes == 0 {
            // Why it has gone, the runtime is going to say.
            self.connection = None;
            return Ok(());
        }
        let master = control
            .drain()
            .find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
                _ => None,
            })
            .ok_or("receive the runtime's terminal: it sent no descriptor")?;
        if !isatty(&master) {
            return Err("receive the runtime's terminal: it sent something else".to_owned());
        }
        pass_on(self.to, &master)?;
        self.passed_on = true;
        Ok(())
    }
}

impl Watch for Console<'_> {
    fn source(&self) -> Option<BorrowedFd<'_>> {
        match self.passed_on {
            true => None,
            false => Some(self.connection.as_ref().unwrap_or(&self.listener).as_fd()),
        }
    }

    fn react(&mut self) -> Result<(), String> {
        self.take()
    }
}
