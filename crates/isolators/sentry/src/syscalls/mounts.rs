//! The tree of mounts: mount, umount2, pivot_root, chroot.

use std::sync::Arc;

use rustix::io::Errno;

use crate::task::namespaces::mounts_of;
use crate::task::user_namespace::Ids;
use crate::task::waiter::lock;
use crate::task::{Caps, Credentials, Thread};
use crate::vfs::kinds::{anonymous_device, make};
use crate::vfs::mount::{Description, Leave, Options, Propagation};
use crate::vfs::overlay::{self, OverlayOptions};
use crate::vfs::{Entry, Kind, MountFlags, MountTable, Node, access, permit};

use super::mount_trees::tree_of;
use super::paths::{place, walk};
use super::{Call, Outcome};

/// `MS_MGC_VAL`, `MS_MGC_MSK`
const MARK: u64 = 0xc0ed_0000;
const MARK_MASK: u64 = 0xffff_0000;
const REMOUNT: u64 = 32;
const BIND: u64 = 4096;
const MOVE: u64 = 8192;
const RECURSIVE: u64 = 16384;
const SILENT: u64 = 32768;

/// The mounts that the caller sees, if it may change them.
pub(super) fn permitted(call: &Call<'_>) -> Result<Arc<MountTable>, Errno> {
    let mounts = mounts_of(call.kernel, &**call.thread);
    lock(&call.thread.credentials).require_in(&mounts.owner, Caps::SYS_ADMIN)?;
    Ok(mounts)
}

fn text(call: &Call<'_>, index: usize) -> Result<Vec<u8>, Errno> {
    if call.arg(index) == 0 { Ok(Vec::new()) } else { call.path(index) }
}

pub(super) fn mount(call: &Call<'_>) -> Outcome {
    let mounts = permitted(call)?;
    let mut flags = call.arg(3);
    // As programs of old marked that there are flags.
    if flags & MARK_MASK == MARK {
        flags &= !MARK_MASK;
    }
    let target = walk(call, None, 1, true)?.existing()?;
    let low = u32::try_from(flags & 0xffff_ffff).unwrap_or(0);
    let mut wanted = MountFlags::from_bits_truncate(low);
    keep_times(&mut wanted, flags, &target);
    if flags & REMOUNT != 0 {
        // It may be in another namespace, by way of a descriptor.
        if !is_root(&target) || !mounts.has(&target.mount) {
            return Err(Errno::INVAL.into());
        }
        // The file system itself is changed only by who has mounted it.
        let who = lock(&call.thread.credentials).clone();
        let own = flags & BIND != 0 || who.can_in(&target.mount.owner, Caps::SYS_ADMIN);
        if !own {
            return Err(Errno::PERM.into());
        }
        // What the host mounted read-only for good stays so: it refuses by itself.
        target.mount.set_flags(wanted)?;
        return Ok(0);
    }
    if flags & BIND != 0 {
        let source = place(call, None, 0, true, Errno::INVAL)?;
        mounts.bind(call.kernel, (&source, &target), flags & RECURSIVE != 0)?;
        return Ok(0);
    }
    if flags & Propagation::BITS != 0 {
        let what = Propagation::of(flags & !(RECURSIVE | SILENT))?;
        mounts.make(&mounts.mounts_from(&target, flags & RECURSIVE != 0)?, what);
        return Ok(0);
    }
    if flags & MOVE != 0 {
        let source = walk(call, None, 0, true)?.existing()?;
        match tree_of(&source) {
            Some(tree) => mounts.attach_tree(call.kernel, &tree, &target)?,
            None => mounts.relocate(call.kernel, &source, &target)?,
        }
        return Ok(0);
    }
    let kind = String::from_utf8(text(call, 2)?).map_err(|_| Errno::NODEV)?;
    if kind.is_empty() {
        return Err(Errno::INVAL.into());
    }
    let (source, data) = (text(call, 0)?, text(call, 4)?);
    let new = NewFileSystem { kind: &kind, source, data: &data, flags: wanted };
    let (of, node) = new_file_system(call, &mounts, new)?;
    mounts.attach(call.kernel, &target, (of, node), Kind::Directory)?;
    Ok(0)
}

/// Types that can be mounted, but for overlays.
// A devtmpfs would be a way to nodes that the container was not given.
pub(crate) const MOUNTABLE: [&str; 6] = ["proc", "sysfs", "tmpfs", "ramfs", "mqueue", "devpts"];

