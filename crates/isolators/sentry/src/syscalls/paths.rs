//! Names: attributes, links, directories, owners, times.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::task::user_namespace::Ids;
use crate::task::waiter::lock;
use crate::task::{Caps, SecureBits};
use crate::vfs::{
    Attributes, End, Entry, Kind, Limits, Make, MountFlags, Node, ProcNode, Resolve, access, permit,
};

use super::{Call, Outcome};

pub(super) const AT_FDCWD: i32 = -100;
pub(super) const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
const AT_EACCESS: u32 = 0x200;
const AT_REMOVEDIR: u32 = 0x200;
pub(super) const AT_SYMLINK_FOLLOW: u32 = 0x400;
pub(super) const AT_EMPTY_PATH: u32 = 0x1000;

/// Where a relative path starts: the directory of a descriptor argument, or the
/// working directory.
pub(super) fn start_of(
    call: &Call<'_>,
    directory: Option<usize>,
    path: &[u8],
) -> Result<Arc<Entry>, Errno> {
    match directory {
        Some(index) if call.int(index) != AT_FDCWD && !path.starts_with(b"/") => {
            let file = call.file(index)?;
            let entry = file.entry.clone().ok_or(Errno::NOTDIR)?;
            if entry.kind() == Kind::Directory || path.is_empty() {
                Ok(entry)
            } else {
                Err(Errno::NOTDIR)
            }
        }
        _ => Ok(call.working_directory()),
    }
}

/// Walks the path of argument `index` from descriptor argument `directory`.
pub(super) fn walk(
    call: &Call<'_>,
    directory: Option<usize>,
    index: usize,
    follow: bool,
) -> Result<Resolve, Errno> {
    let path = call.path(index)?;
    let start = start_of(call, directory, &path)?;
    call.walker().walk(&start, &path, follow)
}

/// The place that a path leads to; `nameless` for an open file that has none, as a pipe.
pub(super) fn place(
    call: &Call<'_>,
    directory: Option<usize>,
    index: usize,
    follow: bool,
    nameless: Errno,
) -> Result<Arc<Entry>, Errno> {
    let entry = walk(call, directory, index, follow)?.existing()?;
    match &entry.node {
        // The walk has followed those of files with a name.
        Node::Proc(ProcNode::Descriptor(..)) if follow => Err(nameless),
        _ => Ok(entry),
    }
}

/// What a path leads to, or the file of the descriptor argument itself if the path is empty
/// and may be; `nameless` if that has no name.
pub(super) fn walk_or_itself(
    call: &Call<'_>,
    (directory, path): (usize, usize),
    empty: bool,
    follow: bool,
    nameless: Errno,
) -> Result<Arc<Entry>, Errno> {
    match empty && call.path(path)?.is_empty() {
        true if call.int(directory) == AT_FDCWD => Ok(call.working_directory()),
        true => call.file(directory)?.entry.clone().ok_or(nameless),
        false => place(call, Some(directory), path, follow, nameless),
    }
}

/// Attributes of a path, or of an open file if the path is empty and may be; what it leads
/// to.
fn attributes_and_entry(
    call: &Call<'_>,
    directory: Option<usize>,
    index: usize,
    flags: u32,
) -> Result<(Attributes, Option<Arc<Entry>>), Errno> {
    if flags & AT_EMPTY_PATH != 0
        && let Some(directory) = directory
        && (call.arg(index) == 0 || call.path(index)?.is_empty())
    {
        if call.int(directory) == AT_FDCWD {
            let current = call.working_directory();
            return Ok((current.attributes(call.kernel)?, Some(current)));
        }
        let file = call.file(directory)?;
        return Ok((file.file.attributes()?, file.entry.clone()));
    }
    let path = call.path(index)?;
    let start = start_of(call, directory, &path)?;
    let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
    let entry = call.walker().walk_to(&start, &path, follow, Limits::empty(), End::File)?;
    let entry = entry.existing()?;
    match &entry.node {
        Node::Proc(ProcNode::Descriptor(file, _)) if flags & AT_SYMLINK_NOFOLLOW == 0 => {
            Ok((file.file.attributes()?, file.entry.clone()))
        }
        _ => Ok((entry.attributes(call.kernel)?, Some(entry))),
    }
}

fn attributes(
    call: &Call<'_>,
    directory: Option<usize>,
    index: usize,
    flags: u32,
) -> Result<Attributes, Errno> {
    attributes_and_entry(call, directory, index, flags).map(|(attributes, _)| attributes)
}

