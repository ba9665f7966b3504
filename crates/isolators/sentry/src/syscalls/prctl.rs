//! prctl(2): what tasks say of themselves besides names, rights and filters.

use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::task::waiter::lock;
use crate::task::{Caps, Thread};

use super::{Call, Failure, Outcome};

mod option {
    pub(super) const GET_TIMING: i32 = 13;
    pub(super) const SET_TIMING: i32 = 14;
    pub(super) const GET_TSC: i32 = 25;
    pub(super) const SET_TSC: i32 = 26;
    pub(super) const SET_SLACK: i32 = 29;
    pub(super) const GET_SLACK: i32 = 30;
    pub(super) const SET_MACHINE_CHECKS: i32 = 33;
    pub(super) const GET_MACHINE_CHECKS: i32 = 34;
    pub(super) const SET_MEMORY: i32 = 35;
    pub(super) const GET_CLEARED_WORD: i32 = 40;
    pub(super) const SET_NO_HUGE_PAGES: i32 = 41;
    pub(super) const GET_NO_HUGE_PAGES: i32 = 42;
    pub(super) const GET_SPECULATION: i32 = 52;
    pub(super) const SET_FLUSHER: i32 = 57;
    pub(super) const GET_FLUSHER: i32 = 58;
    pub(super) const SET_AREA: i32 = 0x5356_4d41;
    /// Of the security module Yama.
    pub(super) const SET_TRACER: i32 = 0x5961_6d61;
}

/// What a thread has set, which others inherit.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// How late its timers may be, in nanoseconds, and what zero sets.
    slack: [u64; 2],
    /// `PR_MCE_KILL_*`
    machine_checks: u8,
    /// It writes what others have in memory.
    flusher: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Habits { slack: [50_000; 2], machine_checks: machine_checks::DEFAULT, flusher: false }
    }
}

impl Habits {
    /// How late its timers may be, in nanoseconds.
    #[must_use]
    pub fn slack(&self) -> u64 {
        self.slack[0]
    }

    /// Sets that; zero: to what it was to begin with.
    pub fn set_slack(&mut self, slack: u64) {
        let [now, usual] = &mut self.slack;
        *now = if slack == 0 { *usual } else { slack };
    }

    /// Those of a new task.
    #[must_use]
    pub fn inherited(self) -> Self {
        let [slack, _] = self.slack;
        Habits { slack: [slack; 2], ..self }
    }
}

mod machine_checks {
    pub(super) const LATE: u8 = 0;
    pub(super) const DEFAULT: u8 = 2;
}

/// Serves one of these; `None` if it is another one.
pub(super) fn serve(call: &Call<'_>) -> Option<Outcome> {
    let (argument, thread) = (call.arg(1), call.thread);
    let rest_is_zero = |from: usize| (from..5).all(|index| call.arg(index) == 0);
    let done = |fits: bool| if fits { Ok(0) } else { Err(Errno::INVAL.into()) };
    Some(match call.int(0) {
        option::GET_TIMING => Ok(0),
        option::SET_TIMING => done(argument == 0),
        option::GET_TSC => tell(call, 1),
        // To have it fail is the processor's to do.
        option::SET_TSC => done(argument == 1),
        option::SET_SLACK => {
            lock(&thread.habits).set_slack(argument);
            Ok(0)
        }
        option::GET_SLACK => {
            let slack = lock(&thread.habits).slack();
            Ok(i64::try_from(slack).unwrap_or(i64::MAX))
        }
        option::SET_MACHINE_CHECKS if rest_is_zero(3) => set_machine_checks(call),
        option::GET_MACHINE_CHECKS if rest_is_zero(1) => {
            Ok(lock(&thread.habits).machine_checks.into())
        }
        option::SET_MEMORY => super::prctl_memory::set(call),
        option::SET_AREA => super::prctl_memory::name(call),
        option::GET_CLEARED_WORD => {
            let word = thread.clear_tid.load(Ordering::SeqCst);
            call.memory().write(argument, &word.to_le_bytes()).map(|()| 0).map_err(Failure::from)
        }
        option::SET_NO_HUGE_PAGES if rest_is_zero(2) => {
            thread.process.no_huge_pages.store(argument != 0, Ordering::SeqCst);
            Ok(0)
        }
        option::GET_NO_HUGE_PAGES if rest_is_zero(1) => {
            Ok(thread.process.no_huge_pages.load(Ordering::SeqCst).into())
        }
        // The processor's, as the host knows it.
        option::GET_SPECULATION if rest_is_zero(2) => Err(Failure::Host),
        option::SET_FLUSHER | option::GET_FLUSHER => flusher(call),
        option::SET_TRACER => done(may_trace_later(call, thread)),
        _ => return None,
    })
}

fn tell(call: &Call<'_>, value: u32) -> Outcome {
    call.memory().write(call.arg(1), &value.to_le_bytes())?;
    Ok(0)
}

fn set_machine_checks(call: &Call<'_>) -> Outcome {
    const CLEAR: u64 = 0;
    const SET: u64 = 1;
    let wanted = match (call.arg(1), call.arg(2)) {
        (CLEAR, 0) => machine_checks::DEFAULT,
        (SET, policy) => match u8::try_from(policy) {
            Ok(policy @ machine_checks::LATE..=machine_checks::DEFAULT) => policy,
            _ => return Err(Errno::INVAL.into()),
        },
        _ => return Err(Errno::INVAL.into()),
    };
    lock(&call.thread.habits).machine_checks = wanted;
    Ok(0)
}

fn flusher(call: &Call<'_>) -> Outcome {
    lock(&call.thread.credentials).require(Caps::SYS_RESOURCE)?;
    let sets = call.int(0) == option::SET_FLUSHER;
    let first = if sets { 2 } else { 1 };
    if (first..5).any(|index| call.arg(index) != 0) {
        return Err(Errno::INVAL.into());
    }
    let flusher = &mut lock(&call.thread.habits).flusher;
    match call.arg(1) {
        _ if !sets => return Ok((*flusher).into()),
        on @ (0 | 1) => *flusher = on == 1,
        _ => return Err(Errno::INVAL.into()),
    }
    Ok(0)
}

/// Who could trace it may do so anyway: what is to be permitted is only looked at.
fn may_trace_later(call: &Call<'_>, thread: &Thread) -> bool {
    const ANY: u64 = u64::MAX;
    match call.arg(1) {
        0 | ANY => true,
        number => {
            let id = i32::try_from(number).map(|number| thread.process.id_of(number));
            id.is_ok_and(|id| lock(&call.kernel.tree).row(id).is_some())
        }
    }
}