/// What a file system is made of.
pub(super) struct NewFileSystem<'a> {
    pub(super) kind: &'a str,
    pub(super) source: Vec<u8>,
    /// Its options, with commas between.
    pub(super) data: &'a [u8],
    /// Those of its mount.
    pub(super) flags: MountFlags,
}

/// Makes a file system, to be mounted among `mounts`.
pub(super) fn new_file_system(
    call: &Call<'_>,
    mounts: &Arc<MountTable>,
    new: NewFileSystem<'_>,
) -> Result<(Description, Node), Errno> {
    let NewFileSystem { kind, source, data, flags } = new;
    if kind == "overlay" {
        return new_overlay(call, mounts, source, data, flags);
    }
    let data = std::str::from_utf8(data).map_err(|_| Errno::INVAL)?;
    let mut options = Options::parse(kind, data.split(',')).map_err(|_| Errno::INVAL)?;
    let who = lock(&call.thread.credentials).clone();
    if !MOUNTABLE.contains(&kind) {
        return Err(Errno::NODEV);
    }
    // Others show what belongs to namespaces that are not this one's.
    let ipc = call.ipc();
    let pids = call.thread.process.pids();
    let mut kept = MountFlags::empty();
    let shown = match kind {
        "proc" if mounts.owner.is_some() => {
            let owner = pids.as_ref().and_then(|pids| pids.owner.clone());
            let whole = mounts.shows_whole("proc", flags);
            kept = whole.unwrap_or_default();
            who.can_in(&owner, Caps::SYS_ADMIN) && whole.is_some()
        }
        "mqueue" => who.can_in(&ipc.owner, Caps::SYS_ADMIN),
        kind => ["tmpfs", "ramfs", "devpts"].contains(&kind),
    };
    if mounts.owner.is_some() && !shown {
        return Err(Errno::PERM);
    }
    let own = |ids, given: Option<u32>, own: u32| {
        given.map_or(Ok(own), |given| who.id_from(ids, given)).map(Some)
    };
    options.user = own(Ids::Users, options.user, who.users[3])?;
    options.group = own(Ids::Groups, options.group, who.groups[3])?;
    let (node, device, options) = if kind == "devpts" && mounts.owner.is_some() {
        devpts_apart(call, &who, options)?
    } else {
        make(kind, &options, (call.kernel, &ipc, &pids))?.ok_or(Errno::NODEV)?
    };
    let (kind, inside) = (kind.to_owned(), b"/".to_vec());
    let owner = who.space;
    let veils = Arc::default();
    Ok((Description { kind, source, inside, options, device, flags, owner, kept, veils }, node))
}

/// A devpts of a user namespace.
fn devpts_apart(
    call: &Call<'_>,
    who: &Credentials,
    mut options: Options,
) -> Result<(Node, u64, String), Errno> {
    for option in &mut options.others {
        if let Some(group) = option.strip_prefix("gid=") {
            let group = group.parse().map_err(|_| Errno::INVAL)?;
            *option = format!("gid={}", who.id_from(Ids::Groups, group)?);
        }
    }
    let device = anonymous_device();
    let root = call.kernel.terminals.devpts_apart(device, &options)?;
    Ok((Node::Tmp(root), device, options.others.join(",")))
}

fn new_overlay(
    call: &Call<'_>,
    mounts: &Arc<MountTable>,
    source: Vec<u8>,
    data: &[u8],
    flags: MountFlags,
) -> Result<(Description, Node), Errno> {
    let options = OverlayOptions::parse(data)?;
    let confined = mounts.owner.is_some();
    // Attributes that only root of all may set are not for who makes it.
    if confined && !options.user && options.upper.is_some() {
        return Err(Errno::PERM);
    }
    let walker = call.walker();
    let current = call.working_directory();
    let find = |path: &[u8]| walker.walk(&current, path, true);
    let maker = confined.then(|| (walker.credentials.clone(), Arc::clone(mounts)));
    let (node, device) = overlay::mounted(call.kernel, &options, maker, find)?;
    let writes = options.upper.is_some();
    let flags = if writes { flags } else { flags | MountFlags::READ_ONLY };
    let (kind, options) = ("overlay".to_owned(), String::from_utf8_lossy(data).into_owned());
    let inside = b"/".to_vec();
    let mut of = Description { kind, source, inside, options, device, ..Description::default() };
    of.flags = flags;
    of.owner = walker.credentials.space;
    Ok((of, node))
}

