//! A namespace by a descriptor, for setns(2): what `/proc/<pid>/ns` leads to, and what that is
//! bound to.

use std::any::Any;
use std::sync::{Arc, LazyLock, Weak};

use rustix::io::Errno;

use crate::ipc::Ipc;
use crate::kernel::Kernel;
use crate::net::Network;
use crate::syscalls::Call;
use crate::task::namespaces::{Names, OfCgroups, Within};
use crate::task::nesting;
use crate::task::pid_namespace::Pids;
use crate::task::user_namespace::{FIRST, Ids, Space};
use crate::task::waiter::lock;

use super::mount::{Description, Mount};
use super::{Attributes, Entry, File, Kind, MountTable, Node, OpenFile};

/// What there is a descriptor of; a container's own is `None`.
#[derive(Clone, Debug)]
pub enum Namespace {
    /// Of users.
    Users(Space),
    /// Of mounts.
    Mounts(Arc<MountTable>),
    /// Of host names.
    Names(Option<Arc<Names>>),
    /// Of IPC.
    Ipc(Arc<Ipc>),
    /// Of processes.
    Pids(Pids),
    /// Of cgroups.
    Cgroup(Option<OfCgroups>),
    /// Of the network.
    Network(Arc<Network>),
    /// Of time, of which there is one.
    Only,
}

impl Namespace {
    /// The user namespace in which capabilities count for it.
    #[must_use]
    pub fn owner(&self) -> Space {
        match self {
            Namespace::Users(space) => space.clone(),
            Namespace::Mounts(mounts) => mounts.owner.clone(),
            Namespace::Names(names) => names.as_ref().and_then(|names| names.owner.clone()),
            Namespace::Ipc(ipc) => ipc.owner.clone(),
            Namespace::Pids(pids) => pids.as_ref().and_then(|pids| pids.owner.clone()),
            Namespace::Network(network) => network.owner.clone(),
            Namespace::Cgroup(cgroups) => cgroups.as_ref().and_then(|own| own.owner.clone()),
            Namespace::Only => None,
        }
    }
}

/// The number of the first PID namespace.
pub(super) const FIRST_PIDS: u64 = 4_026_531_836;

/// Of the file system that namespaces are in.
const DEVICE: u64 = 4;

/// The root of the mount that they are in as long as they are bound to no file.
static UNBOUND: LazyLock<Arc<Entry>> = LazyLock::new(|| {
    let kind = "nsfs".to_owned();
    let source = kind.clone().into_bytes();
    let of = Description { kind, source, device: DEVICE, ..Description::default() };
    Entry::mounted(&Mount::hidden(of), Node::Point, Kind::Directory)
});

/// Stands for a namespace.
#[derive(Clone, Debug)]
pub struct NamespaceFile {
    kind: &'static str,
    number: u64,
    /// What it is.
    pub of: Namespace,
    /// The kernel of its container.
    pub home: Weak<Kernel>,
}

impl NamespaceFile {
    /// That of a thread or a process, by its name in procfs; `first` is the number of a container's own.
    ///
    /// # Errors
    /// `ENOENT` if the process, or the first one of a PID namespace, is not there.
    pub fn open(who: &impl Within, kind: &'static str, first: u64) -> Result<Arc<OpenFile>, Errno> {
        let (own, process) = (who.own(), who.process());
        let kernel = process.kernel().ok_or(Errno::NOENT)?;
        let (users, pids) = (who.users(), process.pids());
        let number = own.number(kind, (&users, &pids)).unwrap_or(first);
        // What it had is told apart from its container's by this alone: looked at once.
        if own.ended && !matches!(kind, "user" | "pid") {
            return Err(Errno::NOENT);
        }
        let of = match kind {
            "user" => Namespace::Users(users),
            "mnt" => Namespace::Mounts(own.mounts_in(&kernel, process)),
            "uts" => Namespace::Names(own.names),
            "ipc" => Namespace::Ipc(own.ipc_in(&kernel, process)),
            "pid" => Namespace::Pids(pids),
            "pid_for_children" => {
                if own.pids.as_ref().is_some_and(|pids| pids.first().is_none()) {
                    return Err(Errno::NOENT);
                }
                Namespace::Pids(own.pids.or(pids))
            }
            "net" => Namespace::Network(own.network_in(&kernel)),
            "cgroup" => Namespace::Cgroup(own.cgroup),
            _ => Namespace::Only,
        };
        let kind = kind.strip_suffix("_for_children").unwrap_or(kind);
        let home = Arc::downgrade(&kernel);
        Ok(NamespaceFile { kind, number, of, home }.opened())
    }

