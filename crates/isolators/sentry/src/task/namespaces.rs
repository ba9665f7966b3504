//! Namespaces of a process but that of its users, which is its credentials'.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::pid_namespace::{PidNamespace, Pids};
use super::user_namespace::{Space, new_number, same as same_owner};
use super::waiter::lock;
use super::{Caps, Credentials, Process};
use crate::ipc::{Ipc, shared_memory};
use crate::kernel::Kernel;
use crate::net::Network;
use crate::vfs::mount::moved;
use crate::vfs::{Entry, MountTable};

/// Names of the machine of a process's own.
#[derive(Debug)]
pub struct Names {
    /// The host's.
    pub host: Mutex<Vec<u8>>,
    /// The domain's; empty: none.
    pub domain: Mutex<Vec<u8>>,
    /// Where capabilities count that change it.
    pub owner: Space,
    number: u64,
}

impl Names {
    /// With the names that it has so far: host and domain.
    #[must_use]
    pub fn new((host, domain): (Vec<u8>, Vec<u8>), owner: Space) -> Arc<Self> {
        let (host, domain) = (Mutex::new(host), Mutex::new(domain));
        Arc::new(Names { host, domain, owner, number: new_number() })
    }
}

/// The mounts that a process sees.
#[must_use]
pub fn mounts_of(kernel: &Kernel, process: &Process) -> Arc<MountTable> {
    let own = lock(&process.namespaces).mounts.clone();
    own.unwrap_or_else(|| {
        // With one numbering it may be another container's.
        let home = process.kernel();
        Arc::clone(&home.as_deref().unwrap_or(kernel).files.mounts)
    })
}

/// The IPC namespace that a process is in.
#[must_use]
pub fn ipc_of(kernel: &Kernel, process: &Process) -> Arc<Ipc> {
    let own = lock(&process.namespaces).ipc.clone();
    own.unwrap_or_else(|| {
        let home = process.kernel();
        Arc::clone(&home.as_deref().unwrap_or(kernel).ipc)
    })
}

/// The network that a process is in.
#[must_use]
pub fn network_of(kernel: &Kernel, process: &Process) -> Arc<Network> {
    let own = lock(&process.namespaces).network.clone();
    // One for all containers.
    own.unwrap_or_else(|| Arc::clone(&kernel.network))
}

/// A process ends, or goes to another namespace of IPC: what it is to undo is undone.
pub fn leave_ipc(kernel: &Kernel, process: &Process) {
    let ipc = ipc_of(kernel, process);
    ipc.semaphores.take_back(kernel.ipc_key(process.pid));
    shared_memory::left(kernel, &ipc, process.pid);
}

/// The host name that a process sees.
#[must_use]
pub fn host_name_of(kernel: &Kernel, process: &Process) -> Vec<u8> {
    match &lock(&process.namespaces).names {
        Some(names) => lock(&names.host).clone(),
        None => lock(&kernel.host_name).clone(),
    }
}

/// The name of the domain that a process sees; empty: none.
#[must_use]
pub fn domain_name_of(kernel: &Kernel, process: &Process) -> Vec<u8> {
    match &lock(&process.namespaces).names {
        Some(names) => lock(&names.domain).clone(),
        None => lock(&kernel.domain_name).clone(),
    }
}

/// `CLONE_NEW*`
pub mod new {
    #![allow(missing_docs, reason = "names of the manual page namespaces(7)")]
    pub const MOUNTS: u64 = 0x2_0000;
    pub const CGROUP: u64 = 0x200_0000;
    pub const NAMES: u64 = 0x400_0000;
    pub const IPC: u64 = 0x800_0000;
    pub const USERS: u64 = 0x1000_0000;
    pub const PIDS: u64 = 0x2000_0000;
    pub const NETWORK: u64 = 0x4000_0000;
    /// Those that there are.
    pub const ALL: u64 = MOUNTS | CGROUP | NAMES | IPC | USERS | PIDS | NETWORK;
}

/// What a process that asks for namespaces of its own gets.
pub struct Made {
    credentials: Credentials,
    namespaces: Namespaces,
    /// Where its mounts are now.
    roots: Option<HashMap<u32, Arc<Entry>>>,
}

