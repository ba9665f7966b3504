//! What a shim is asked, and what it answers, from the shim's side.

use super::{Create, Exec, Exit, MountRequest, ProcessState, Stdio, Target};
use crate::protobuf::{Malformed, Message, Writer};

impl Target {
    /// Fields 1 and 2 of most requests.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(message: &Message<'_>) -> Result<Self, Malformed> {
        Ok(Self { id: message.text(1)?, exec: message.text(2)? })
    }
}

impl Create {
    /// Reads a `CreateTaskRequest`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(message: &Message<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: message.text(1)?,
            bundle: message.text(2)?,
            rootfs: message.each(3).map(MountRequest::parse).collect::<Result<_, _>>()?,
            stdio: Stdio {
                terminal: message.flag(4),
                stdin: message.text(5)?,
                stdout: message.text(6)?,
                stderr: message.text(7)?,
            },
            checkpoint: message.text(8)?,
            options: message.bytes(10).to_vec(),
        })
    }
}

impl MountRequest {
    /// Reads a `containerd.types.Mount`.
    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let message = Message::parse(bytes)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| Malformed);
        Ok(Self {
            kind: message.text(1)?,
            source: message.text(2)?,
            target: message.text(3)?,
            options: message.each(4).map(text).collect::<Result<_, _>>()?,
        })
    }

    /// A `containerd.types.Mount`.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let plain =
            Writer::default().text(1, &self.kind).text(2, &self.source).text(3, &self.target);
        self.options.iter().fold(plain, |writer, option| writer.text(4, option)).done()
    }
}

impl Exec {
    /// Reads a `ExecProcessRequest`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(message: &Message<'_>) -> Result<Self, Malformed> {
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

/// `StateResponse`.
#[must_use]
pub fn state(target: &Target, stdio: &Stdio, state: &ProcessState) -> Vec<u8> {
    let writer = Writer::default()
        .text(1, &target.id)
        .text(2, &state.bundle)
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
#[must_use]
pub fn deleted(pid: u64, exit: Exit) -> Vec<u8> {
    Writer::default().number(1, pid).number(2, exit.status).time(3, exit.at).done()
}

/// `WaitResponse`.
#[must_use]
pub fn waited(exit: Exit) -> Vec<u8> {
    Writer::default().number(1, exit.status).time(2, exit.at).done()
}

/// `CreateTaskResponse` and `StartResponse`.
#[must_use]
pub fn process(pid: u64) -> Vec<u8> {
    Writer::default().number(1, pid).done()
}

/// `PidsResponse`.
#[must_use]
pub fn pids(pids: &[i32]) -> Vec<u8> {
    let each = |writer: Writer, pid: &i32| {
        writer.message(1, &process(u64::try_from(*pid).unwrap_or_default()))
    };
    pids.iter().fold(Writer::default(), each).done()
}

/// `ConnectResponse`, of a shim with that process, program and version.
#[must_use]
pub fn connected(shim: u64, task: u64, version: &str) -> Vec<u8> {
    Writer::default().number(1, shim).number(2, task).text(3, version).done()
}