/// How access times are kept: relative ones, unless something else is said; when something is
/// mounted anew, as before.
fn keep_times(wanted: &mut MountFlags, flags: u64, target: &Entry) {
    const STRICT: u64 = 1 << 24;
    const TIMES: MountFlags = MountFlags::NO_ACCESS_TIMES
        .union(MountFlags::NO_DIRECTORY_ACCESS_TIMES)
        .union(MountFlags::RELATIVE_ACCESS_TIMES);
    if flags & REMOUNT != 0 && flags & STRICT == 0 && !wanted.intersects(TIMES) {
        *wanted |= target.mount.flags() & TIMES;
    } else if flags & STRICT != 0 {
        wanted.remove(MountFlags::NO_ACCESS_TIMES | MountFlags::RELATIVE_ACCESS_TIMES);
    } else {
        let relative = !wanted.contains(MountFlags::NO_ACCESS_TIMES);
        wanted.set(MountFlags::RELATIVE_ACCESS_TIMES, relative);
    }
}

/// Whether a mount begins there.
pub(super) fn is_root(entry: &Arc<Entry>) -> bool {
    entry.mount.root().is_some_and(|root| Arc::ptr_eq(&root, entry))
}

pub(super) fn umount2(call: &Call<'_>) -> Outcome {
    const FORCE: u32 = 1;
    const DETACH: u32 = 2;
    const EXPIRE: u32 = 4;
    const NO_FOLLOW: u32 = 8;
    let flags = call.uint(1);
    if flags & !(FORCE | DETACH | EXPIRE | NO_FOLLOW) != 0 {
        return Err(Errno::INVAL.into());
    }
    let mounts = permitted(call)?;
    let mut walker = call.walker();
    walker.only_looks = true;
    let (path, start) = (call.path(0)?, call.working_directory());
    let target = walker.walk(&start, &path, flags & NO_FOLLOW == 0)?.existing()?;
    let how = match (flags & EXPIRE != 0, flags & DETACH != 0) {
        (false, false) => Leave::Unused,
        (false, true) => Leave::Lazily,
        (true, _) => Leave::Expired,
    };
    let own_root = target.mount.id == walker.root.mount.id;
    if how == Leave::Expired && (own_root || flags & (FORCE | DETACH) != 0) {
        return Err(Errno::INVAL.into());
    }
    mounts.detach(call.kernel, &target, how)?;
    Ok(0)
}

pub(super) fn pivot_root(call: &Call<'_>) -> Outcome {
    let mounts = permitted(call)?;
    let new = walk(call, None, 0, true)?.existing()?;
    let put_old = walk(call, None, 1, true)?.existing()?;
    if new.kind() != Kind::Directory || put_old.kind() != Kind::Directory {
        return Err(Errno::NOTDIR.into());
    }
    let old = Arc::clone(&lock(&call.thread.fs().directories).root);
    mounts.pivot(&old, &new, &put_old)?;
    // Everybody in this namespace whose root or working directory that was is in the new one.
    let threads: Vec<Arc<Thread>> = {
        let tree = lock(&call.kernel.tree);
        tree.rows().flat_map(|(_, row)| row.threads.values().cloned()).collect()
    };
    for thread in threads {
        if !Arc::ptr_eq(&mounts_of(call.kernel, &*thread), &mounts) {
            continue;
        }
        let fs = thread.fs();
        let mut directories = lock(&fs.directories);
        if Arc::ptr_eq(&directories.root, &old) {
            directories.root = Arc::clone(&new);
        }
        if Arc::ptr_eq(&directories.current, &old) {
            directories.current = Arc::clone(&new);
        }
    }
    Ok(0)
}

pub(super) fn chroot(call: &Call<'_>) -> Outcome {
    let entry = walk(call, None, 0, true)?.existing()?;
    if entry.kind() != Kind::Directory {
        return Err(Errno::NOTDIR.into());
    }
    let who = lock(&call.thread.credentials).clone();
    permit(&who, &entry.attributes(call.kernel)?, access::EXECUTE)?;
    if !who.can_here(Caps::SYS_CHROOT) {
        return Err(Errno::PERM.into());
    }
    lock(&call.thread.fs().directories).root = entry;
    Ok(0)
}
