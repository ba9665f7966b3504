//! What a shim is asked, and what it answers, from the caller's side.

use super::{Create, Exec, Exit, ProcessState, Target};
use crate::protobuf::{Malformed, Message, Writer, any};

/// The kind of an OCI process in JSON.
const PROCESS: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";
/// The kind of an OCI container's limits in JSON.
const LIMITS: &str = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";

impl Target {
    fn writer(&self) -> Writer {
        Writer::default().text(1, &self.id).text(2, &self.exec)
    }

    /// `StartRequest`, `DeleteRequest`, `StateRequest`, `WaitRequest`.
    #[must_use]
    pub fn request(&self) -> Vec<u8> {
        self.writer().done()
    }

    /// `KillRequest`.
    #[must_use]
    pub fn kill(&self, signal: u32, all: bool) -> Vec<u8> {
        self.writer().number(3, signal.into()).number(4, all.into()).done()
    }

    /// `ResizePtyRequest`.
    #[must_use]
    pub fn resize(&self, rows: u16, columns: u16) -> Vec<u8> {
        self.writer().number(3, columns.into()).number(4, rows.into()).done()
    }

    /// `CloseIORequest`, of standard input.
    #[must_use]
    pub fn close_input(&self) -> Vec<u8> {
        self.writer().number(3, 1).done()
    }
}

/// A request that names a container and nothing else: `PidsRequest`,
/// `PauseRequest`, `ResumeRequest`, `StatsRequest`, `ConnectRequest`.
#[must_use]
pub fn of_container(id: &str) -> Vec<u8> {
    Writer::default().text(1, id).done()
}

/// `ShutdownRequest`: the shim is to go if it has nothing left, or, `now`, at
/// any rate.
#[must_use]
pub fn shutdown(id: &str, now: bool) -> Vec<u8> {
    Writer::default().text(1, id).number(2, now.into()).done()
}

/// `UpdateTaskRequest`, with limits in JSON.
#[must_use]
pub fn update(id: &str, limits: &[u8]) -> Vec<u8> {
    Writer::default().text(1, id).message(2, &any(LIMITS, limits)).done()
}

impl Create {
    /// `CreateTaskRequest`.
    #[must_use]
    pub fn request(&self) -> Vec<u8> {
        let writer = Writer::default().text(1, &self.id).text(2, &self.bundle);
        let mounts =
            self.rootfs.iter().fold(writer, |writer, mount| writer.message(3, &mount.message()));
        let writer = mounts
            .number(4, self.stdio.terminal.into())
            .text(5, &self.stdio.stdin)
            .text(6, &self.stdio.stdout)
            .text(7, &self.stdio.stderr);
        match self.options.as_slice() {
            [] => writer.done(),
            options => writer.message(10, options).done(),
        }
    }
}

impl Exec {
    /// `ExecProcessRequest`.
    #[must_use]
    pub fn request(&self) -> Vec<u8> {
        self.target
            .writer()
            .number(3, self.stdio.terminal.into())
            .text(4, &self.stdio.stdin)
            .text(5, &self.stdio.stdout)
            .text(6, &self.stdio.stderr)
            .message(7, &any(PROCESS, &self.process))
            .done()
    }
}

/// The process in a `CreateTaskResponse`, `StartResponse` or, as the shim's
/// own, a `ConnectResponse`; 0 if it names none that a process can have.
///
/// # Errors
/// [`Malformed`].
pub fn pid_of(answer: &[u8]) -> Result<i32, Malformed> {
    Ok(i32::try_from(Message::parse(answer)?.number(1)).unwrap_or_default())
}

/// `PidsResponse`.
///
/// # Errors
/// [`Malformed`].
pub fn pids_of(answer: &[u8]) -> Result<Vec<i32>, Malformed> {
    Message::parse(answer)?.each(1).map(pid_of).collect()
}

impl Exit {
    /// Of a `WaitResponse`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn waited(answer: &[u8]) -> Result<Self, Malformed> {
        let message = Message::parse(answer)?;
        Ok(Self { status: message.number(1), at: message.time(2)? })
    }
}

impl ProcessState {
    /// Of a `StateResponse`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(answer: &[u8]) -> Result<Self, Malformed> {
        let message = Message::parse(answer)?;
        Ok(Self {
            bundle: message.text(2)?,
            pid: message.number(3),
            status: message.number(4),
            exit: Exit { status: message.number(9), at: message.time(10)? },
        })
    }
}
