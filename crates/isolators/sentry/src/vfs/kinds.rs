//! File systems of our own, by their type.

use std::sync::Arc;

use rustix::io::Errno;

use crate::ipc::Ipc;
use crate::kernel::Kernel;
use crate::task::pid_namespace::Pids;

use super::mount::Options;
use super::tmpfs::{New, TmpFs};
use super::{GROUP, Kind, Node, ProcNode, devtmpfs, sysfs};

/// A number for a file system that is on no device.
#[must_use]
pub fn anonymous_device() -> u64 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static LAST: AtomicU32 = AtomicU32::new(20);
    rustix::fs::makedev(0, LAST.fetch_add(1, Ordering::SeqCst))
}

/// Makes a file system of a type, with its device number and the options that it tells;
/// `None` if the type is not known.
///
/// # Errors
/// If there is no memory.
pub fn make(
    kind: &str,
    options: &Options,
    (kernel, ipc, pids): (&Kernel, &Ipc, &Pids),
) -> Result<Option<(Node, u64, String)>, Errno> {
    if kind == "mqueue" {
        let root = Arc::clone(&ipc.queues.root);
        let device = root.file_system().device;
        return Ok(Some((Node::Tmp(root), device, String::new())));
    }
    let device = anonymous_device();
    let mut told = options.others.clone();
    let node = match kind {
        "proc" => Node::Proc(ProcNode::Root(pids.clone())),
        "cgroup2" => Node::Proc(GROUP),
        "sysfs" => Node::Tmp(sysfs::new(device)?),
        "tmpfs" | "ramfs" => {
            let (total, _) = crate::syscalls::system::memory();
            // In whole pages, and told so.
            let size = options.size.map(|size| size.checked_next_multiple_of(4096).unwrap_or(size));
            let space = size.filter(|size| *size > 0).unwrap_or(total / 2);
            let files = options.inodes.filter(|files| *files > 0).unwrap_or(total / 2 / 4096);
            told.extend(size.map(|size| format!("size={}k", size / 1024)));
            told.extend(options.mode.map(|mode| format!("mode={mode:o}")));
            let new = New {
                kind: Kind::Directory,
                permissions: options.mode.unwrap_or(0o1777),
                owner: (options.user.unwrap_or(0), options.group.unwrap_or(0)),
                number: 0,
                text: b"",
            };
            Node::Tmp(TmpFs::with_root(device, space, files, new))
        }
        "devpts" => Node::Tmp(kernel.terminals.devpts(device, options)?),
        "devtmpfs" => Node::Tmp(devtmpfs::new(device, options.mode)?),
        _ => return Ok(None),
    };
    Ok(Some((node, device, told.join(","))))
}
