//! Waiting for children: wait4(2), waitid(2).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::signal::{Info, SIGCONT};
use crate::task::trace::{self, Waited};
use crate::task::waiter::{Woken, lock};
use crate::task::{Change, Pid, Restart, Spent, Status, WaitFor, WaitOptions, WaitResult};
use crate::vfs::most_memory;
use crate::workers::let_others_serve;

use super::{Call, Failure, Outcome, usage};

fn whom(call: &Call<'_>, id: Pid) -> Result<WaitFor, Errno> {
    match id {
        -1 => Ok(WaitFor::Any),
        0 => Ok(WaitFor::Group(own_group(call)?)),
        Pid::MIN => Err(Errno::SRCH),
        -0x7fff_ffff..=-2 => Ok(WaitFor::Group(call.id_of(-id))),
        _ => Ok(WaitFor::One(call.id_of(id))),
    }
}

fn own_group(call: &Call<'_>) -> Result<Pid, Errno> {
    lock(&call.kernel.tree).row(call.thread.process.pid).map(|r| r.group).ok_or(Errno::SRCH)
}

/// A child that changed, its real user, and what it used.
type Found = (Pid, Change, u32, Spent);

/// So often a tracee is looked at that is busy, before a signal ends that.
const SOON: u32 = 1000;

/// Waits for a change; `None` if none came and it is not to wait. What one has used that has not
/// ended is looked for if the caller is `told` of it.
fn wait(
    call: &Call<'_>,
    (whom, options): (WaitFor, WaitOptions),
    told: bool,
) -> Result<Option<Found>, Failure> {
    let own = call.thread.process.pid;
    let used = |pid| if told { of_living(call, pid) } else { Spent::default() };
    let (mut interrupted, mut busy) = (false, 0);
    // Until its thread ends, or soon a signal is there.
    let looks_again = |busy: u32| {
        let over = busy >= SOON && call.waiter().is_interrupted();
        !over && !call.thread.doomed.load(Ordering::SeqCst)
    };
    loop {
        call.kernel.children.join(call.waiter());
        let tracees = match trace::wait(call.kernel, own, whom, options) {
            Waited::Changed(pid, change, user) => {
                return Ok(Some((pid, change, user, used(pid))));
            }
            Waited::Busy if looks_again(busy) => {
                busy += 1;
                let_others_serve();
                std::thread::sleep(std::time::Duration::from_micros(50));
                continue;
            }
            Waited::NotYet | Waited::Busy => true,
            Waited::None => false,
        };
        let result = lock(&call.kernel.tree).wait(own, whom, options);
        let result = match result {
            Err(Errno::CHILD) if tracees => WaitResult::NotYet,
            other => other?,
        };
        match result {
            WaitResult::Changed(pid, change @ Change::Ended(_), user, spent) => {
                return Ok(Some((pid, change, user, spent)));
            }
            WaitResult::Changed(pid, change, user, _) => {
                return Ok(Some((pid, change, user, used(pid))));
            }
            // Who has had the signal, and looks, finds it, even if it is that signal
            // which interrupts the wait.
            WaitResult::Soon => {
                std::thread::sleep(std::time::Duration::from_micros(50));
                continue;
            }
            WaitResult::NotYet if options.contains(WaitOptions::NO_HANG) => return Ok(None),
            WaitResult::NotYet if interrupted => {
                return Err(Failure::Interrupted(Restart::IfAsked));
            }
            WaitResult::NotYet => {}
        }
        interrupted = call.waiter().wait(None) == Woken::Interrupted;
    }
}

/// What the process of a thread has used by now, with its children that were waited for.
fn of_living(call: &Call<'_>, tid: Pid) -> Spent {
    let found = {
        let tree = lock(&call.kernel.tree);
        let thread = tree.thread(tid).cloned();
        let process = thread.as_ref().map(|thread| Arc::clone(&thread.process));
        let process = process.or_else(|| tree.row(tid).map(|row| Arc::clone(&row.process)));
        process.map(|process| (process, thread))
    };
    let Some((process, thread)) = found else { return Spent::default() };
    let children = lock(&process.accounts).children;
    let mut tally = lock(&process.counting).all();
    if let Some(thread) = thread {
        tally.reach(most_memory(call.kernel, &thread));
    }
    Spent { times: process.usage(call.kernel).plus(children), tally }
}

