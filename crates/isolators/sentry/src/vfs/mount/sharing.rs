//! Who sees what is mounted in a mount: its peers, and their slaves (mount_namespaces(7)).
//!
//! Mounts that end are not taken out of their groups: who looks leaves them out, and they are
//! let go of from time to time. So nothing that ends a mount needs the lock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::Mount;

/// What a mount can be made, as mount(2) numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// `MS_UNBINDABLE`
    Unbindable,
    /// `MS_PRIVATE`
    Private,
    /// `MS_SLAVE`
    Slave,
    /// `MS_SHARED`
    Shared,
}

impl Propagation {
    /// All of their bits.
    pub const BITS: u64 = 0xf << 17;

    /// The one that flags ask for.
    ///
    /// # Errors
    /// `EINVAL` if it is none, or several.
    pub fn of(flags: u64) -> Result<Self, Errno> {
        match flags {
            0x2_0000 => Ok(Propagation::Unbindable),
            0x4_0000 => Ok(Propagation::Private),
            0x8_0000 => Ok(Propagation::Slave),
            0x10_0000 => Ok(Propagation::Shared),
            _ => Err(Errno::INVAL),
        }
    }
}

/// How a mount takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sharing {
    /// The group of its peers; 0: none.
    pub(super) group: u32,
    /// The group that it is a slave of, if it has no peers: else its group knows.
    pub(super) master: u32,
    /// Whether it can't be bound.
    pub(super) unbindable: bool,
}

/// How the copy of a mount takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// As that.
    Same,
    /// As its slave, if that is shared; else as that.
    Below,
    /// As its slave.
    Slave,
    /// As its slave, with a new group of peers.
    SharedSlave,
}

/// What the mount tables of a container have in common: held while any of them changes.
#[derive(Debug, Default)]
pub struct Family(Mutex<Groups>);

impl Family {
    pub(super) fn groups(&self) -> MutexGuard<'_, Groups> {
        let mut groups = lock(&self.0);
        // Now nobody remembers a number of one of them.
        groups.sweep();
        groups
    }
}

type Mounts = BTreeMap<u64, Weak<Mount>>;

#[derive(Debug, Default)]
struct Group {
    members: Mounts,
    /// Slaves that have no peers.
    slaves: Mounts,
    /// Groups of slaves.
    below: Vec<u32>,
    /// The group that all members are slaves of; 0: none.
    master: u32,
}

/// Groups of peers, by number.
#[derive(Debug, Default)]
pub(super) struct Groups {
    all: BTreeMap<u32, Group>,
    /// Mounts that came since those that have ended were let go.
    added: usize,
    /// All numbers up to this one are in use.
    free: u32,
}

fn alive(mounts: &Mounts) -> Vec<Arc<Mount>> {
    let all = mounts.values().filter_map(Weak::upgrade);
    all.filter(|mount| !mount.has_ended()).collect()
}

fn is_gone(mount: &Weak<Mount>) -> bool {
    mount.upgrade().is_none_or(|mount| mount.has_ended())
}

impl Groups {
    /// Members of a group.
    pub(super) fn members(&self, group: u32) -> Vec<Arc<Mount>> {
        self.all.get(&group).map(|group| alive(&group.members)).unwrap_or_default()
    }

    /// How a mount takes part in these groups: in nothing, if it is another container's.
    fn sharing(&self, mount: &Mount) -> Sharing {
        let own = mount.sharing();
        let known = |mounts: &Mounts| mounts.contains_key(&mount.id);
        let here = match own {
            Sharing { group: 0, master: 0, .. } => true,
            Sharing { group: 0, master, .. } => {
                self.all.get(&master).is_some_and(|group| known(&group.slaves))
            }
            Sharing { group, .. } => {
                self.all.get(&group).is_some_and(|group| known(&group.members))
            }
        };
        if here { own } else { Sharing { unbindable: own.unbindable, ..Sharing::default() } }
    }

    /// Has a mount that goes to another container take no part any more.
    pub(super) fn leave(&mut self, mount: &Arc<Mount>) {
        let unbindable = mount.sharing().unbindable;
        self.put(mount, Sharing { unbindable, ..Sharing::default() });
    }

    /// Slaves of a group that have no peers.
    pub(super) fn slaves(&self, group: u32) -> Vec<Arc<Mount>> {
        self.all.get(&group).map(|group| alive(&group.slaves)).unwrap_or_default()
    }

    /// Groups of slaves of a group.
    pub(super) fn below(&self, group: u32) -> Vec<u32> {
        self.all.get(&group).map(|group| group.below.clone()).unwrap_or_default()
    }

