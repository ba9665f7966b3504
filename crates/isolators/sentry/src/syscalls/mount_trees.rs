//! Trees of mounts by descriptor: open_tree(2), move_mount(2), mount_setattr(2).

use std::sync::Arc;

use rustix::io::Errno;

use crate::task::waiter::lock;
use crate::vfs::mount::{DetachedTree, Mount, Propagation};
use crate::vfs::{Entry, MountFlags, MountTable, open, status};

use super::mounts::{is_root, permitted};
use super::paths::walk_or_itself;
use super::{Call, Outcome};

const NO_FOLLOW: u32 = 0x100;
const NO_AUTOMOUNT: u32 = 0x800;
const EMPTY: u32 = 0x1000;
const RECURSIVE: u32 = 0x8000;

/// The detached tree of which `entry` is the root, however that was found.
pub(super) fn tree_of(entry: &Arc<Entry>) -> Option<Arc<DetachedTree>> {
    entry.mount.tree().filter(|tree| Arc::ptr_eq(tree.root(), entry))
}

pub(super) fn open_tree(call: &Call<'_>) -> Outcome {
    const CLONE: u32 = 1;
    let flags = call.uint(2);
    let known = CLONE | status::CLOSE_ON_EXEC | NO_FOLLOW | NO_AUTOMOUNT | EMPTY | RECURSIVE;
    if flags & !known != 0 || flags & (RECURSIVE | CLONE) == RECURSIVE {
        return Err(Errno::INVAL.into());
    }
    let mounts = if flags & CLONE != 0 { Some(permitted(call)?) } else { None };
    let entry =
        walk_or_itself(call, (0, 1), flags & EMPTY != 0, flags & NO_FOLLOW == 0, Errno::INVAL)?;
    let file = match mounts {
        Some(mounts) => {
            let recursive = flags & RECURSIVE != 0;
            open::tree(call, mounts.copy_detached(call.kernel, &entry, recursive)?)?
        }
        None => open::name(call, &entry)?,
    };
    Ok(call.files().add(file, 0, flags & status::CLOSE_ON_EXEC != 0)?.into())
}

pub(super) fn move_mount(call: &Call<'_>) -> Outcome {
    const FROM_FOLLOWS: u32 = 1;
    const FROM_EMPTY: u32 = 4;
    const TO_FOLLOWS: u32 = 0x10;
    const TO_EMPTY: u32 = 0x40;
    // Of automounts.
    const REST: u32 = 2 | 0x20;
    const SET_GROUP: u32 = 0x100;
    let mounts = permitted(call)?;
    let flags = call.uint(4);
    let known = FROM_FOLLOWS | FROM_EMPTY | TO_FOLLOWS | TO_EMPTY | REST | SET_GROUP;
    if flags & !known != 0 {
        return Err(Errno::INVAL.into());
    }
    let from = walk_or_itself(
        call,
        (0, 1),
        flags & FROM_EMPTY != 0,
        flags & FROM_FOLLOWS != 0,
        Errno::INVAL,
    )?;
    let to =
        walk_or_itself(call, (2, 3), flags & TO_EMPTY != 0, flags & TO_FOLLOWS != 0, Errno::INVAL)?;
    if flags & SET_GROUP != 0 {
        return Err(Errno::INVAL.into());
    }
    if let Some(tree) = tree_of(&from) {
        mounts.attach_tree(call.kernel, &tree, &to)?;
        return Ok(0);
    }
    mounts.relocate(call.kernel, &from, &to).map_err(|errno| match errno {
        Errno::NOTDIR => Errno::INVAL,
        other => other,
    })?;
    Ok(0)
}

/// `MOUNT_ATTR_*`
mod attribute {
    pub(super) const TIMES: u64 = 0x70;
    pub(super) const NO_TIMES: u64 = 0x10;
    pub(super) const STRICT_TIMES: u64 = 0x20;
    pub(super) const IDS: u64 = 0x10_0000;
    pub(super) const NO_LINKS: u64 = 0x20_0000;
}

