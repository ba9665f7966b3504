//! kcmp(2): whether two threads share something.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use rustix::io::Errno;

use crate::task::waiter::lock;
use crate::task::{Thread, may_trace};
use crate::vfs::OpenFile;

use super::{Call, Outcome};

/// `KCMP_*`
mod kind {
    pub(super) const FILE: i32 = 0;
    pub(super) const MEMORY: i32 = 1;
    pub(super) const FILES: i32 = 2;
    pub(super) const DIRECTORIES: i32 = 3;
    pub(super) const HANDLERS: i32 = 4;
    pub(super) const PRIORITY: i32 = 5;
    pub(super) const UNDO: i32 = 6;
    pub(super) const IN_EPOLL: i32 = 7;
}

fn file(thread: &Thread, number: u64) -> Result<Arc<OpenFile>, Errno> {
    let files = Arc::clone(&lock(&thread.process.files));
    // As the host: an unsigned int.
    files.get(u32::try_from(number & 0xffff_ffff).unwrap_or(u32::MAX))
}

/// The order of two addresses, which says nothing else.
fn compare(one: usize, other: usize) -> i64 {
    match one.cmp(&other) {
        Ordering::Equal => 0,
        Ordering::Less => 1,
        Ordering::Greater => 2,
    }
}

/// Of things that are shared with the process, and not there until they are needed.
fn compare_lazy(pair: [&Arc<Thread>; 2], there: [bool; 2]) -> i64 {
    let address = |index: usize| match (pair.get(index), there.get(index)) {
        (Some(thread), Some(true)) => Arc::as_ptr(&thread.process).addr(),
        _ => 0,
    };
    compare(address(0), address(1))
}

fn compare_files(one: &Arc<OpenFile>, other: &Arc<OpenFile>) -> i64 {
    compare(Arc::as_ptr(one).addr(), Arc::as_ptr(other).addr())
}

/// `struct kcmp_epoll_slot`: the set, the number in it, how many of that number come first.
fn in_epoll(call: &Call<'_>, one: &Thread, other: &Thread) -> Outcome {
    let mut slot = [0; 12];
    call.memory().read(call.arg(4), &mut slot)?;
    let [set, number, skip] = [0, 4, 8].map(|at| {
        slot.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
    });
    let own = file(one, call.arg(3))?;
    let set = file(other, set.into())?;
    let set = set.epoll.as_ref().ok_or(Errno::INVAL)?;
    let found = set.file_of(number, skip).ok_or(Errno::NOENT)?;
    Ok(compare_files(&own, &found))
}

pub(super) fn kcmp(call: &Call<'_>) -> Outcome {
    let thread =
        |id: i32| lock(&call.kernel.tree).thread(call.id_of(id)).cloned().ok_or(Errno::SRCH);
    let (one, other) = (thread(call.int(0))?, thread(call.int(1))?);
    let who = super::identity::who(call);
    for process in [&one.process, &other.process] {
        if process.pid != call.thread.process.pid && !may_trace(&who, process, false) {
            return Err(Errno::PERM.into());
        }
    }
    let pair = [&one, &other];
    let addresses = |of: &dyn Fn(&Thread) -> usize| compare(of(&one), of(&other));
    match call.int(2) {
        kind::FILE => Ok(compare_files(&file(&one, call.arg(3))?, &file(&other, call.arg(4))?)),
        kind::MEMORY => Ok(addresses(&|thread| Arc::as_ptr(&thread.own_space()).addr())),
        kind::FILES => Ok(addresses(&|thread| Arc::as_ptr(&*lock(&thread.process.files)).addr())),
        kind::DIRECTORIES => Ok(addresses(&|thread| Arc::as_ptr(&thread.fs()).addr())),
        kind::HANDLERS => Ok(addresses(&|thread| Arc::as_ptr(&thread.process.actions()).addr())),
        kind::PRIORITY => {
            let set = |thread: &Arc<Thread>| thread.process.io_priority.load(SeqCst) != 0;
            Ok(compare_lazy(pair, pair.map(set)))
        }
        kind::UNDO => {
            let list = |thread: &Thread| lock(&thread.undo).as_ref().map(Arc::as_ptr);
            Ok(addresses(&|thread| list(thread).map_or(0, <*const _>::addr)))
        }
        kind::IN_EPOLL => in_epoll(call, &one, &other),
        _ => Err(Errno::INVAL.into()),
    }
}
