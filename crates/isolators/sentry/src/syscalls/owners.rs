//! Modes, owners, times, sizes; what statfs(2) tells.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::task::user_namespace::Ids;
use crate::vfs::{Attributes, Entry, Kind, MountFlags, NewTime, Node, OpenFile, ProcNode, Time};

use super::paths::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, place, walk};
use super::{Call, Outcome, time};

/// The entry of a path, or that of an open file.
enum Subject {
    Path(Option<usize>, usize, bool),
    Open(usize),
    /// The same, as a path that is empty: that may be of a file that stands for a path alone.
    Empty(usize),
}

/// What is to be changed.
enum Found {
    Entry(Arc<Entry>),
    /// It has no name.
    Open(Arc<OpenFile>),
}

fn subject(call: &Call<'_>, subject: &Subject) -> Result<Found, Errno> {
    let open = |file: Arc<OpenFile>| match &file.entry {
        Some(entry) => match &entry.node {
            // A name of what has none.
            Node::Proc(ProcNode::Descriptor(file, _)) => Found::Open(Arc::clone(file)),
            _ => Found::Entry(Arc::clone(entry)),
        },
        None => Found::Open(file),
    };
    match *subject {
        Subject::Path(directory, index, follow) => {
            let entry = walk(call, directory, index, follow)?.existing()?;
            match &entry.node {
                Node::Proc(ProcNode::Descriptor(file, _)) => Ok(open(Arc::clone(file))),
                _ => Ok(Found::Entry(entry)),
            }
        }
        Subject::Open(index) => call.open_file(index).map(open),
        Subject::Empty(index) if call.int(index) == AT_FDCWD => {
            Ok(Found::Entry(call.working_directory()))
        }
        Subject::Empty(index) => call.file(index).map(open),
    }
}

fn change_mode(call: &Call<'_>, what: &Subject, mode: u32) -> Outcome {
    let walker = call.walker();
    match subject(call, what)? {
        Found::Entry(entry) => walker.change_mode(&entry, mode)?,
        Found::Open(file) => walker.change_mode_of(&file, mode)?,
    }
    Ok(0)
}

pub(super) fn chmod(call: &Call<'_>) -> Outcome {
    change_mode(call, &Subject::Path(None, 0, true), call.uint(1))
}

pub(super) fn fchmod(call: &Call<'_>) -> Outcome {
    change_mode(call, &Subject::Open(0), call.uint(1))
}

pub(super) fn fchmodat(call: &Call<'_>) -> Outcome {
    change_mode(call, &Subject::Path(Some(0), 1, true), call.uint(2))
}

fn change_owner(call: &Call<'_>, what: &Subject, user: u32, group: u32) -> Outcome {
    let walker = call.walker();
    let user = walker.credentials.id_or_same(Ids::Users, user)?;
    let group = walker.credentials.id_or_same(Ids::Groups, group)?;
    call.kernel.ids().check_some(Ids::Users, user)?;
    call.kernel.ids().check_some(Ids::Groups, group)?;
    match subject(call, what)? {
        Found::Entry(entry) => walker.change_owner(&entry, user, group)?,
        Found::Open(file) => walker.change_owner_of(&file, user, group)?,
    }
    Ok(0)
}

pub(super) fn chown(call: &Call<'_>) -> Outcome {
    change_owner(call, &Subject::Path(None, 0, true), call.uint(1), call.uint(2))
}

pub(super) fn lchown(call: &Call<'_>) -> Outcome {
    change_owner(call, &Subject::Path(None, 0, false), call.uint(1), call.uint(2))
}

pub(super) fn fchown(call: &Call<'_>) -> Outcome {
    change_owner(call, &Subject::Open(0), call.uint(1), call.uint(2))
}

pub(super) fn fchownat(call: &Call<'_>) -> Outcome {
    let flags = call.uint(4);
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL.into());
    }
    if flags & AT_EMPTY_PATH != 0 && call.path(1)?.is_empty() {
        return change_owner(call, &Subject::Empty(0), call.uint(2), call.uint(3));
    }
    let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
    change_owner(call, &Subject::Path(Some(0), 1, follow), call.uint(2), call.uint(3))
}

/// Mode of a path, of a link itself, or of an open file.
pub(super) fn fchmodat2(call: &Call<'_>) -> Outcome {
    let flags = call.uint(3);
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL.into());
    }
    if flags & AT_EMPTY_PATH != 0 && call.path(1)?.is_empty() {
        return change_mode(call, &Subject::Empty(0), call.uint(2));
    }
    let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
    change_mode(call, &Subject::Path(Some(0), 1, follow), call.uint(2))
}