    /// An open file of it, which has a place, so that it can be bound.
    fn opened(self) -> Arc<OpenFile> {
        let node = Node::Namespace(Arc::new(self.clone()));
        let entry = Entry::new(&UNBOUND, self.text().as_bytes(), node, Kind::Regular);
        OpenFile::named(Box::new(self), Some(entry), 0)
    }

    /// As procfs tells it.
    fn text(&self) -> String {
        format!("{}:[{}]", self.kind, self.number)
    }

    /// Device and inode.
    #[must_use]
    pub fn id(&self) -> (u64, u64) {
        (DEVICE, self.number)
    }

    /// The mounts, if it is a namespace of such.
    #[must_use]
    pub fn mounts(&self) -> Option<&Arc<MountTable>> {
        if let Namespace::Mounts(mounts) = &self.of { Some(mounts) } else { None }
    }

    /// A descriptor of one that has to do with it.
    fn give(
        &self,
        call: &Call<'_>,
        (kind, number): (&'static str, u64),
        of: Namespace,
    ) -> Result<i64, Errno> {
        let file = NamespaceFile { kind, number, of, home: Weak::clone(&self.home) };
        Ok(call.files().add(file.opened(), 0, true)?.into())
    }

    /// Its flag, as clone(2) and setns(2) have it.
    #[must_use]
    pub fn flag(&self) -> u64 {
        match self.kind {
            "cgroup" => 0x200_0000,
            "ipc" => 0x800_0000,
            "mnt" => 0x2_0000,
            "net" => 0x4000_0000,
            "pid" => 0x2000_0000,
            "time" => 0x80,
            "user" => 0x1000_0000,
            _ => 0x400_0000,
        }
    }
}

impl File for NamespaceFile {
    fn read(&self, _: &mut [u8], _: u64) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        let (inode, mode) = (self.number, 0o100_444);
        Ok(Attributes {
            device: DEVICE,
            inode,
            mode,
            links: 1,
            block_size: 4096,
            ..Attributes::default()
        })
    }

    /// ioctl_nsfs(2)
    fn control(&self, call: &Call<'_>, request: u32, argument: u64) -> Result<i64, Errno> {
        const USERS: u32 = 0xb701;
        const PARENT: u32 = 0xb702;
        const KIND: u32 = 0xb703;
        const MAKER: u32 = 0xb704;
        let who = lock(&call.thread.credentials).clone();
        match (request, &self.of) {
            (KIND, _) => i64::try_from(self.flag()).map_err(|_| Errno::NOTTY),
            (MAKER, Namespace::Users(space)) => {
                let user = who.id_for(Ids::Users, nesting::maker(space));
                call.memory().write(argument, &user.to_le_bytes())?;
                Ok(0)
            }
            (USERS, _) | (PARENT, Namespace::Users(_)) => {
                let owner = match &self.of {
                    Namespace::Users(space) => nesting::above(space).ok_or(Errno::PERM)?,
                    other => other.owner(),
                };
                if !nesting::is_within(&owner, &who.space) {
                    return Err(Errno::PERM);
                }
                let number = owner.as_ref().map_or(FIRST, |space| space.number);
                self.give(call, ("user", number), Namespace::Users(owner))
            }
            (PARENT, Namespace::Pids(pids)) => {
                let reader = call.thread.process.pids();
                let parent = nesting::above_for(pids, &reader).ok_or(Errno::PERM)?;
                let number = parent.as_ref().map_or(FIRST_PIDS, |pids| pids.number);
                self.give(call, ("pid", number), Namespace::Pids(parent))
            }
            (PARENT | MAKER, _) => Err(Errno::INVAL),
            _ => Err(Errno::NOTTY),
        }
    }

    fn label(&self) -> Option<String> {
        Some(self.text())
    }

    fn own(&self) -> Option<&dyn Any> {
        Some(self)
    }
}