    /// A group, or the first above it that has somebody.
    fn living(&self, mut group: u32) -> u32 {
        while let Some(found) = self.all.get(&group) {
            if !found.members.values().all(is_gone) {
                return group;
            }
            group = found.master;
        }
        0
    }

    /// The group that a mount is a slave of; 0 if none.
    pub(super) fn master(&self, mount: &Mount) -> u32 {
        let own = mount.sharing();
        match self.all.get(&own.group) {
            Some(group) => self.living(group.master),
            None => self.living(own.master),
        }
    }

    /// The group above a group that has somebody; 0 if none.
    pub(super) fn above(&self, group: u32) -> u32 {
        self.all.get(&group).map_or(0, |group| self.living(group.master))
    }

    fn new_group(&mut self, master: u32) -> u32 {
        let mut free = self.free + 1;
        while self.all.contains_key(&free) {
            free += 1;
        }
        self.free = free;
        self.all.insert(free, Group { master, ..Group::default() });
        if let Some(above) = self.all.get_mut(&master) {
            above.below.push(free);
        }
        free
    }

    /// Puts a mount where it is to be, out of where it was.
    pub(super) fn put(&mut self, mount: &Arc<Mount>, to: Sharing) {
        let from = mount.sharing();
        if let Some(group) = self.all.get_mut(&from.group) {
            group.members.remove(&mount.id);
        }
        if let Some(group) = self.all.get_mut(&from.master) {
            group.slaves.remove(&mount.id);
        }
        let weak = Arc::downgrade(mount);
        if let Some(group) = self.all.get_mut(&to.group) {
            group.members.insert(mount.id, weak);
        } else if let Some(group) = self.all.get_mut(&to.master) {
            group.slaves.insert(mount.id, weak);
        }
        *lock(&mount.sharing) = to;
        self.added += 1;
    }

    /// Lets go of mounts that have ended, once there may be many, and of groups that nobody is
    /// in, with their slaves going to whom the group is a slave of.
    fn sweep(&mut self) {
        if self.added < super::count() + 1000 {
            return;
        }
        (self.added, self.free) = (0, 0);
        for group in self.all.values_mut() {
            group.members.retain(|_, mount| !is_gone(mount));
            group.slaves.retain(|_, mount| !is_gone(mount));
        }
        let empty = self.all.iter().filter(|(_, group)| group.members.is_empty());
        for id in Vec::from_iter(empty.map(|(id, _)| *id)) {
            let Some(gone) = self.all.remove(&id) else { continue };
            for slave in alive(&gone.slaves) {
                lock(&slave.sharing).master = gone.master;
            }
            for below in &gone.below {
                if let Some(below) = self.all.get_mut(below) {
                    below.master = gone.master;
                }
            }
            if let Some(above) = self.all.get_mut(&gone.master) {
                above.below.retain(|below| *below != id);
                above.below.extend(gone.below);
                above.slaves.extend(gone.slaves);
            }
        }
    }

    /// Makes a mount shared, and so on.
    pub(super) fn make(&mut self, mount: &Arc<Mount>, what: Propagation) {
        let own = mount.sharing();
        let to = match what {
            Propagation::Shared if own.group != 0 => return,
            Propagation::Shared => {
                let group = self.new_group(self.living(own.master));
                Sharing { group, ..Sharing::default() }
            }
            Propagation::Slave if own.group == 0 => return,
            Propagation::Slave => {
                let peers = self.members(own.group).iter().any(|peer| peer.id != mount.id);
                let master = if peers { own.group } else { self.above(own.group) };
                Sharing { master, ..Sharing::default() }
            }
            Propagation::Private => Sharing::default(),
            Propagation::Unbindable => Sharing { unbindable: true, ..Sharing::default() },
        };
        self.put(mount, to);
    }

    /// Has the copy of a mount take part.
    pub(super) fn copied(&mut self, copy: &Arc<Mount>, of: &Mount, how: How) {
        let own = Sharing { unbindable: false, ..self.sharing(of) };
        let slave = Sharing { master: own.group, ..Sharing::default() };
        let to = match how {
            How::Same => own,
            How::Below if own.group == 0 => own,
            How::Below | How::Slave => slave,
            How::SharedSlave => Sharing { group: self.new_group(own.group), ..Sharing::default() },
        };
        self.put(copy, to);
    }
}

impl Mount {
    pub(super) fn sharing(&self) -> Sharing {
        *lock(&self.sharing)
    }

    /// Whether what is mounted in it shows elsewhere.
    pub(super) fn is_shared(&self) -> bool {
        self.sharing().group != 0
    }
}