/// Sets both times of a path to those at an address, with microseconds or seconds alone; to
/// the present if there is none.
fn old_times(call: &Call<'_>, directory: Option<usize>, path: usize, micro: bool) -> Outcome {
    let address = call.arg(path + 1);
    let mut times = [NewTime::Now; 2];
    if address != 0 {
        let memory = call.memory();
        let word = |at: u64| memory.read_u64(address.wrapping_add(at)).map(u64::cast_signed);
        for (time, at) in times.iter_mut().zip([0, 1]) {
            let (seconds, micros) =
                if micro { (word(at * 16)?, word(at * 16 + 8)?) } else { (word(at * 8)?, 0) };
            let micros =
                u32::try_from(micros).ok().filter(|m| *m < 1_000_000).ok_or(Errno::INVAL)?;
            *time = NewTime::At(Time { seconds, nanoseconds: micros * 1000 });
        }
    }
    let subject = subject(call, &of_path(call, directory, path, true))?;
    set_times(call, &subject, times)
}

/// The file of a path; the open file itself, if there is a descriptor and no path.
fn of_path(call: &Call<'_>, directory: Option<usize>, path: usize, follow: bool) -> Subject {
    match directory {
        Some(index) if call.arg(path) == 0 && call.int(index) != AT_FDCWD => Subject::Open(index),
        _ => Subject::Path(directory, path, follow),
    }
}

fn set_times(call: &Call<'_>, what: &Found, times: [NewTime; 2]) -> Outcome {
    match what {
        Found::Entry(entry) => call.walker().set_times(entry, times)?,
        Found::Open(file) => call.walker().set_times_of(file, times)?,
    }
    Ok(0)
}

pub(super) fn utime(call: &Call<'_>) -> Outcome {
    old_times(call, None, 0, false)
}

pub(super) fn utimes(call: &Call<'_>) -> Outcome {
    old_times(call, None, 0, true)
}

pub(super) fn futimesat(call: &Call<'_>) -> Outcome {
    old_times(call, Some(0), 1, true)
}

pub(super) fn utimensat(call: &Call<'_>) -> Outcome {
    const NOW: i64 = 0x3fff_ffff;
    const OMIT: i64 = 0x3fff_fffe;
    let mut times = [(0, NOW), (0, NOW)];
    if call.arg(2) != 0 {
        for (time, at) in times.iter_mut().zip([0, 16]) {
            *time = time::read_timespec(call, call.arg(2).wrapping_add(at))?;
        }
    }
    let sound = |n: i64| (0..1_000_000_000).contains(&n) || n == NOW || n == OMIT;
    if times.iter().any(|(_, n)| !sound(*n)) {
        return Err(Errno::INVAL.into());
    }
    if times.iter().all(|(_, n)| *n == OMIT) {
        // Nothing is looked at.
        return Ok(0);
    }
    if call.uint(3) & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL.into());
    }
    let follow = call.uint(3) & AT_SYMLINK_NOFOLLOW == 0;
    let entry = subject(call, &of_path(call, Some(0), 1, follow))?;
    let times = times.map(|(seconds, nanoseconds)| match nanoseconds {
        NOW => NewTime::Now,
        OMIT => NewTime::Keep,
        _ => {
            let nanoseconds = u32::try_from(nanoseconds).unwrap_or(0);
            NewTime::At(Time { seconds, nanoseconds })
        }
    });
    set_times(call, &entry, times)
}

pub(super) fn umask(call: &Call<'_>) -> Outcome {
    let old = call.thread.fs().umask.swap(call.uint(0) & 0o777, Ordering::SeqCst);
    Ok(old.into())
}

pub(super) fn truncate(call: &Call<'_>) -> Outcome {
    let entry = place(call, None, 0, true, Errno::INVAL)?;
    if call.arg(1).cast_signed() < 0 {
        return Err(Errno::INVAL.into());
    }
    if entry.kind() == Kind::Regular {
        super::allow_growth(call, entry.attributes(call.kernel)?.size, call.arg(1))?;
    }
    call.walker().truncate(call, &entry, call.arg(1))?;
    Ok(0)
}

