//! Messages of `containerd.task.v2.Task`.

use super::protobuf::{Malformed, Message, Writer};
use crate::{MountRequest, Status};

/// The service.
pub(crate) const SERVICE: &str = "containerd.task.v2.Task";

/// Where a process's streams are: paths of FIFOs, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stdio {
    pub(crate) terminal: bool,
    pub(crate) stdin: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// What a method works on: a container, or a program that was added to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) id: String,
    /// Empty: the container itself.
    pub(crate) exec: String,
}

impl Target {
    /// Fields 1 and 2 of most requests.
    pub(crate) fn parse(message: &Message<'_>) -> Result<Self, Malformed> {
        Ok(Self { id: message.text(1)?, exec: message.text(2)? })
    }
}

/// A container to make.
#[derive(Clone, Debug, Default)]
pub(crate) struct Create {
    pub(crate) id: String,
    pub(crate) bundle: String,
    pub(crate) rootfs: Vec<MountRequest>,
    pub(crate) stdio: Stdio,
    pub(crate) checkpoint: String,
}

impl Create {
    pub(crate) fn parse(message: &Message<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: message.text(1)?,
            bundle: message.text(2)?,
            rootfs: message.each(3).map(mount).collect::<Result<_, _>>()?,
            stdio: Stdio {
                terminal: message.flag(4),
                stdin: message.text(5)?,
                stdout: message.text(6)?,
                stderr: message.text(7)?,
            },
            checkpoint: message.text(8)?,
        })
    }
}

fn mount(bytes: &[u8]) -> Result<MountRequest, Malformed> {
    let message = Message::parse(bytes)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| Malformed);
    Ok(MountRequest {
        kind: message.text(1)?,
        source: message.text(2)?,
        target: message.text(3)?,
        options: message.each(4).map(text).collect::<Result<_, _>>()?,
    })
}

/// A program to add.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exec {
    pub(crate) target: Target,
    pub(crate) stdio: Stdio,
    /// JSON of an OCI process.
    pub(crate) process: Vec<u8>,
}

impl Exec {
    pub(crate) fn parse(message: &Message<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            target: Target::parse(message)?,
            stdio: Stdio {
                terminal: message.flag(3),
                stdin: message.text(4)?,
                stdout: message.text(5)?,
                stderr: message.text(6)?,
            },
            process: Message::parse(message.bytes(7))?.bytes(2).to_vec(),
        })
    }
}

/// A process now.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProcessState<'a> {
    pub(crate) bundle: &'a str,
    pub(crate) pid: u64,
    pub(crate) status: u64,
    pub(crate) exit: Exit,
}

/// How a process has ended; all zero if it has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) status: u64,
    /// Nanoseconds since 1970.
    pub(crate) at: u64,
}

/// containerd's number for it.
pub(crate) const fn status_number(status: Status) -> u64 {
    match status {
        Status::Creating | Status::Created => 1,
        Status::Running | Status::Restarting => 2,
        Status::Stopped => 3,
        Status::Paused => 4,
    }
}

/// `StateResponse`.
pub(crate) fn state(target: &Target, stdio: &Stdio, state: &ProcessState<'_>) -> Vec<u8> {
    let writer = Writer::default()
        .text(1, &target.id)
        .text(2, state.bundle)
        .number(3, state.pid)
        .number(4, state.status)
        .text(5, &stdio.stdin)
        .text(6, &stdio.stdout)
        .text(7, &stdio.stderr)
        .number(8, stdio.terminal.into())
        .number(9, state.exit.status);
    let writer = if state.exit.at == 0 { writer } else { writer.time(10, state.exit.at) };
    writer.text(11, &target.exec).done()
}

/// `DeleteResponse`.
pub(crate) fn deleted(pid: u64, exit: Exit) -> Vec<u8> {
    Writer::default().number(1, pid).number(2, exit.status).time(3, exit.at).done()
}

/// `WaitResponse`.
pub(crate) fn waited(exit: Exit) -> Vec<u8> {
    Writer::default().number(1, exit.status).time(2, exit.at).done()
}

/// `CreateTaskResponse` and `StartResponse`.
pub(crate) fn process(pid: u64) -> Vec<u8> {
    Writer::default().number(1, pid).done()
}

/// `PidsResponse`.
pub(crate) fn pids(pids: &[i32]) -> Vec<u8> {
    let each = |writer: Writer, pid: &i32| {
        writer.message(1, &process(u64::try_from(*pid).unwrap_or_default()))
    };
    pids.iter().fold(Writer::default(), each).done()
}

/// `ConnectResponse`.
pub(crate) fn connected(shim: u64, task: u64) -> Vec<u8> {
    Writer::default().number(1, shim).number(2, task).text(3, env!("CARGO_PKG_VERSION")).done()
}
