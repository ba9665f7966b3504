//! Names: attributes, links, directories, owners, times.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::task::waiter::lock;
use crate::vfs::{Attributes, Entry, HostNode, Kind, Node, ProcNode, Resolve, access, permit};

use super::{Call, Outcome};

const AT_FDCWD: i32 = -100;
pub(super) const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
const AT_EACCESS: u32 = 0x200;
const AT_REMOVEDIR: u32 = 0x200;
const AT_SYMLINK_FOLLOW: u32 = 0x400;
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
        _ => Ok(Arc::clone(&lock(&call.thread.process.directories).current)),
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

/// Attributes of a path, or of an open file if the path is empty and may be.
fn attributes(
    call: &Call<'_>,
    directory: Option<usize>,
    index: usize,
    flags: u32,
) -> Result<Attributes, Errno> {
    if flags & AT_EMPTY_PATH != 0
        && let Some(directory) = directory
        && (call.arg(index) == 0 || call.path(index)?.is_empty())
        && call.int(directory) != AT_FDCWD
    {
        return call.file(directory)?.file.attributes();
    }
    let entry = walk(call, directory, index, flags & AT_SYMLINK_NOFOLLOW == 0)?.existing()?;
    match &entry.node {
        Node::Proc(ProcNode::Descriptor(file)) if flags & AT_SYMLINK_NOFOLLOW == 0 => {
            file.file.attributes()
        }
        _ => entry.attributes(call.kernel),
    }
}

fn give_stat(call: &Call<'_>, index: usize, attributes: &Attributes) -> Outcome {
    call.memory().write(call.arg(index), &attributes.stat_bytes())?;
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
    give_stat(call, 2, &attributes(call, Some(0), 1, call.uint(3))?)
}

pub(super) fn statx(call: &Call<'_>) -> Outcome {
    let found = attributes(call, Some(0), 1, call.uint(2))?;
    call.memory().write(call.arg(4), &found.statx_bytes())?;
    Ok(0)
}

fn check_access(call: &Call<'_>, directory: Option<usize>, index: usize, flags: u32) -> Outcome {
    let mode = call.uint(index + 1);
    if mode > 7 {
        return Err(Errno::INVAL.into());
    }
    let found = attributes(call, directory, index, flags)?;
    let mut who = lock(&call.thread.process.credentials).clone();
    if flags & AT_EACCESS == 0 {
        who.users[3] = who.users[0];
        who.groups[3] = who.groups[0];
    }
    permit(&who, &found, mode)?;
    Ok(0)
}

pub(super) fn access_plain(call: &Call<'_>) -> Outcome {
    check_access(call, None, 0, 0)
}

pub(super) fn faccessat(call: &Call<'_>) -> Outcome {
    check_access(call, Some(0), 1, 0)
}

pub(super) fn faccessat2(call: &Call<'_>) -> Outcome {
    check_access(call, Some(0), 1, call.uint(3))
}

fn read_link(call: &Call<'_>, directory: Option<usize>, index: usize) -> Outcome {
    let room = call.int(index + 2);
    let room = usize::try_from(room).ok().filter(|r| *r > 0).ok_or(Errno::INVAL)?;
    let entry = walk(call, directory, index, false)?.existing()?;
    let target = entry.target(call.kernel, call.thread.process.pid)?;
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
    let mut path = lock(&call.thread.process.directories).current.path();
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
    let who = lock(&call.thread.process.credentials).clone();
    permit(&who, &entry.attributes(call.kernel)?, access::EXECUTE)?;
    lock(&call.thread.process.directories).current = entry;
    Ok(0)
}

pub(super) fn chdir(call: &Call<'_>) -> Outcome {
    enter(call, walk(call, None, 0, true)?.existing()?)
}

pub(super) fn fchdir(call: &Call<'_>) -> Outcome {
    enter(call, call.file(0)?.entry.clone().ok_or(Errno::NOTDIR)?)
}