/// With the owner as the caller's user namespace has it.
fn seen(call: &Call<'_>, attributes: &Attributes) -> Attributes {
    let who = lock(&call.thread.credentials);
    let user = who.id_for(Ids::Users, attributes.user);
    Attributes { user, group: who.id_for(Ids::Groups, attributes.group), ..*attributes }
}

fn give_stat(call: &Call<'_>, index: usize, attributes: &Attributes) -> Outcome {
    call.memory().write(call.arg(index), &seen(call, attributes).stat_bytes())?;
    Ok(0)
}

pub(super) fn stat(call: &Call<'_>) -> Outcome {
    give_stat(call, 1, &attributes(call, None, 0, 0)?)
}

pub(super) fn lstat(call: &Call<'_>) -> Outcome {
    give_stat(call, 1, &attributes(call, None, 0, AT_SYMLINK_NOFOLLOW)?)
}

pub(super) fn fstat(call: &Call<'_>) -> Outcome {
    give_stat(call, 1, &call.file(0)?.file.attributes()?)
}

pub(super) fn newfstatat(call: &Call<'_>) -> Outcome {
    // AT_NO_AUTOMOUNT and how the attributes are brought up to date.
    const IDLE: u32 = 0x6800;
    let flags = call.uint(3);
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | IDLE) != 0 {
        return Err(Errno::INVAL.into());
    }
    give_stat(call, 2, &attributes(call, Some(0), 1, flags)?)
}

pub(super) fn statx(call: &Call<'_>) -> Outcome {
    const KNOWN: u32 = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | 0x6000 | 0x800;
    const RESERVED: u32 = 1 << 31;
    const DIRECT: u32 = 0x2000;
    let flags = call.uint(2);
    if flags & !KNOWN != 0 || flags & 0x6000 == 0x6000 || call.uint(3) & RESERVED != 0 {
        return Err(Errno::INVAL.into());
    }
    let (found, entry) = attributes_and_entry(call, Some(0), 1, flags)?;
    let direct = match &entry {
        Some(entry) if call.uint(3) & DIRECT != 0 => entry.node.direct_alignment(call.kernel)?,
        _ => None,
    };
    let made = entry.as_ref().and_then(|entry| match &entry.node {
        Node::Tmp(node) => Some(node.made()),
        _ => None,
    });
    let mount = entry.map(|entry| {
        let root = entry.mount.root().is_some_and(|root| Arc::ptr_eq(&root, &entry));
        (entry.mount.number(), root)
    });
    call.memory().write(call.arg(4), &seen(call, &found).statx_bytes(mount, made, direct))?;
    Ok(0)
}

fn check_access(call: &Call<'_>, directory: Option<usize>, index: usize, flags: u32) -> Outcome {
    let mode = call.uint(index + 1);
    if mode > 7 {
        return Err(Errno::INVAL.into());
    }
    let found = attributes_and_entry(call, directory, index, flags)?;
    let mut who = lock(&call.thread.credentials).clone();
    if flags & AT_EACCESS == 0 {
        who.users[3] = who.users[0];
        who.groups[3] = who.groups[0];
        // As the real user would be, had it executed something.
        if !who.caps.secure.contains(SecureBits::NO_FIXUP) {
            let [user, ..] = who.users_inside();
            let root = user == 0;
            who.caps.effective = if root { who.caps.permitted } else { Caps::empty() };
        }
    }
    permit(&who, &found.0, mode)?;
    if let Some(entry) = found.1 {
        let flags = entry.mount.flags();
        let special = !matches!(entry.kind(), Kind::Regular | Kind::Directory | Kind::Link);
        if mode & access::WRITE != 0 && flags.contains(MountFlags::READ_ONLY) && !special {
            return Err(Errno::ROFS.into());
        }
        let regular = entry.kind() == Kind::Regular;
        if mode & access::EXECUTE != 0 && flags.contains(MountFlags::NO_EXECUTE) && regular {
            return Err(Errno::ACCESS.into());
        }
    }
    Ok(0)
}

pub(super) fn access_plain(call: &Call<'_>) -> Outcome {
    check_access(call, None, 0, 0)
}

pub(super) fn faccessat(call: &Call<'_>) -> Outcome {
    check_access(call, Some(0), 1, 0)
}

pub(super) fn faccessat2(call: &Call<'_>) -> Outcome {
    let flags = call.uint(3);
    if flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL.into());
    }
    check_access(call, Some(0), 1, flags)
}