/// All but how access times are kept.
pub(super) fn flags_of(given: u64) -> Result<MountFlags, Errno> {
    const NAMES: [(u64, MountFlags); 6] = [
        (1, MountFlags::READ_ONLY),
        (2, MountFlags::NO_SUID),
        (4, MountFlags::NO_DEVICES),
        (8, MountFlags::NO_EXECUTE),
        (0x80, MountFlags::NO_DIRECTORY_ACCESS_TIMES),
        (attribute::NO_LINKS, MountFlags::NO_LINKS),
    ];
    if given & !(0x8f | attribute::TIMES | attribute::NO_LINKS) != 0 {
        return Err(Errno::INVAL);
    }
    let chosen = NAMES.iter().filter(|(bit, _)| given & bit != 0);
    Ok(chosen.fold(MountFlags::empty(), |all, (_, flag)| all | *flag))
}

/// How access times are kept.
pub(super) fn access_times(given: u64) -> Result<MountFlags, Errno> {
    match given & attribute::TIMES {
        0 => Ok(MountFlags::RELATIVE_ACCESS_TIMES),
        attribute::NO_TIMES => Ok(MountFlags::NO_ACCESS_TIMES),
        attribute::STRICT_TIMES => Ok(MountFlags::empty()),
        _ => Err(Errno::INVAL),
    }
}

/// What becomes of a mount's flags: those that are taken, then those that are given.
fn change_of(set: u64, clear: u64) -> Result<(MountFlags, MountFlags), Errno> {
    let mut taken = flags_of(clear)?;
    let mut given = flags_of(set)?;
    match clear & attribute::TIMES {
        0 if set & attribute::TIMES != 0 => return Err(Errno::INVAL),
        0 => {}
        attribute::TIMES => {
            taken |= MountFlags::RELATIVE_ACCESS_TIMES | MountFlags::NO_ACCESS_TIMES;
            given |= access_times(set)?;
        }
        _ => return Err(Errno::INVAL),
    }
    Ok((taken, given))
}

pub(super) fn mount_setattr(call: &Call<'_>) -> Outcome {
    const SIZE: u64 = 32;
    let flags = call.uint(2);
    if flags & !(EMPTY | RECURSIVE | NO_FOLLOW | NO_AUTOMOUNT) != 0 {
        return Err(Errno::INVAL.into());
    }
    let size = call.arg(4);
    if size > crate::mm::PAGE {
        return Err(Errno::TOOBIG.into());
    }
    if size < SIZE {
        return Err(Errno::INVAL.into());
    }
    let mounts = permitted(call)?;
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    call.memory().read(call.arg(3), &mut bytes)?;
    let mut words = bytes.chunks_exact(8).map(|w| w.try_into().map_or(0, u64::from_le_bytes));
    let mut word = || words.next().unwrap_or(0);
    let [set, clear, propagation, _user] = [word(), word(), word(), word()];
    let rest = bytes.get(usize::try_from(SIZE).unwrap_or(0)..).unwrap_or_default();
    if rest.iter().any(|byte| *byte != 0) {
        return Err(Errno::TOOBIG.into());
    }
    if set == 0 && clear == 0 && propagation == 0 {
        return Ok(0);
    }
    if (set | clear) & attribute::IDS != 0 {
        return Err(Errno::INVAL.into());
    }
    let propagation = Some(propagation).filter(|flags| *flags != 0);
    let propagation = propagation.map(Propagation::of).transpose()?;
    let (taken, given) = change_of(set, clear)?;
    let root =
        walk_or_itself(call, (0, 1), flags & EMPTY != 0, flags & NO_FOLLOW == 0, Errno::INVAL)?;
    if !is_root(&root) {
        return Err(Errno::INVAL.into());
    }
    let recursive = flags & RECURSIVE != 0;
    let tree = tree_of(&root);
    let all = match &tree {
        Some(tree) => tree.chosen(recursive),
        None => mounts.mounts_from(&root, recursive)?,
    };
    apply(&mounts, &all, (taken, given))?;
    match (propagation, tree) {
        (Some(what), Some(tree)) => mounts.make_tree(&tree, recursive, what),
        (Some(what), None) => mounts.make(&all, what),
        (None, _) => {}
    }
    Ok(0)
}

/// Changes all of them, or none.
fn apply(
    mounts: &MountTable,
    all: &[Arc<Mount>],
    (taken, given): (MountFlags, MountFlags),
) -> Result<(), Errno> {
    let _one = lock(&mounts.changing);
    let new = |mount: &Mount| (mount.flags() - taken) | given;
    all.iter().try_for_each(|mount| mount.check_flags(new(mount)))?;
    all.iter().try_for_each(|mount| mount.set_flags(new(mount)))
}
