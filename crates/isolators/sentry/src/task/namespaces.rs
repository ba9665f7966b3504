//! Namespaces of a process but that of its users, which is its credentials'.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::limits::resource;
use super::pid_namespace::{PidNamespace, Pids};
use super::user_namespace::{Space, new_number, same as same_owner};
use super::waiter::lock;
use super::{Caps, Credentials, Process, Thread};
use crate::ipc::semaphores::UndoList;
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

/// A namespace of cgroups, in which nothing looks different.
#[derive(Clone, Debug)]
pub struct OfCgroups {
    /// Where capabilities count in it.
    pub owner: Space,
    number: u64,
}

/// Who is in namespaces: a thread, or a process by its first one.
pub trait Within {
    /// The process.
    fn process(&self) -> &Process;
    /// Those that are not its container's.
    fn own(&self) -> Namespaces;
    /// The user namespace.
    fn users(&self) -> Space;
}

impl Within for Process {
    fn process(&self) -> &Process {
        self
    }

    fn own(&self) -> Namespaces {
        lock(&self.namespaces).clone()
    }

    fn users(&self) -> Space {
        self.who().space
    }
}

impl Within for Thread {
    fn process(&self) -> &Process {
        &self.process
    }

    fn own(&self) -> Namespaces {
        self.namespaces()
    }

    fn users(&self) -> Space {
        lock(&self.credentials).space.clone()
    }
}

/// The mounts that are seen.
#[must_use]
pub fn mounts_of(kernel: &Kernel, who: &impl Within) -> Arc<MountTable> {
    who.own().mounts_in(kernel, who.process())
}

/// The IPC namespace.
#[must_use]
pub fn ipc_of(kernel: &Kernel, who: &impl Within) -> Arc<Ipc> {
    who.own().ipc_in(kernel, who.process())
}

/// The network.
#[must_use]
pub fn network_of(kernel: &Kernel, who: &impl Within) -> Arc<Network> {
    who.own().network_in(kernel)
}

/// Those that are not its container's; `None` of who has ended. Who asks for more than one, or
/// about somebody else, asks once.
#[must_use]
pub fn living(who: &impl Within) -> Option<Namespaces> {
    Some(who.own()).filter(|own| !own.ended)
}

impl Thread {
    /// What it does to semaphores that is taken back later.
    #[must_use]
    pub fn undo_list(&self) -> Arc<UndoList> {
        Arc::clone(lock(&self.undo).get_or_insert_default())
    }

    /// Has the same list as another one.
    pub fn share_undo_list(&self, other: &Thread) {
        *lock(&self.undo) = Some(other.undo_list());
    }

    /// It ends, or goes to another namespace of IPC: who had a list last takes back what is in it.
    pub fn leave_undo_list(&self, kernel: &Kernel) {
        let list = lock(&self.undo).take();
        if let Some(list) = list.and_then(Arc::into_inner) {
            ipc_of(kernel, self).semaphores.take_back(&list, self.process.pid);
        }
    }
}

/// A process ends, or goes to another namespace of IPC.
pub fn leave_ipc(kernel: &Kernel, process: &Process) {
    shared_memory::left(kernel, &ipc_of(kernel, process), process.pid);
}

/// The host name.
#[must_use]
pub fn host_name(kernel: &Kernel, names: Option<&Names>) -> Vec<u8> {
    match names {
        Some(names) => lock(&names.host).clone(),
        None => lock(&kernel.host_name).clone(),
    }
}

