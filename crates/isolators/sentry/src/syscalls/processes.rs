//! Making and ending processes; groups and sessions.

use rustix::io::Errno;

use crate::kernel::Frame;
use crate::signal;
use crate::task::waiter::lock;
use crate::task::{CloneRequest, Pid, Status, clone as make_task, exit_process, exit_thread};

use super::exec::Named;
use super::paths::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, start_of};
use super::{Call, Framed, Outcome};

const VM: u64 = 0x100;
const VFORK: u64 = 0x4000;
const PIDFD: u64 = 0x1000;
const PARENT: u64 = 0x8000;
const THREAD: u64 = 0x1_0000;
const PARENT_SETTID: u64 = 0x10_0000;
const SIGCHLD: i32 = 17;

fn make(call: &Call<'_>, frame: &Frame, request: CloneRequest, wanted: &[Pid]) -> Framed {
    match make_task(call.kernel, call.thread, call.id, frame, (request, wanted)) {
        // Its process is ending, and this thread in a moment: until then it tries again.
        Err(Errno::INTR) => {
            let mut again = frame.clone();
            again.make_again();
            signal::resume(call.kernel, call.thread, call.id, &mut again);
            Ok(None)
        }
        made => Ok(made.map(|()| None)?),
    }
}

pub(super) fn fork(call: &Call<'_>, frame: &Frame) -> Framed {
    make(call, frame, CloneRequest { exit_signal: SIGCHLD, ..CloneRequest::default() }, &[])
}

pub(super) fn vfork(call: &Call<'_>, frame: &Frame) -> Framed {
    let request =
        CloneRequest { flags: VM | VFORK, exit_signal: SIGCHLD, ..CloneRequest::default() };
    make(call, frame, request, &[])
}

pub(super) fn clone(call: &Call<'_>, frame: &Frame) -> Framed {
    let [flags, stack, parent_tid, child_tid, tls, _] = call.args;
    let exit_signal = i32::try_from(flags & 0xff).unwrap_or(0);
    let flags = flags & 0xffff_ff00;
    // One place for both.
    if flags & (PIDFD | PARENT_SETTID) == PIDFD | PARENT_SETTID {
        return Err(Errno::INVAL.into());
    }
    let pidfd = parent_tid;
    let request = CloneRequest { flags, stack, parent_tid, pidfd, child_tid, tls, exit_signal };
    make(call, frame, request, &[])
}

