//! Processes by descriptor: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2).

use std::sync::Arc;

use rustix::io::Errno;

use crate::signal::{Info, MAX, SI_USER, Target};
use crate::task::waiter::lock;
use crate::task::{Process, may_trace};
use crate::vfs::{Node, OpenFile, PidFd, ProcNode, status};

use super::{Call, Outcome, signals};

/// The process behind a descriptor argument, and whether the descriptor waits.
pub(super) fn process(call: &Call<'_>, index: usize) -> Result<(Arc<Process>, bool), Errno> {
    let file = call.file(index)?;
    let own = file.file.own().and_then(|own| own.downcast_ref::<PidFd>()).ok_or(Errno::BADF)?;
    if !own.is_there(call.kernel) {
        return Err(Errno::SRCH);
    }
    let waits = !file.flag(status::NONBLOCK);
    Ok((Arc::clone(&own.process), waits))
}

pub(super) fn pidfd_open(call: &Call<'_>) -> Outcome {
    let (pid, flags) = (call.id_of(call.int(0)), call.uint(1));
    if flags & !status::NONBLOCK != 0 || pid <= 0 {
        return Err(Errno::INVAL.into());
    }
    let process = {
        let tree = lock(&call.kernel.tree);
        match tree.row(pid) {
            Some(row) => Arc::clone(&row.process),
            // A thread that is not the first of its process has none.
            None if tree.thread(pid).is_some() => return Err(Errno::NOENT.into()),
            None => return Err(Errno::SRCH.into()),
        }
    };
    let file = PidFd::new(call.kernel, process);
    let keep = flags | status::READ_WRITE;
    Ok(call.files().add(OpenFile::stream(Box::new(file), keep), 0, true)?.into())
}

/// The process whose folder of procfs the first argument is, if it is one.
fn named(call: &Call<'_>) -> Result<Option<Arc<Process>>, Errno> {
    let file = call.file(0)?;
    let Some(Node::Proc(ProcNode::Process(pid, _))) = file.entry.as_ref().map(|entry| &entry.node)
    else {
        return Ok(None);
    };
    let tree = lock(&call.kernel.tree);
    tree.row(*pid).map(|row| Some(Arc::clone(&row.process))).ok_or(Errno::SRCH)
}

pub(super) fn pidfd_send_signal(call: &Call<'_>) -> Outcome {
    let number = call.int(1);
    if call.uint(3) != 0 {
        return Err(Errno::INVAL.into());
    }
    let target = match named(call)? {
        Some(target) => target,
        None => process(call, 0)?.0,
    };
    if !(0..=MAX).contains(&number) {
        return Err(Errno::INVAL.into());
    }
    let (who, user) = signals::sender(call);
    let info = if call.arg(2) == 0 {
        Info::from_user(number, SI_USER, call.thread.process.pid, user)
    } else {
        if call.memory().read_u32(call.arg(2))?.cast_signed() != number {
            return Err(Errno::INVAL.into());
        }
        signals::given_info(call, 2, number, target.pid)?
    };
    if !signals::may_send(call, &who, &target, number) {
        return Err(Errno::PERM.into());
    }
    if number != 0 {
        signals::send_checked(call, &Target::Process(target), info)?;
    }
    Ok(0)
}

/// A copy of another process's descriptor, for who could trace it.
pub(super) fn pidfd_getfd(call: &Call<'_>) -> Outcome {
    if call.uint(2) != 0 {
        return Err(Errno::INVAL.into());
    }
    let (target, _) = process(call, 0)?;
    // First: then a program that is executed meanwhile has not opened it.
    let file = Arc::clone(&lock(&target.files)).get(call.uint(1));
    let who = super::identity::who(call);
    if target.pid != call.thread.process.pid && !may_trace(&who, &target, false) {
        return Err(Errno::PERM.into());
    }
    Ok(call.files().add(file?, 0, true)?.into())
}