/// The name of the domain; empty: none.
#[must_use]
pub fn domain_name(kernel: &Kernel, names: Option<&Names>) -> Vec<u8> {
    match names {
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
    /// In another user namespace.
    credentials: Option<Credentials>,
    namespaces: Namespaces,
    /// Where its mounts are now.
    roots: Option<HashMap<u64, Arc<Entry>>>,
}

/// Makes the namespaces that `flags` ask for, for who shares those of `thread`.
///
/// # Errors
/// As unshare(2).
pub fn make(
    kernel: &Kernel,
    (thread, who): (&Thread, &Credentials),
    flags: u64,
) -> Result<Made, Errno> {
    let has = |flag: u64| flags & flag != 0;
    let mut credentials = who.clone();
    let root = Arc::clone(&lock(&thread.fs().directories).root);
    if has(new::USERS) {
        // Who has changed his root could get out of it.
        let base = mounts_of(kernel, thread).base();
        if !base.is_some_and(|base| Arc::ptr_eq(&base, &root.top())) {
            return Err(Errno::PERM);
        }
        let most = lock(&thread.process.limits).soft(resource::SIGPENDING);
        credentials = who.in_new_space(most)?;
    }
    if has(new::ALL & !new::USERS) && !credentials.can_here(Caps::SYS_ADMIN) {
        return Err(Errno::PERM);
    }
    let owner = &credentials.space;
    let mut namespaces = thread.namespaces();
    namespaces.ended = false;
    if has(new::PIDS) {
        // One below that of its children would have nobody in it yet.
        if namespaces.pids.is_some() {
            return Err(Errno::INVAL);
        }
        let mut tree = lock(&kernel.tree);
        namespaces.pids = Some(PidNamespace::new(&mut tree, &thread.process.pids(), owner)?);
    }
    let mut roots = None;
    if has(new::MOUNTS) {
        let old = mounts_of(kernel, thread);
        let locks = !same_owner(owner, &old.owner);
        let (mounts, moved) = old.copy(kernel, owner, locks)?;
        let mut copies = lock(&kernel.files.copies);
        copies.retain(|table| table.strong_count() > 0);
        copies.push(Arc::downgrade(&mounts));
        namespaces.mounts = Some(mounts);
        roots = Some(moved);
    }
    if has(new::NAMES) {
        let old = thread.namespaces().names;
        let names = (host_name(kernel, old.as_deref()), domain_name(kernel, old.as_deref()));
        namespaces.names = Some(Names::new(names, owner.clone()));
    }
    if has(new::IPC) {
        namespaces.ipc = Some(Ipc::of(owner));
    }
    if has(new::NETWORK) {
        namespaces.network = Some(kernel.network.apart(owner));
    }
    if has(new::CGROUP) {
        namespaces.cgroup = Some(OfCgroups { number: new_number(), owner: owner.clone() });
    }
    let credentials = has(new::USERS).then_some(credentials);
    Ok(Made { credentials, namespaces, roots })
}

impl Made {
    /// The PID namespace of children, for one that is in it itself.
    pub fn take_pids(&mut self) -> Pids {
        self.namespaces.pids.take()
    }

    /// Puts a thread in them; into another user namespace with its process, in which it is
    /// alone then.
    pub fn enter(self, kernel: &Kernel, thread: &Thread) {
        if let Some(credentials) = self.credentials {
            *lock(&thread.process.credentials()) = credentials.clone();
            // Its first thread may have ended before.
            *lock(&thread.credentials) = credentials;
        }
        if let Some(roots) = self.roots {
            let fs = thread.fs().copy();
            let mut directories = lock(&fs.directories);
            let root = moved(kernel, &roots, &directories.root);
            let root = root.or_else(|| {
                self.namespaces.mounts.as_ref().and_then(|mounts| mounts.top().cloned())
            });
            if let Some(root) = root {
                let current = moved(kernel, &roots, &directories.current);
                directories.current = current.unwrap_or_else(|| Arc::clone(&root));
                directories.root = root;
            }
            drop(directories);
            thread.set_fs(fs);
        }
        thread.set_namespaces(self.namespaces);
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
    /// That of cgroups.
    pub cgroup: Option<OfCgroups>,
    /// Whether the process has ended: nobody gets into them by it.
    pub ended: bool,
}

impl Namespaces {
    /// The mounts of one of a process that has these.
    #[must_use]
    pub fn mounts_in(self, kernel: &Kernel, process: &Process) -> Arc<MountTable> {
        self.mounts.unwrap_or_else(|| {
            // With one numbering it may be another container's.
            let home = process.kernel();
            Arc::clone(&home.as_deref().unwrap_or(kernel).files.mounts)
        })
    }

    /// The IPC namespace.
    #[must_use]
    pub fn ipc_in(self, kernel: &Kernel, process: &Process) -> Arc<Ipc> {
        self.ipc.unwrap_or_else(|| {
            let home = process.kernel();
            Arc::clone(&home.as_deref().unwrap_or(kernel).ipc)
        })
    }

    /// The network.
    #[must_use]
    pub fn network_in(self, kernel: &Kernel) -> Arc<Network> {
        // One for all containers.
        self.network.unwrap_or_else(|| Arc::clone(&kernel.network))
    }

    /// The number of one, by its name in procfs; `None` for the container's.
    #[must_use]
    pub fn number(&self, kind: &str, (users, pids): (&Space, &Pids)) -> Option<u64> {
        match kind {
            "user" => users.as_ref().map(|space| space.number),
            "mnt" => self.mounts.as_ref().map(|mounts| mounts.number),
            "ipc" => self.ipc.as_ref().and_then(|ipc| ipc.number),
            "net" => self.network.as_ref().and_then(|network| network.number),
            "pid" => pids.as_ref().map(|pids| pids.number),
            "pid_for_children" => self.pids.as_ref().or(pids.as_ref()).map(|pids| pids.number),
            "uts" => self.names.as_ref().map(|names| names.number),
            "cgroup" => self.cgroup.as_ref().map(|cgroups| cgroups.number),
            _ => None,
        }
    }
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

    /// It ends: it holds none of its own any more. A thread that is just being made finds an
    /// empty network.
    pub fn leave_namespaces(&self, kernel: &Kernel) {
        let before = {
            let mut own = lock(&self.namespaces);
            let network = own.network.as_ref().map(|network| kernel.network.apart(&network.owner));
            let none = Namespaces { network, ended: true, ..Namespaces::default() };
            std::mem::replace(&mut *own, none)
        };
        drop(before);
    }
}
