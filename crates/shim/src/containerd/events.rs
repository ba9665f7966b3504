//! What containerd is told of: events, forwarded to it over ttrpc.

use crate::MountRequest;
use caisson_containerd::protobuf::{Writer, any};
use caisson_containerd::task::{Exit, Stdio};
use caisson_containerd::ttrpc::Call;

/// Something that containerd is told.
#[derive(Clone, Debug)]
pub(crate) enum TaskEvent<'a> {
    Create { bundle: &'a str, rootfs: &'a [MountRequest], stdio: &'a Stdio, pid: u64 },
    Start { pid: u64 },
    ExecAdded { exec: &'a str },
    ExecStarted { exec: &'a str, pid: u64 },
    Exit { process: &'a str, pid: u64, exit: Exit },
    Delete { process: &'a str, pid: u64, exit: Exit },
    Oom,
    Paused,
    Resumed,
}

impl TaskEvent<'_> {
    fn names(&self) -> (&'static str, &'static str) {
        match self {
            Self::Create { .. } => ("/tasks/create", "containerd.events.TaskCreate"),
            Self::Start { .. } => ("/tasks/start", "containerd.events.TaskStart"),
            Self::ExecAdded { .. } => ("/tasks/exec-added", "containerd.events.TaskExecAdded"),
            Self::ExecStarted { .. } => {
                ("/tasks/exec-started", "containerd.events.TaskExecStarted")
            }
            Self::Exit { .. } => ("/tasks/exit", "containerd.events.TaskExit"),
            Self::Delete { .. } => ("/tasks/delete", "containerd.events.TaskDelete"),
            Self::Oom => ("/tasks/oom", "containerd.events.TaskOOM"),
            Self::Paused => ("/tasks/paused", "containerd.events.TaskPaused"),
            Self::Resumed => ("/tasks/resumed", "containerd.events.TaskResumed"),
        }
    }

    fn body(&self, container: &str) -> Vec<u8> {
        let writer = Writer::default().text(1, container);
        match self {
            Self::Create { bundle, rootfs, stdio, pid } => {
                let io = Writer::default()
                    .text(1, &stdio.stdin)
                    .text(2, &stdio.stdout)
                    .text(3, &stdio.stderr)
                    .number(4, stdio.terminal.into())
                    .done();
                let mounts = rootfs.iter().fold(writer.text(2, bundle), |writer, mount| {
                    let plain = Writer::default().text(1, &mount.kind).text(2, &mount.source);
                    let options = mount.options.iter();
                    let all = options.fold(plain, |writer, option| writer.text(4, option));
                    writer.message(3, &all.done())
                });
                mounts.message(4, &io).number(6, *pid)
            }
            Self::Start { pid } => writer.number(2, *pid),
            Self::ExecAdded { exec } => writer.text(2, exec),
            Self::ExecStarted { exec, pid } => writer.text(2, exec).number(3, *pid),
            Self::Exit { process, pid, exit } => {
                writer.text(2, process).number(3, *pid).number(4, exit.status).time(5, exit.at)
            }
            Self::Delete { process, pid, exit } => {
                writer.number(2, *pid).number(3, exit.status).time(4, exit.at).text(5, process)
            }
            Self::Oom | Self::Paused | Self::Resumed => writer,
        }
        .done()
    }

    /// The request that tells of it.
    pub(crate) fn forward(&self, namespace: &str, container: &str, now: u64) -> Call {
        let (topic, kind) = self.names();
        let envelope = Writer::default()
            .time(1, now)
            .text(2, namespace)
            .text(3, topic)
            .message(4, &any(kind, &self.body(container)))
            .done();
        Call {
            service: "containerd.services.events.ttrpc.v1.Events".to_owned(),
            method: "Forward".to_owned(),
            payload: Writer::default().message(1, &envelope).done(),
            limit: None,
        }
    }
}
