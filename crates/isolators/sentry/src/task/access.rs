//! Who may look into whom: ptrace(2)'s rules.

use std::sync::atomic::Ordering;

use super::waiter::lock;
use super::{Caps, Credentials, Process};

/// Whether `who` may trace `target`, or read of it what only who may trace it may; `by_files`
/// compares the file system's ids instead of the real ones. Threads of one process may
/// always; that is the caller's to know.
#[must_use]
pub fn may_trace(who: &Credentials, target: &Process, by_files: bool) -> bool {
    let theirs = target.who();
    let able = who.can_in(&theirs.space, Caps::SYS_PTRACE);
    let index = if by_files { 3 } else { 0 };
    let same = |own: [u32; 4], theirs: [u32; 4]| {
        own.get(index).is_some_and(|own| theirs.iter().take(3).all(|id| id == own))
    };
    let alike = same(who.users, theirs.users) && same(who.groups, theirs.groups);
    let mine = if by_files { who.caps.effective } else { who.caps.permitted };
    let no_more = who.is_beside(&theirs) && mine.contains(theirs.caps.permitted);
    (able || (alike && no_more)) && sees(who, target)
}

/// Whether `who`, who may trace `target` otherwise, may look into the program that it runs.
#[must_use]
pub fn sees(who: &Credentials, target: &Process) -> bool {
    target.dumpable.load(Ordering::SeqCst) || who.can_in(&lock(&target.seen_from), Caps::SYS_PTRACE)
}