pub(super) fn chroot(call: &Call<'_>) -> Outcome {
    let entry = walk(call, None, 0, true)?.existing()?;
    if lock(&call.thread.process.credentials).users[1] != 0 {
        return Err(Errno::PERM.into());
    }
    if entry.kind() != Kind::Directory {
        return Err(Errno::NOTDIR.into());
    }
    lock(&call.thread.process.directories).root = entry;
    Ok(0)
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
    let walker = call.walker();
    let (host, owner) = walker.directory_to_change(&found.parent)?;
    let umask = call.thread.process.umask.load(Ordering::SeqCst);
    let set_group = host.attributes()?.mode & 0o2000;
    let mode = call.uint(index + 1) & 0o1777 & !umask | set_group;
    call.kernel.files.broker.make_directory(host.handle.as_fd(), &found.name, mode, owner)?;
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
    let entry = found.entry.as_ref().ok_or(Errno::NOENT)?;
    if found.parent.holds_fast(&found.name) {
        return Err(Errno::BUSY.into());
    }
    match (is_directory, entry.kind() == Kind::Directory) {
        (true, false) => return Err(Errno::NOTDIR.into()),
        (false, true) => return Err(Errno::ISDIR.into()),
        _ => {}
    }
    let walker = call.walker();
    let (host, _) = walker.directory_to_change(&found.parent)?;
    check_sticky(call, host, entry)?;
    call.kernel.files.broker.remove(host.handle.as_fd(), &found.name, is_directory)?;
    found.parent.forget(&found.name);
    Ok(0)
}

/// In a directory like `/tmp`, only owners take names away.
fn check_sticky(call: &Call<'_>, parent: &HostNode, entry: &Entry) -> Result<(), Errno> {
    let [_, _, _, user] = lock(&call.thread.process.credentials).users;
    let parent = parent.attributes()?;
    if user == 0 || parent.mode & 0o1000 == 0 || parent.user == user {
        return Ok(());
    }
    if entry.attributes(call.kernel)?.user == user { Ok(()) } else { Err(Errno::PERM) }
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
    if flags & !NO_REPLACE != 0 {
        return Err(Errno::INVAL.into());
    }
    let old = walk(call, from.0, from.1, false)?;
    let new = walk(call, to.0, to.1, false)?;
    if old.name.is_empty() || new.name.is_empty() {
        return Err(Errno::BUSY.into());
    }
    let entry = old.entry.as_ref().ok_or(Errno::NOENT)?;
    if old.parent.holds_fast(&old.name) || new.parent.holds_fast(&new.name) {
        return Err(Errno::BUSY.into());
    }
    if new.slash && entry.kind() != Kind::Directory {
        return Err(Errno::NOTDIR.into());
    }
    let walker = call.walker();
    let (source, _) = walker.directory_to_change(&old.parent)?;
    let (target, _) = walker.directory_to_change(&new.parent)?;
    check_sticky(call, source, entry)?;
    if let Some(replaced) = &new.entry {
        check_sticky(call, target, replaced)?;
    }
    let source = (source.handle.as_fd(), old.name.as_slice());
    let target = (target.handle.as_fd(), new.name.as_slice());
    call.kernel.files.broker.rename(source, target, flags)?;
    old.parent.rename(&old.name, &new.parent, &new.name);
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
    let walker = call.walker();
    let (host, owner) = walker.directory_to_change(&found.parent)?;
    call.kernel.files.broker.symlink(host.handle.as_fd(), &found.name, &target, owner)?;
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
    follow: bool,
) -> Outcome {
    let entry = walk(call, from.0, from.1, follow)?.existing()?;
    let found = vacant(call, to.0, to.1)?;
    if entry.kind() == Kind::Directory {
        return Err(Errno::PERM.into());
    }
    let Node::Host(file) = &entry.node else { return Err(Errno::XDEV.into()) };
    if entry.kind() == Kind::Link {
        // The broker could only link what it points to.
        return Err(Errno::PERM.into());
    }
    let walker = call.walker();
    let (host, _) = walker.directory_to_change(&found.parent)?;
    call.kernel.files.broker.link(file.handle.as_fd(), host.handle.as_fd(), &found.name)?;
    Ok(0)
}

pub(super) fn link(call: &Call<'_>) -> Outcome {
    hard_link(call, (None, 0), (None, 1), false)
}

pub(super) fn linkat(call: &Call<'_>) -> Outcome {
    let follow = call.uint(4) & AT_SYMLINK_FOLLOW != 0;
    hard_link(call, (Some(0), 1), (Some(2), 3), follow)
}