/// Makes the namespaces that `flags` ask for, for who shares those of `process`.
///
/// # Errors
/// As unshare(2).
pub fn make(
    kernel: &Kernel,
    (process, who): (&Process, &Credentials),
    flags: u64,
) -> Result<Made, Errno> {
    let has = |flag: u64| flags & flag != 0;
    let mut credentials = who.clone();
    let root = Arc::clone(&lock(&process.directories).root);
    if has(new::USERS) {
        // Who has changed his root could get out of it.
        let base = mounts_of(kernel, process).base();
        if !base.is_some_and(|base| Arc::ptr_eq(&base, &root.top())) {
            return Err(Errno::PERM);
        }
        credentials = who.in_new_space()?;
    }
    if has(new::ALL & !new::USERS) && !credentials.can_here(Caps::SYS_ADMIN) {
        return Err(Errno::PERM);
    }
    let owner = &credentials.space;
    let mut namespaces = lock(&process.namespaces).clone();
    namespaces.ended = false;
    if has(new::PIDS) {
        // One below that of its children would have nobody in it yet.
        if namespaces.pids.is_some() {
            return Err(Errno::INVAL);
        }
        let mut tree = lock(&kernel.tree);
        namespaces.pids = Some(PidNamespace::new(&mut tree, &process.pids(), owner)?);
    }
    let mut roots = None;
    if has(new::MOUNTS) {
        let old = mounts_of(kernel, process);
        let locks = !same_owner(owner, &old.owner);
        let (mounts, moved) = old.copy(kernel, owner, locks)?;
        let mut copies = lock(&kernel.files.copies);
        copies.retain(|table| table.strong_count() > 0);
        copies.push(Arc::downgrade(&mounts));
        namespaces.mounts = Some(mounts);
        roots = Some(moved);
    }
    if has(new::NAMES) {
        let names = (host_name_of(kernel, process), domain_name_of(kernel, process));
        namespaces.names = Some(Names::new(names, owner.clone()));
    }
    if has(new::IPC) {
        namespaces.ipc = Some(Ipc::of(owner));
    }
    if has(new::NETWORK) {
        namespaces.network = Some(kernel.network.apart(owner));
    }
    if has(new::CGROUP) {
        namespaces.cgroup = Some(new_number());
    }
    Ok(Made { credentials, namespaces, roots })
}

impl Made {
    /// The PID namespace of children.
    #[must_use]
    pub fn pids(&self) -> Pids {
        self.namespaces.pids.clone()
    }

    /// Puts a process in them.
    pub fn enter(self, kernel: &Kernel, process: &Process) {
        *lock(&process.credentials()) = self.credentials;
        if let Some(roots) = self.roots {
            let mut directories = lock(&process.directories);
            let root = moved(kernel, &roots, &directories.root);
            let root = root.or_else(|| {
                self.namespaces.mounts.as_ref().and_then(|mounts| mounts.top().cloned())
            });
            if let Some(root) = root {
                let current = moved(kernel, &roots, &directories.current);
                directories.current = current.unwrap_or_else(|| Arc::clone(&root));
                directories.root = root;
            }
        }
        process.go_to(self.namespaces);
    }
}

/// Those that are not its container's.
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    /// Mounts.
    pub mounts: Option<Arc<MountTable>>,
    /// The host name.
    pub names: Option<Arc<Names>>,
    /// System V IPC and message queues.
    pub ipc: Option<Arc<Ipc>>,
    /// The network.
    pub network: Option<Arc<Network>>,
    /// The PID namespace of its children, if they are not to be in its own.
    pub pids: Pids,
    /// The number of that of cgroups, in which nothing looks different.
    pub cgroup: Option<u64>,
    /// Whether the process has ended: nobody gets into them by it.
    pub ended: bool,
}

impl Process {
    /// Goes to other ones, unless it has ended.
    pub fn go_to(&self, to: Namespaces) {
        let mut own = lock(&self.namespaces);
        if !own.ended {
            let before = std::mem::replace(&mut *own, to);
            drop(own);
            drop(before);
        }
    }

    /// It ends: a network of its own is not held by it any more. A call of it that is still
    /// under way finds an empty one.
    pub fn leave_namespaces(&self, kernel: &Kernel) {
        let network = {
            let mut own = lock(&self.namespaces);
            own.ended = true;
            let empty = own.network.as_ref().map(|network| kernel.network.apart(&network.owner));
            std::mem::replace(&mut own.network, empty)
        };
        drop(network);
    }

    /// Whether it has ended, and is in no namespaces but those of users and processes.
    #[must_use]
    pub fn has_left_namespaces(&self) -> bool {
        lock(&self.namespaces).ended
    }

    /// The number of a namespace that it is in, by its name in procfs; `None` for its
    /// container's.
    #[must_use]
    pub fn namespace(&self, kind: &str) -> Option<u64> {
        let own = lock(&self.namespaces);
        match kind {
            "user" => lock(&self.credentials()).space.as_ref().map(|space| space.number),
            "mnt" => own.mounts.as_ref().map(|mounts| mounts.number),
            "ipc" => own.ipc.as_ref().and_then(|ipc| ipc.number),
            "net" => own.network.as_ref().and_then(|network| network.number),
            "pid" => self.pids().map(|pids| pids.number),
            "pid_for_children" => own.pids.clone().or_else(|| self.pids()).map(|pids| pids.number),
            "uts" => own.names.as_ref().map(|names| names.number),
            "cgroup" => own.cgroup,
            _ => None,
        }
    }
}
