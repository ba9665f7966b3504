//! What `/proc/sysvipc` tells.

use std::fmt::Write as _;

use crate::kernel::Kernel;
use crate::task::Pid;
use crate::task::waiter::lock;

use super::Ipc;
use super::objects::Permissions;
use super::shared_memory;

/// Names of the texts.
pub const NAMES: &[&str] = &["msg", "sem", "shm"];

fn owners(permissions: &Permissions) -> String {
    let Permissions { owner, creator, .. } = permissions;
    format!("{:5} {:5} {:5} {:5}", owner.0, owner.1, creator.0, creator.1)
}

/// What a text says now; `number`: how who reads knows a process.
#[must_use]
pub fn of(kernel: &Kernel, ipc: &Ipc, name: &str, number: impl Fn(Pid) -> Pid) -> String {
    match name {
        "msg" => messages(ipc, number),
        "sem" => semaphores(ipc),
        _ => segments(kernel, ipc, number),
    }
}

fn messages(ipc: &Ipc, number: impl Fn(Pid) -> Pid) -> String {
    let mut text = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  \
                    cuid  cgid      stime      rtime      ctime\n"
        .to_owned();
    for (id, queue) in lock(&ipc.messages.queues).iter() {
        let (content, permissions) = (&queue.content, &queue.permissions);
        let [sent, received, changed] = content.times;
        let _ = writeln!(
            text,
            "{:10} {id:10}  {:4o}  {:10} {:10} {:5} {:5} {} {sent:10} {received:10} {changed:10}",
            permissions.key,
            permissions.mode,
            content.bytes,
            content.count(),
            number(content.processes.0),
            number(content.processes.1),
            owners(permissions),
        );
    }
    text
}

fn semaphores(ipc: &Ipc) -> String {
    let mut text =
        "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      \
                    ctime\n"
            .to_owned();
    for (id, set) in lock(&ipc.semaphores.sets).iter() {
        let [operated, changed] = set.content.times;
        let _ = writeln!(
            text,
            "{:10} {id:10}  {:4o} {:10} {} {operated:10} {changed:10}",
            set.permissions.key,
            set.permissions.mode,
            set.content.semaphores.len(),
            owners(&set.permissions),
        );
    }
    text
}

fn segments(kernel: &Kernel, ipc: &Ipc, number: impl Fn(Pid) -> Pid) -> String {
    let mut text = "       key      shmid perms                  size  cpid  lpid nattch   uid   \
                    gid  cuid  cgid      atime      dtime      ctime                   rss                  \
                    swap\n"
        .to_owned();
    let rows: Vec<_> = {
        let segments = lock(&ipc.segments);
        let row = |(id, segment): (i32, &super::objects::Object<shared_memory::Segment>)| {
            let content = &segment.content;
            let held = content.held();
            let mode = segment.permissions.mode | content.bits();
            let permissions = segment.permissions.clone();
            (
                id,
                permissions,
                mode,
                content.size,
                content.processes,
                content.times,
                content.inode,
                held,
            )
        };
        segments.iter().map(row).collect()
    };
    for (id, permissions, mode, size, (creator, last), times, inode, held) in rows {
        let [attached, detached, changed] = times;
        let (creator, last) = (number(creator), number(last));
        let _ = writeln!(
            text,
            "{:10} {id:10}  {mode:4o} {size:21} {creator:5} {last:5}  {:5} {} {attached:10} \
             {detached:10} {changed:10} {held:21} {:21}",
            permissions.key,
            shared_memory::attachments(kernel, inode),
            owners(&permissions),
            0,
        );
    }
    text
}