fn read_link(call: &Call<'_>, directory: Option<usize>, index: usize) -> Outcome {
    let room = call.int(index + 2);
    let room = usize::try_from(room).ok().filter(|r| *r > 0).ok_or(Errno::INVAL)?;
    let entry = match directory {
        // A link that was opened as a name.
        Some(directory) if call.path(index)?.is_empty() => {
            let entry = call.file(directory)?.entry.clone();
            entry.filter(|entry| entry.kind() == Kind::Link).ok_or(Errno::NOENT)?
        }
        _ => walk(call, directory, index, false)?.existing()?,
    };
    let target = entry.target(&call.walker())?;
    let part = target.get(..room).unwrap_or(&target);
    call.memory().write(call.arg(index + 1), part)?;
    Ok(i64::try_from(part.len()).unwrap_or(0))
}

pub(super) fn readlink(call: &Call<'_>) -> Outcome {
    read_link(call, None, 0)
}

pub(super) fn readlinkat(call: &Call<'_>) -> Outcome {
    read_link(call, Some(0), 1)
}

pub(super) fn getcwd(call: &Call<'_>) -> Outcome {
    let fs = call.thread.fs();
    let directories = lock(&fs.directories);
    let mut path = match directories.current.path_below(&directories.root) {
        Some(path) => path,
        None => [&b"(unreachable)"[..], &directories.current.path()].concat(),
    };
    let current = Arc::clone(&directories.current);
    drop(directories);
    if current.is_gone(call.kernel) {
        return Err(Errno::NOENT.into());
    }
    path.push(0);
    if (path.len() as u64) > call.arg(1) {
        return Err(Errno::RANGE.into());
    }
    call.memory().write(call.arg(0), &path)?;
    Ok(i64::try_from(path.len()).unwrap_or(0))
}

fn enter(call: &Call<'_>, entry: Arc<Entry>) -> Outcome {
    if entry.kind() != Kind::Directory {
        return Err(Errno::NOTDIR.into());
    }
    let who = lock(&call.thread.credentials).clone();
    permit(&who, &entry.attributes(call.kernel)?, access::EXECUTE)?;
    lock(&call.thread.fs().directories).current = entry;
    Ok(0)
}

pub(super) fn chdir(call: &Call<'_>) -> Outcome {
    enter(call, walk(call, None, 0, true)?.existing()?)
}

pub(super) fn fchdir(call: &Call<'_>) -> Outcome {
    enter(call, call.file(0)?.entry.clone().ok_or(Errno::NOTDIR)?)
}

/// The place of a name that is to be made: it must not be there.
fn vacant(call: &Call<'_>, directory: Option<usize>, index: usize) -> Result<Resolve, Errno> {
    let found = walk(call, directory, index, false)?;
    if found.entry.is_some() || found.name.is_empty() {
        return Err(Errno::EXIST);
    }
    Ok(found)
}

fn make_directory(call: &Call<'_>, directory: Option<usize>, index: usize) -> Outcome {
    let found = vacant(call, directory, index)?;
    let umask = call.thread.fs().umask.load(Ordering::SeqCst);
    let mode = call.uint(index + 1) & 0o1777 & !umask;
    call.walker().make(&found, Make::Directory(mode))?;
    Ok(0)
}

pub(super) fn mkdir(call: &Call<'_>) -> Outcome {
    make_directory(call, None, 0)
}

pub(super) fn mkdirat(call: &Call<'_>) -> Outcome {
    make_directory(call, Some(0), 1)
}

fn remove(call: &Call<'_>, directory: Option<usize>, index: usize, is_directory: bool) -> Outcome {
    let path = call.path(index)?;
    let found = walk(call, directory, index, false)?;
    if found.name.is_empty() {
        let dot = path.ends_with(b"/.") || path == b".";
        let busy = if dot { Errno::INVAL } else { Errno::BUSY };
        return Err(if is_directory { busy } else { Errno::ISDIR }.into());
    }
    call.walker().remove(&found, is_directory)?;
    Ok(0)
}

pub(super) fn unlink(call: &Call<'_>) -> Outcome {
    remove(call, None, 0, false)
}

pub(super) fn rmdir(call: &Call<'_>) -> Outcome {
    remove(call, None, 0, true)
}

pub(super) fn unlinkat(call: &Call<'_>) -> Outcome {
    let flags = call.uint(2);
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::INVAL.into());
    }
    remove(call, Some(0), 1, flags != 0)
}

