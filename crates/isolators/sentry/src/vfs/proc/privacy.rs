//! What of a process others see: modes and owners, and what only who may trace it may read.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::mm::Space;
use crate::settings::is_of_network;
use crate::task::user_namespace::root_of;
use crate::task::waiter::lock;
use crate::task::{Process, may_trace};

use super::super::walk::{access, permit};
use super::super::{Attributes, Kind, NamespaceFile, OpenFile, Walker};
use super::lease_time;
use super::{ProcNode, network_of_reader, process};

/// Texts that only who may trace the process opens.
const PRIVATE: [&str; 8] =
    ["auxv", "environ", "io", "maps", "pagemap", "personality", "smaps", "smaps_rollup"];

/// Whether the walker may read of a process what only who may trace it may.
///
/// # Errors
/// `EACCES`; `ENOENT` if it is gone.
pub(super) fn look(walker: &Walker<'_>, id: i32) -> Result<(), Errno> {
    let process = process(walker.kernel, id).ok_or(Errno::NOENT)?;
    may_look(walker, &process)
}

fn may_look(walker: &Walker<'_>, process: &Process) -> Result<(), Errno> {
    let may = walker.pid == process.pid || may_trace(&walker.credentials, process, true);
    if may { Ok(()) } else { Err(Errno::ACCESS) }
}

/// The memory of a process, for who may trace it.
///
/// # Errors
/// `EACCES`; `ESRCH` if it has ended.
pub(super) fn memory_of(walker: &Walker<'_>, process: &Process) -> Result<Arc<Space>, Errno> {
    let space = walker.kernel.first_thread(process.pid).ok_or(Errno::SRCH)?.own_space();
    // Afterwards: then it is not that of a program that was executed meanwhile.
    may_look(walker, process)?;
    Ok(space)
}

impl ProcNode {
    /// The process that it is about; 0 for none.
    pub(super) fn about(&self) -> i32 {
        match self {
            ProcNode::Process(pid, _)
            | ProcNode::Text(_, pid, _)
            | ProcNode::Descriptors(pid)
            | ProcNode::Descriptor(_, pid)
            | ProcNode::Threads(pid, _)
            | ProcNode::Thread(pid, _)
            | ProcNode::Infos(pid)
            | ProcNode::Info(_, pid)
            | ProcNode::Namespaces(pid)
            | ProcNode::Link(_, pid) => *pid,
            ProcNode::Unfollowed(folder, ..) => folder.about(),
            _ => 0,
        }
    }

    /// Permission bits.
    pub(super) fn permissions(&self) -> u32 {
        match self {
            ProcNode::Text("mem", 1.., _) => 0o600,
            ProcNode::Text("timerslack_ns", 1.., _) => 0o666,
            ProcNode::Text(
                "auxv" | "environ" | "io" | "mountstats" | "pagemap" | "personality",
                1..,
                _,
            ) => 0o400,
            ProcNode::Text(
                "comm" | "oom_score_adj" | "uid_map" | "gid_map" | "setgroups",
                1..,
                _,
            ) => 0o644,
            ProcNode::Setting(path, true) if is_of_network(path) || path == lease_time::PATH => {
                0o644
            }
            ProcNode::Descriptors(_) => 0o500,
            ProcNode::Namespaces(_) => 0o511,
            ProcNode::Descriptor(file, _) => of_descriptor(file),
            ProcNode::Unfollowed(_, _, permissions) => *permissions,
            _ => match self.kind() {
                Kind::Directory => 0o555,
                Kind::Link => 0o777,
                _ => 0o444,
            },
        }
    }

    /// Its owner: root of what nobody else may look into, but for folders that all may read.
    pub(super) fn owner(&self, kernel: &Kernel) -> (u32, u32) {
        let Some(process) = process(kernel, self.about()) else { return (0, 0) };
        let open = self.kind() == Kind::Directory && self.permissions() == 0o555;
        if !open && !process.dumpable.load(Ordering::SeqCst) {
            return root_of(&lock(&process.seen_from));
        }
        let who = process.who();
        (who.users[1], who.groups[1])
    }

    /// Whether the walker may do `wanted`.
    ///
    /// # Errors
    /// `EACCES`
    pub(in crate::vfs) fn permit(
        &self,
        walker: &Walker<'_>,
        attributes: &Attributes,
        wanted: u32,
    ) -> Result<(), Errno> {
        let permitted = permit(&walker.credentials, attributes, wanted);
        match self {
            // Its own files are a process's own, whoever it has become.
            ProcNode::Descriptors(pid) if wanted & access::WRITE == 0 => permitted.or_else(|no| {
                let own = process(walker.kernel, *pid).is_some_and(|p| p.pid == walker.pid);
                if own { Ok(()) } else { Err(no) }
            }),
            ProcNode::Infos(pid) => look(walker, *pid).and(permitted),
            // Whoever has made the network is its root.
            ProcNode::Setting(path, true) if is_of_network(path) => permitted.or_else(|no| {
                let network = network_of_reader(walker);
                network.permit_change(&walker.credentials).map_err(|_| no)
            }),
            _ => permitted,
        }
    }

    /// Whether it is a text that only who may trace the process opens.
    pub(super) fn is_private(&self) -> bool {
        matches!(self, ProcNode::Text(name, 1.., _) if PRIVATE.contains(name))
    }

    /// Whether the walker may open it, its mode aside.
    ///
    /// # Errors
    /// `EACCES`; `ENOENT` if the process is gone.
    pub(super) fn may_open(&self, walker: &Walker<'_>) -> Result<(), Errno> {
        match self {
            ProcNode::Text(_, pid, _) if self.is_private() => look(walker, *pid),
            ProcNode::Info(_, pid) => look(walker, *pid),
            _ => Ok(()),
        }
    }

    /// Whether the walker may follow it, or read where it leads.
    ///
    /// # Errors
    /// `EACCES`; `ENOENT` if the process is gone.
    pub(in crate::vfs) fn may_follow(&self, walker: &Walker<'_>) -> Result<(), Errno> {
        match self {
            ProcNode::Descriptor(_, pid) | ProcNode::Link(_, pid) => look(walker, *pid),
            _ => Ok(()),
        }
    }
}

/// A link to a file tells what the file is open for.
fn of_descriptor(file: &OpenFile) -> u32 {
    if file.file.own().is_some_and(<dyn std::any::Any>::is::<NamespaceFile>) {
        return 0o777;
    }
    let reads = if file.readable() { 0o500 } else { 0 };
    let writes = if file.writable() { 0o300 } else { 0 };
    reads | writes
}