/// `struct clone_args` is copied once; what follows sees the copy.
pub(super) fn clone3(call: &Call<'_>, frame: &Frame) -> Framed {
    const LEAST: u64 = 64;
    const MOST: u64 = 4096;
    let size = call.arg(1);
    if size < LEAST {
        return Err(Errno::INVAL.into());
    }
    if size > MOST {
        return Err(Errno::TOOBIG.into());
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    call.memory().read(call.arg(0), &mut bytes)?;
    let mut words: Vec<u64> =
        bytes.chunks_exact(8).map(|w| w.try_into().map_or(0, u64::from_le_bytes)).collect();
    words.resize(words.len().max(10), 0);
    let [flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, list, count] =
        words.first_chunk().copied().ok_or(Errno::INVAL)?;
    let rest_is_zero = words.iter().skip(10).all(|w| *w == 0);
    if !rest_is_zero || exit_signal > 64 || flags & 0xff != 0 || (stack == 0) != (stack_size == 0) {
        return Err(Errno::INVAL.into());
    }
    if flags & (PARENT | THREAD) != 0 && exit_signal != 0 {
        return Err(Errno::INVAL.into());
    }
    let exit_signal = i32::try_from(exit_signal).unwrap_or(0);
    let stack = stack.wrapping_add(stack_size);
    let request = CloneRequest { flags, stack, parent_tid, pidfd, child_tid, tls, exit_signal };
    make(call, frame, request, &wanted(call, list, count)?)
}

/// Numbers that clone3(2) is asked for (`set_tid`).
fn wanted(call: &Call<'_>, list: u64, count: u64) -> Result<Vec<Pid>, Errno> {
    /// Namespaces in each other.
    const MOST: u64 = 32;
    if count > MOST || (list == 0) != (count == 0) {
        return Err(Errno::INVAL);
    }
    let mut bytes = vec![0; usize::try_from(count * 4).unwrap_or(0)];
    call.memory().read(list, &mut bytes)?;
    Ok(bytes.chunks_exact(4).map(|b| b.try_into().map_or(0, Pid::from_le_bytes)).collect())
}

fn code(call: &Call<'_>) -> u8 {
    u8::try_from(call.arg(0) & 0xff).unwrap_or(0)
}

pub(super) fn exit(call: &Call<'_>) {
    exit_thread(call.kernel, call.thread, call.id, code(call));
}

pub(super) fn exit_group(call: &Call<'_>) {
    exit_process(call.kernel, &call.thread.process, Status::Exited(code(call)));
    // Where others still live in the stub, the kick that is pending ends it.
    call.thread.kick();
    call.kernel.listener.answer(call.id, 0);
}

pub(super) fn getpid(call: &Call<'_>) -> Outcome {
    Ok(call.number_of(call.thread.process.pid).into())
}

pub(super) fn gettid(call: &Call<'_>) -> Outcome {
    Ok(call.number_of(call.thread.tid).into())
}

pub(super) fn getppid(call: &Call<'_>) -> Outcome {
    let tree = lock(&call.kernel.tree);
    let parent = tree.row(call.thread.process.pid).map_or(0, |row| row.parent);
    Ok(call.number_of(parent).into())
}

/// The row that a pid argument names; zero is the caller.
fn of_argument(call: &Call<'_>, pid: Pid) -> Result<(Pid, Pid, Pid), Errno> {
    let pid = if pid == 0 { call.thread.process.pid } else { call.id_of(pid) };
    let tree = lock(&call.kernel.tree);
    tree.row(pid).map(|r| (pid, r.group, r.session)).ok_or(Errno::SRCH)
}

pub(super) fn getpgid(call: &Call<'_>) -> Outcome {
    Ok(call.number_of(of_argument(call, call.int(0))?.1).into())
}

pub(super) fn getpgrp(call: &Call<'_>) -> Outcome {
    Ok(call.number_of(of_argument(call, 0)?.1).into())
}

pub(super) fn getsid(call: &Call<'_>) -> Outcome {
    Ok(call.number_of(of_argument(call, call.int(0))?.2).into())
}

pub(super) fn setpgid(call: &Call<'_>) -> Outcome {
    let own = call.thread.process.pid;
    let (pid, group) = (call.int(0), call.int(1));
    if group < 0 {
        return Err(Errno::INVAL.into());
    }
    let pid = if pid == 0 { own } else { call.id_of(pid) };
    let group = if group == 0 { pid } else { call.id_of(group) };
    let mut tree = lock(&call.kernel.tree);
    let session = tree.row(own).map(|r| r.session).ok_or(Errno::SRCH)?;
    let exists = tree.rows().any(|(_, r)| r.group == group && r.session == session);
    let row = tree.row_mut(pid).ok_or(Errno::SRCH)?;
    if pid != own && row.parent != own {
        return Err(Errno::SRCH.into());
    }
    if pid != own && row.executed {
        return Err(Errno::ACCESS.into());
    }
    if row.session == pid || row.session != session || (group != pid && !exists) {
        return Err(Errno::PERM.into());
    }
    row.group = group;
    Ok(0)
}

pub(super) fn setsid(call: &Call<'_>) -> Outcome {
    let own = call.thread.process.pid;
    let mut tree = lock(&call.kernel.tree);
    if tree.rows().any(|(_, row)| row.group == own) {
        return Err(Errno::PERM.into());
    }
    let row = tree.row_mut(own).ok_or(Errno::SRCH)?;
    (row.group, row.session) = (own, own);
    Ok(call.number_of(own).into())
}

pub(super) fn execve(call: &Call<'_>, frame: &Frame) -> Framed {
    let path = call.path(0)?;
    let current = start_of(call, None, &path)?;
    super::exec::execute(call, frame, &Named::new(current, path), (call.arg(1), call.arg(2)))
}

pub(super) fn execveat(call: &Call<'_>, frame: &Frame) -> Framed {
    let flags = call.uint(4);
    if flags & !(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::INVAL.into());
    }
    let (number, path) = (call.uint(0), call.path(1)?);
    let is_file = path.is_empty() && flags & AT_EMPTY_PATH != 0;
    let (start, lasting) = if is_file && call.int(0) != AT_FDCWD {
        let entry = call.file(0)?.entry.clone().ok_or(Errno::ACCESS)?;
        (entry, !call.files().close_on_exec(number)?)
    } else {
        let start = start_of(call, Some(0), &path)?;
        let by_number = call.int(0) != AT_FDCWD && !path.starts_with(b"/");
        (start, !by_number || !call.files().close_on_exec(number)?)
    };
    let mut named = Named::new(start_of(call, None, &path)?, path.clone());
    named.start = start;
    if call.int(0) != AT_FDCWD && !path.starts_with(b"/") {
        // The name that a script's interpreter gets, too.
        named.path = format!("/dev/fd/{number}").into_bytes();
        if !path.is_empty() {
            named.path = [&named.path, &b"/"[..], &path].concat();
        }
    }
    named.rest = (!is_file).then_some(path);
    named.follow = flags & AT_SYMLINK_NOFOLLOW == 0;
    named.lasting = lasting;
    super::exec::execute(call, frame, &named, (call.arg(2), call.arg(3)))
}

/// `arch_prctl`: the thread's own bases, by a number in a register.
pub(super) fn arch_prctl(call: &Call<'_>) {
    const ALLOWED: std::ops::RangeInclusive<u64> = 0x1001..=0x1004;
    const GET_CPUID: u64 = 0x1011;
    const SET_CPUID: u64 = 0x1012;
    let errno = match call.arg(0) {
        base if ALLOWED.contains(&base) => return call.kernel.listener.let_go_on(call.id),
        // The instruction can be executed, and nobody can change that.
        GET_CPUID => return call.kernel.listener.answer(call.id, 1),
        SET_CPUID => Errno::NODEV,
        _ => Errno::INVAL,
    };
    call.kernel.listener.answer(call.id, -i64::from(errno.raw_os_error()));
}