/// The kind of an entry's file system, sizes of its blocks and fragments, and what is counted in
/// them: all, free, usable; files, unused ones.
fn figures(call: &Call<'_>, entry: &Entry) -> Result<(u64, [u64; 2], [u64; 5]), Errno> {
    const EXT4: u64 = 0xef53;
    const PROC: u64 = 0x9fa0;
    const CGROUP: u64 = 0x6367_7270;
    const TMPFS: u64 = 0x0102_1994;
    const MQUEUE: u64 = 0x1980_0202;
    const SYSFS: u64 = 0x6265_6572;
    const NAMESPACES: u64 = 0x6e73_6673;
    const OVERLAY: u64 = 0x794c_7630;
    let mut sizes = [4096; 2];
    let (kind, figures) = match &entry.node {
        Node::Host(node) => {
            let host = rustix::fs::fstatfs(node.handle(&call.kernel.files.broker)?)?;
            // What is counted is told with the size that it is counted in.
            sizes = [host.f_bsize, host.f_frsize].map(i64::cast_unsigned);
            (EXT4, [host.f_blocks, host.f_bfree, host.f_bavail, host.f_files, host.f_ffree])
        }
        Node::Proc(_) if entry.mount.kind == "cgroup2" => (CGROUP, [0; 5]),
        Node::Proc(_) => (PROC, [0; 5]),
        Node::Tmp(_) if entry.mount.kind == "sysfs" => (SYSFS, [0; 5]),
        Node::Tmp(_) if entry.mount.kind == "mqueue" => (MQUEUE, [0; 5]),
        Node::Tmp(node) => {
            let [space, used, files, alive] = node.file_system().figures();
            let free = space.saturating_sub(used) / 4096;
            (TMPFS, [space / 4096, free, free, files, files.saturating_sub(alive)])
        }
        Node::Overlay(node) => {
            let [space, used, files, alive] = node.file_system().figures();
            let free = space.saturating_sub(used) / 4096;
            (OVERLAY, [space / 4096, free, free, files, files.saturating_sub(alive)])
        }
        Node::Namespace(_) => (NAMESPACES, [0; 5]),
        Node::Point => (TMPFS, [0; 5]),
    };
    Ok((kind, sizes, figures))
}

fn give_statfs(call: &Call<'_>, entry: &Entry) -> Outcome {
    let (kind, sizes, figures) = figures(call, entry)?;
    let flags = entry.mount.flags();
    let mut told = 0x20;
    for (flag, bit) in [
        (MountFlags::READ_ONLY, 1),
        (MountFlags::NO_SUID, 2),
        (MountFlags::NO_DEVICES, 4),
        (MountFlags::NO_EXECUTE, 8),
        (MountFlags::NO_ACCESS_TIMES, 0x400),
        (MountFlags::RELATIVE_ACCESS_TIMES, 0x1000),
    ] {
        if flags.contains(flag) {
            told |= bit;
        }
    }
    put_statfs(call, kind, (sizes, figures), (entry.mount.device, told))
}

/// Writes `struct statfs`: what kind it is, sizes of blocks and fragments, what is counted in
/// them, which one, and flags.
fn put_statfs(
    call: &Call<'_>,
    kind: u64,
    ([block, fragment], [all, free, usable, files, unused]): ([u64; 2], [u64; 5]),
    (device, flags): (u64, u64),
) -> Outcome {
    const LONGEST_NAME: u64 = 255;
    let counts = [kind, block, all, free, usable, files, unused];
    let rest = [device, LONGEST_NAME, fragment, flags, 0, 0, 0, 0];
    let bytes: Vec<u8> = counts.into_iter().chain(rest).flat_map(u64::to_le_bytes).collect();
    call.memory().write(call.arg(1), &bytes)?;
    Ok(0)
}

/// ustat(2): of what is mounted from a device, as fstat(2) tells of it.
pub(super) fn ustat(call: &Call<'_>) -> Outcome {
    let wanted = u64::from(call.uint(0));
    let thread = call.thread;
    let table = thread.namespaces().mounts_in(call.kernel, &thread.process);
    let mount = table.all().into_iter().find(|m| m.device & u64::from(u32::MAX) == wanted);
    let root = mount.and_then(|mount| mount.root()).ok_or(Errno::INVAL)?;
    let (_, _, [_, free, _, _, unused]) = figures(call, &root)?;
    // Free blocks, cut to an int; free files; two names that nobody gives.
    let told = [free & u64::from(u32::MAX), unused, 0, 0];
    let bytes: Vec<u8> = told.into_iter().flat_map(u64::to_le_bytes).collect();
    call.memory().write(call.arg(1), &bytes)?;
    Ok(0)
}

pub(super) fn statfs(call: &Call<'_>) -> Outcome {
    let entry = walk(call, None, 0, true)?.existing()?;
    give_statfs(call, &entry)
}

pub(super) fn fstatfs(call: &Call<'_>) -> Outcome {
    let file = call.file(0)?;
    match &file.entry {
        Some(entry) => give_statfs(call, entry),
        None => nameless_statfs(call, &file.file.attributes()?),
    }
}

/// Of the file system that all pipes are in, all sockets, or all files that are nothing of the kind.
fn nameless_statfs(call: &Call<'_>, attributes: &Attributes) -> Outcome {
    const PIPES: u64 = 0x5049_5045;
    const SOCKETS: u64 = 0x534f_434b;
    const OTHERS: u64 = 0x0904_1934;
    let kind = match attributes.kind() {
        Kind::Fifo => PIPES,
        Kind::Socket => SOCKETS,
        _ if !attributes.has_kind() => OTHERS,
        // Of the host's: which file system that is, is not known.
        _ => return Err(Errno::NOSYS.into()),
    };
    put_statfs(call, kind, ([4096; 2], [0; 5]), (attributes.device, 0x20))
}