fn do_rename(
    call: &Call<'_>,
    from: (Option<usize>, usize),
    to: (Option<usize>, usize),
    flags: u32,
) -> Outcome {
    const NO_REPLACE: u32 = 1;
    const EXCHANGE: u32 = 2;
    const WHITEOUT: u32 = 4;
    let other = flags & (NO_REPLACE | WHITEOUT) != 0;
    if flags & !(NO_REPLACE | EXCHANGE | WHITEOUT) != 0 || (other && flags & EXCHANGE != 0) {
        return Err(Errno::INVAL.into());
    }
    let old = walk(call, from.0, from.1, false)?;
    let new = walk(call, to.0, to.1, false)?;
    if old.name.is_empty() || new.name.is_empty() {
        return Err(Errno::BUSY.into());
    }
    call.walker().rename(&old, &new, flags)?;
    Ok(0)
}

pub(super) fn rename(call: &Call<'_>) -> Outcome {
    do_rename(call, (None, 0), (None, 1), 0)
}

pub(super) fn renameat(call: &Call<'_>) -> Outcome {
    do_rename(call, (Some(0), 1), (Some(2), 3), 0)
}

pub(super) fn renameat2(call: &Call<'_>) -> Outcome {
    do_rename(call, (Some(0), 1), (Some(2), 3), call.uint(4))
}

fn make_link(call: &Call<'_>, target: usize, directory: Option<usize>, index: usize) -> Outcome {
    let target = call.path(target)?;
    if target.is_empty() {
        return Err(Errno::NOENT.into());
    }
    let found = vacant(call, directory, index)?;
    call.walker().make(&found, Make::Link(&target))?;
    Ok(0)
}

pub(super) fn symlink(call: &Call<'_>) -> Outcome {
    make_link(call, 0, None, 1)
}

pub(super) fn symlinkat(call: &Call<'_>) -> Outcome {
    make_link(call, 0, Some(1), 2)
}

fn hard_link(
    call: &Call<'_>,
    from: (Option<usize>, usize),
    to: (Option<usize>, usize),
    flags: u32,
) -> Outcome {
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL.into());
    }
    if flags & AT_EMPTY_PATH != 0 && !lock(&call.thread.credentials).can(Caps::DAC_READ_SEARCH) {
        return Err(Errno::NOENT.into());
    }
    let entry = match from.0 {
        Some(directory) if flags & AT_EMPTY_PATH != 0 && call.path(from.1)?.is_empty() => {
            call.file(directory)?.entry.clone().ok_or(Errno::XDEV)?
        }
        _ => place(call, from.0, from.1, flags & AT_SYMLINK_FOLLOW != 0, Errno::XDEV)?,
    };
    let found = vacant(call, to.0, to.1)?;
    if found.slash {
        return Err(Errno::NOENT.into());
    }
    call.walker().link(&entry, &found)?;
    Ok(0)
}

pub(super) fn link(call: &Call<'_>) -> Outcome {
    hard_link(call, (None, 0), (None, 1), 0)
}

pub(super) fn linkat(call: &Call<'_>) -> Outcome {
    hard_link(call, (Some(0), 1), (Some(2), 3), call.uint(4))
}

/// mknod(2): `index` is that of the path.
fn make_node(call: &Call<'_>, directory: Option<usize>, index: usize) -> Outcome {
    let mode = call.uint(index + 1);
    let kind = match mode & 0o170_000 {
        0 => Kind::Regular,
        0o040_000 => return Err(Errno::PERM.into()),
        0o120_000 => return Err(Errno::INVAL.into()),
        bits if Kind::of(bits) as u32 == bits => Kind::of(bits),
        _ => return Err(Errno::INVAL.into()),
    };
    let is_device = matches!(kind, Kind::Character | Kind::Block);
    if is_device {
        lock(&call.thread.credentials).require(Caps::MKNOD)?;
        // In a user namespace nobody may.
        if !call.kernel.ids().are_all() {
            return Err(Errno::PERM.into());
        }
    }
    let found = vacant(call, directory, index)?;
    if found.slash {
        return Err(Errno::NOENT.into());
    }
    let umask = call.thread.fs().umask.load(Ordering::SeqCst);
    // The kernel's number of 32 bits: twelve of the major number between twenty of the minor.
    let number = call.uint(index + 2);
    let (major, minor) = ((number >> 8) & 0xfff, number & 0xff | (number >> 12) & 0xf_ff00);
    let number = if is_device { rustix::fs::makedev(major, minor) } else { 0 };
    call.walker().make(&found, Make::Node(kind, mode & 0o7777 & !umask, number))?;
    Ok(0)
}

pub(super) fn mknod(call: &Call<'_>) -> Outcome {
    make_node(call, None, 0)
}

pub(super) fn mknodat(call: &Call<'_>) -> Outcome {
    make_node(call, Some(0), 1)
}