fn word(change: Change) -> i32 {
    match change {
        Change::Ended(status) => status.word(),
        Change::Stopped(code) | Change::Trapped(code) => code << 8 | 0x7f,
        Change::Continued => 0xffff,
    }
}

fn give_usage(call: &Call<'_>, index: usize, spent: Spent) -> Result<(), Failure> {
    if call.arg(index) != 0 {
        call.memory().write(call.arg(index), &usage::bytes_of(spent))?;
    }
    Ok(())
}

pub(super) fn wait4(call: &Call<'_>) -> Outcome {
    let known = WaitOptions::all() - WaitOptions::EXITED - WaitOptions::KEEP;
    let options = WaitOptions::from_bits(call.uint(2)).filter(|o| known.contains(*o));
    let options = options.ok_or(Errno::INVAL)? | WaitOptions::EXITED;
    let whom = whom(call, call.int(0))?;
    let Some((pid, change, _, spent)) = wait(call, (whom, options), call.arg(3) != 0)? else {
        return Ok(0);
    };
    if call.arg(1) != 0 {
        call.memory().write(call.arg(1), &word(change).to_le_bytes())?;
    }
    give_usage(call, 3, spent)?;
    Ok(call.number_of(pid).into())
}

/// `si_code` and `si_status`.
fn cause(change: Change) -> (i32, i32) {
    match change {
        Change::Ended(Status::Exited(code)) => (1, code.into()),
        Change::Ended(Status::Killed(signal, false)) => (2, signal.into()),
        Change::Ended(Status::Killed(signal, true)) => (3, signal.into()),
        Change::Stopped(signal) => (5, signal),
        Change::Trapped(code) => (4, code),
        Change::Continued => (6, SIGCONT),
    }
}

pub(super) fn waitid(call: &Call<'_>) -> Outcome {
    let mut info = [0; 128];
    let outcome = wait_for(call, &mut info);
    // Also after an error, as Linux does; not if the call is made again.
    if call.arg(2) != 0 && !matches!(outcome, Err(Failure::Interrupted(_))) {
        call.memory().write(call.arg(2), info.get(..28).unwrap_or_default())?;
    }
    outcome
}

fn wait_for(call: &Call<'_>, info: &mut [u8; 128]) -> Outcome {
    let options = WaitOptions::from_bits(call.uint(3)).ok_or(Errno::INVAL)?;
    let id = call.int(1);
    let states = WaitOptions::EXITED | WaitOptions::STOPPED | WaitOptions::CONTINUED;
    if !options.intersects(states) {
        return Err(Errno::INVAL.into());
    }
    let mut extra = WaitOptions::empty();
    let whom = match call.uint(0) {
        3 => {
            let (process, waits) = super::pidfd::process(call, 1).map_err(|errno| match errno {
                // One that is gone is nobody's child.
                Errno::SRCH => Errno::CHILD,
                other => other,
            })?;
            if !waits {
                extra = WaitOptions::NO_HANG;
            }
            WaitFor::One(process.pid)
        }
        0 => WaitFor::Any,
        1 if id > 0 => WaitFor::One(call.id_of(id)),
        2 if id >= 0 => WaitFor::Group(if id == 0 { own_group(call)? } else { call.id_of(id) }),
        _ => return Err(Errno::INVAL.into()),
    };
    let found = match wait(call, (whom, options | extra), call.arg(4) != 0)? {
        None if !extra.is_empty() && !options.contains(WaitOptions::NO_HANG) => {
            return Err(Errno::AGAIN.into());
        }
        found => found,
    };
    if let Some((pid, change, user, spent)) = found {
        let (code, value) = cause(change);
        *info = *Info::of_child(code, call.number_of(pid), user, value).bytes();
        give_usage(call, 4, spent)?;
    }
    Ok(0)
}
