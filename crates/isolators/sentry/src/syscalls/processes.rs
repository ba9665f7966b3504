//! Making, ending and awaiting processes; groups and sessions.

use rustix::io::Errno;

use crate::kernel::Frame;
use crate::task::waiter::{Woken, lock};
use crate::task::{
    CloneRequest, Pid, Restart, Status, WaitFor, WaitResult, clone as make_task, exit_process,
    exit_thread,
};

use crate::time::Usage;

use super::{Call, Failure, Framed, Outcome};

const VM: u64 = 0x100;
const VFORK: u64 = 0x4000;
const SIGCHLD: i32 = 17;

fn make(call: &Call<'_>, frame: &Frame, request: CloneRequest) -> Framed {
    make_task(call.kernel, call.thread, call.id, frame, request)?;
    Ok(None)
}

pub(super) fn fork(call: &Call<'_>, frame: &Frame) -> Framed {
    make(call, frame, CloneRequest { exit_signal: SIGCHLD, ..CloneRequest::default() })
}

pub(super) fn vfork(call: &Call<'_>, frame: &Frame) -> Framed {
    let request =
        CloneRequest { flags: VM | VFORK, exit_signal: SIGCHLD, ..CloneRequest::default() };
    make(call, frame, request)
}

pub(super) fn clone(call: &Call<'_>, frame: &Frame) -> Framed {
    let [flags, stack, parent_tid, child_tid, tls, _] = call.args;
    let exit_signal = i32::try_from(flags & 0xff).unwrap_or(0);
    let flags = flags & 0xffff_ff00;
    make(call, frame, CloneRequest { flags, stack, parent_tid, child_tid, tls, exit_signal })
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
    let words: Vec<u64> =
        bytes.chunks_exact(8).map(|w| w.try_into().map_or(0, u64::from_le_bytes)).collect();
    let [flags, _, child_tid, parent_tid, exit_signal, stack, stack_size, tls] =
        words.first_chunk().copied().ok_or(Errno::INVAL)?;
    let rest_is_zero = words.iter().skip(8).all(|w| *w == 0);
    if !rest_is_zero || exit_signal > 64 || flags & 0xff != 0 || (stack == 0) != (stack_size == 0) {
        return Err(Errno::INVAL.into());
    }
    let exit_signal = i32::try_from(exit_signal).unwrap_or(0);
    let stack = stack.wrapping_add(stack_size);
    make(call, frame, CloneRequest { flags, stack, parent_tid, child_tid, tls, exit_signal })
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

fn whom(call: &Call<'_>, id: Pid) -> Result<WaitFor, Errno> {
    match id {
        -1 => Ok(WaitFor::Any),
        0 => Ok(WaitFor::Group(own_group(call)?)),
        Pid::MIN => Err(Errno::SRCH),
        -0x7fff_ffff..=-2 => Ok(WaitFor::Group(-id)),
        _ => Ok(WaitFor::One(id)),
    }
}

fn own_group(call: &Call<'_>) -> Result<Pid, Errno> {
    lock(&call.kernel.tree).row(call.thread.process.pid).map(|r| r.group).ok_or(Errno::SRCH)
}

/// Waits for an end; `None` if none came and it is not to wait.
fn wait(
    call: &Call<'_>,
    whom: WaitFor,
    keep: bool,
    hang: bool,
) -> Result<Option<(Pid, Status, Usage)>, Failure> {
    let own = call.thread.process.pid;
    loop {
        call.kernel.children.join(call.waiter());
        match lock(&call.kernel.tree).wait(own, whom, keep)? {
            WaitResult::Ended(pid, status, usage) => return Ok(Some((pid, status, usage))),
            WaitResult::NotYet if !hang => return Ok(None),
            WaitResult::NotYet => {}
        }
        if call.waiter().wait(None) == Woken::Interrupted {
            return Err(Failure::Interrupted(Restart::IfAsked));
        }
    }
}

pub(super) fn wait4(call: &Call<'_>) -> Outcome {
    const NO_HANG: u32 = 1;
    const KNOWN: u32 = 0xe000_000b;
    let options = call.uint(2);
    if options & !KNOWN != 0 {
        return Err(Errno::INVAL.into());
    }
    let whom = whom(call, call.int(0))?;
    let Some((pid, status, usage)) = wait(call, whom, false, options & NO_HANG == 0)? else {
        return Ok(0);
    };
    if call.arg(1) != 0 {
        call.memory().write(call.arg(1), &status.word().to_le_bytes())?;
    }
    if call.arg(3) != 0 {
        call.memory().write(call.arg(3), &super::usage::bytes_of(usage))?;
    }
    Ok(pid.into())
}

pub(super) fn waitid(call: &Call<'_>) -> Outcome {
    const NO_HANG: u32 = 1;
    const EXITED: u32 = 4;
    const NO_WAIT: u32 = 0x100_0000;
    let options = call.uint(3);
    let id = call.int(1);
    if options & EXITED == 0 {
        return Err(Errno::INVAL.into());
    }
    let whom = match call.uint(0) {
        0 => WaitFor::Any,
        1 if id > 0 => WaitFor::One(id),
        2 => WaitFor::Group(if id == 0 { own_group(call)? } else { id }),
        _ => return Err(Errno::INVAL.into()),
    };
    let found = wait(call, whom, options & NO_WAIT != 0, options & NO_HANG == 0)?;
    let info = match found {
        None => [0; 128],
        Some((pid, status, usage)) => {
            if call.arg(4) != 0 {
                call.memory().write(call.arg(4), &super::usage::bytes_of(usage))?;
            }
            let (code, value) = match status {
                Status::Exited(code) => (1, i32::from(code)),
                Status::Killed(signal, false) => (2, i32::from(signal)),
                Status::Killed(signal, true) => (3, i32::from(signal)),
            };
            *crate::signal::Info::of_child(code, pid, 0, value).bytes()
        }
    };
    if call.arg(2) != 0 {
        call.memory().write(call.arg(2), &info)?;
    }
    Ok(0)
}

pub(super) fn getpid(call: &Call<'_>) -> Outcome {
    Ok(call.thread.process.pid.into())
}

pub(super) fn gettid(call: &Call<'_>) -> Outcome {
    Ok(call.thread.tid.into())
}

pub(super) fn getppid(call: &Call<'_>) -> Outcome {
    let tree = lock(&call.kernel.tree);
    Ok(tree.row(call.thread.process.pid).map_or(0, |row| row.parent).into())
}

/// The row that a pid argument names; zero is the caller.
fn of_argument(call: &Call<'_>, pid: Pid) -> Result<(Pid, Pid, Pid), Errno> {
    let pid = if pid == 0 { call.thread.process.pid } else { pid };
    let tree = lock(&call.kernel.tree);
    tree.row(pid).map(|r| (pid, r.group, r.session)).ok_or(Errno::SRCH)
}

pub(super) fn getpgid(call: &Call<'_>) -> Outcome {
    Ok(of_argument(call, call.int(0))?.1.into())
}

pub(super) fn getpgrp(call: &Call<'_>) -> Outcome {
    Ok(of_argument(call, 0)?.1.into())
}

pub(super) fn getsid(call: &Call<'_>) -> Outcome {
    Ok(of_argument(call, call.int(0))?.2.into())
}

pub(super) fn setpgid(call: &Call<'_>) -> Outcome {
    let own = call.thread.process.pid;
    let (pid, group) = (call.int(0), call.int(1));
    if group < 0 {
        return Err(Errno::INVAL.into());
    }
    let pid = if pid == 0 { own } else { pid };
    let group = if group == 0 { pid } else { group };
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
    Ok(own.into())
}

pub(super) fn execve(call: &Call<'_>, frame: &Frame) -> Framed {
    let path = call.path(0)?;
    let start = super::paths::start_of(call, None, &path)?;
    super::exec::execute(call, frame, &start, &path, (call.arg(1), call.arg(2)))
}

pub(super) fn execveat(call: &Call<'_>, frame: &Frame) -> Framed {
    const EMPTY_PATH: u32 = 0x1000;
    if call.uint(4) & !EMPTY_PATH != 0 {
        return Err(Errno::INVAL.into());
    }
    let path = call.path(1)?;
    if path.is_empty() {
        // Execution by descriptor alone needs a name for the interpreter.
        return Err(Errno::NOENT.into());
    }
    let start = super::paths::start_of(call, Some(0), &path)?;
    super::exec::execute(call, frame, &start, &path, (call.arg(2), call.arg(3)))
}

/// `arch_prctl`: the thread's own bases, by a number in a register.
pub(super) fn arch_prctl(call: &Call<'_>) {
    const ALLOWED: std::ops::RangeInclusive<u64> = 0x1001..=0x1004;
    if ALLOWED.contains(&call.arg(0)) {
        call.kernel.listener.let_go_on(call.id);
    } else {
        call.kernel.listener.answer(call.id, -i64::from(Errno::INVAL.raw_os_error()));
    }
}
