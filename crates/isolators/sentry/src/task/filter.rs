//! Seccomp filters of guests: classic BPF, verified and interpreted as Linux does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use caisson_sys::seccomp::SockFilter;
use rustix::io::Errno;

use super::bpf::{DATA, Data, run, verify};
use super::notice::Notifier;

/// What a filter decides on: `struct seccomp_data`.
#[derive(Clone, Copy, Debug)]
pub struct CallData {
    /// The call's number.
    pub number: u32,
    /// Where its instruction ends.
    pub pointer: u64,
    /// Its arguments.
    pub args: [u64; 6],
}

const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

impl CallData {
    /// An aligned word of it.
    pub(super) fn word(&self, at: u32) -> u32 {
        let half = |value: u64, high: bool| {
            u32::try_from(if high { value >> 32 } else { value & 0xffff_ffff }).unwrap_or(0)
        };
        match at {
            0 => self.number,
            4 => AUDIT_ARCH_X86_64,
            8 | 12 => half(self.pointer, at == 12),
            _ => {
                let index = usize::try_from((at - 16) / 8).unwrap_or(6);
                half(self.args.get(index).copied().unwrap_or(0), at % 8 == 4)
            }
        }
    }
}

impl CallData {
    /// As a filter, or who is asked, reads it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        (0..DATA).step_by(4).flat_map(|at| self.word(at).to_le_bytes()).collect()
    }
}

/// What becomes of a call, with what a filter says besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The process ends.
    KillProcess,
    /// The thread ends.
    KillThread,
    /// SIGSYS.
    Trap(u16),
    /// It fails.
    Errno(u16),
    /// Whoever listens decides.
    Notify,
    /// The tracer decides.
    Trace(u16),
    /// It is made, and noted.
    Log,
    /// It is made.
    Allow,
}

/// `SECCOMP_RET_*` that there are, the strictest first.
pub const ACTIONS: [u32; 8] =
    [0x8000_0000, 0, 0x0003_0000, 0x0005_0000, 0x7fc0_0000, 0x7ff0_0000, 0x7ffc_0000, ALLOW];

impl Verdict {
    fn of(value: u32) -> Self {
        let data = u16::try_from(value & 0xffff).unwrap_or(0);
        match value & 0xffff_0000 {
            0 => Verdict::KillThread,
            0x0003_0000 => Verdict::Trap(data),
            0x0005_0000 => Verdict::Errno(data.min(4095)),
            0x7fc0_0000 => Verdict::Notify,
            0x7ff0_0000 => Verdict::Trace(data),
            0x7ffc_0000 => Verdict::Log,
            0x7fff_0000 => Verdict::Allow,
            _ => Verdict::KillProcess,
        }
    }
}

/// A filter, and those that were there before it.
#[derive(Debug)]
pub struct Filter {
    program: Vec<SockFilter>,
    /// The one before.
    previous: Option<Arc<Filter>>,
    /// How many there are with it.
    pub count: usize,
    /// Instructions of all, with Linux's charge of four for each filter.
    weight: usize,
    /// Calls that all of them let be whatever the arguments, a bit for each number.
    free: [u64; FREE],
    /// Where it asks about calls.
    notifier: Option<Arc<Notifier>>,
    /// Whether it or one before it does.
    listened: bool,
}

/// What all filters of the sandbox cost, in instructions, and what they may.
static COST: AtomicUsize = AtomicUsize::new(0);
const MOST_OF_SANDBOX: usize = 4 << 20;
/// What a filter costs besides its instructions.
const OVERHEAD: usize = 32;

impl Drop for Filter {
    fn drop(&mut self) {
        COST.fetch_sub(self.program.len() + OVERHEAD, Ordering::SeqCst);
        if let Some(notifier) = &self.notifier {
            notifier.orphan();
        }
        // One by one: there may be thousands, more than a stack has room for.
        let mut next = self.previous.take();
        while let Some(mut filter) = next.and_then(Arc::into_inner) {
            next = filter.previous.take();
        }
    }
}

/// Calls below this number times 64 may be found free without running a filter.
const FREE: usize = 8;

/// Where a number's bit is.
fn place(number: u64) -> Option<(usize, u64)> {
    let word = usize::try_from(number / 64).ok().filter(|word| *word < FREE)?;
    Some((word, 1 << (number % 64)))
}

/// The calls that a program lets be by their number alone.
fn free(program: &[SockFilter]) -> [u64; FREE] {
    let mut found = [0; FREE];
    for number in 0..512_u32 {
        let known = |at: u32| match at {
            0 => Some(number),
            4 => Some(AUDIT_ARCH_X86_64),
            _ => None,
        };
        if run(program, DATA, |at, _| known(at)) == Some(ALLOW)
            && let Some((word, bit)) = place(number.into())
            && let Some(word) = found.get_mut(word)
        {
            *word |= bit;
        }
    }
    found
}

/// `SECCOMP_RET_ALLOW`
const ALLOW: u32 = 0x7fff_0000;

/// Instructions of all of a thread's programs.
const MOST_IN_ALL: usize = 32_768;

impl Filter {
    /// Puts a program in front of others.
    ///
    /// # Errors
    /// `EINVAL` for one that Linux would not take; `ENOMEM` if they are too many.
    pub fn new(
        program: Vec<SockFilter>,
        previous: Option<Arc<Filter>>,
    ) -> Result<Arc<Self>, Errno> {
        Self::with_notifier(program, previous, None)
    }

    /// The same, with somebody who listens.
    ///
    /// # Errors
    /// The same; `EBUSY` if somebody listens already.
    pub fn with_notifier(
        program: Vec<SockFilter>,
        previous: Option<Arc<Filter>>,
        notifier: Option<Arc<Notifier>>,
    ) -> Result<Arc<Self>, Errno> {
        let listens = |filter: &Arc<Filter>| filter.listened;
        let before_listens = previous.as_ref().is_some_and(listens);
        if notifier.is_some() && before_listens {
            return Err(Errno::BUSY);
        }
        verify(&program, Data::Call)?;
        let before = previous.as_ref().map_or((0, 0), |filter| (filter.count, filter.weight + 4));
        let weight = before.1 + program.len();
        if weight > MOST_IN_ALL {
            return Err(Errno::NOMEM);
        }
        let mut free = free(&program);
        if let Some(previous) = &previous {
            free.iter_mut().zip(previous.free).for_each(|(own, theirs)| *own &= theirs);
        }
        let cost = program.len() + OVERHEAD;
        let more = |all: usize| all.checked_add(cost).filter(|all| *all <= MOST_OF_SANDBOX);
        let taken = COST.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        taken.map_err(|_| Errno::NOMEM)?;
        let count = before.0 + 1;
        let listened = notifier.is_some() || before_listens;
        Ok(Arc::new(Filter { program, previous, count, weight, free, notifier, listened }))
    }

    /// Whether a call is let be whatever its arguments, and nobody told of it.
    #[must_use]
    pub fn lets(&self, number: u64) -> bool {
        place(number).is_some_and(|(word, bit)| self.free.get(word).is_some_and(|w| w & bit != 0))
    }

    /// The filter of this number, the oldest first.
    #[must_use]
    pub fn nth(&self, number: usize) -> Option<&Filter> {
        let mut at = Some(self);
        while let Some(filter) = at {
            if filter.count == number + 1 {
                return Some(filter);
            }
            at = filter.previous.as_deref();
        }
        None
    }

    /// Its instructions, as they were given.
    #[must_use]
    pub fn instructions(&self) -> &[SockFilter] {
        &self.program
    }

    /// What all of them say: the strictest, and of equals the newest.
    #[must_use]
    pub fn judge(&self, data: &CallData) -> Verdict {
        Verdict::of(self.decide(data).0)
    }

    /// Who is asked about a call.
    #[must_use]
    pub fn notifier(&self, data: &CallData) -> Option<Arc<Notifier>> {
        self.decide(data).1.notifier.clone()
    }

    /// The strictest value, and whose it is.
    fn decide(&self, data: &CallData) -> (u32, &Filter) {
        if self.lets(data.number.into()) {
            return (ALLOW, self);
        }
        let (mut at, mut strictest) = (Some(self), (ALLOW, self));
        while let Some(filter) = at {
            let value = run(&filter.program, DATA, |at, _| Some(data.word(at))).unwrap_or(0);
            let rank = |value: u32| (value & 0xffff_0000).cast_signed();
            if rank(value) < rank(strictest.0) {
                strictest = (value, filter);
            }
            at = filter.previous.as_deref();
        }
        strictest
    }

    /// Whether `other` is this one or one of those before it.
    #[must_use]
    pub fn descends_from(self: &Arc<Self>, other: &Arc<Filter>) -> bool {
        let mut at = Some(self);
        while let Some(filter) = at {
            if Arc::ptr_eq(filter, other) {
                return true;
            }
            at = filter.previous.as_ref();
        }
        false
    }
}

/// How a thread's calls are restricted.
#[derive(Clone, Debug, Default)]
pub enum Guard {
    /// Not at all.
    #[default]
    None,
    /// Only reads, writes and ends.
    Strict,
    /// By filters.
    Filters(Arc<Filter>),
}

impl Guard {
    /// What becomes of a call.
    #[must_use]
    pub fn judge(&self, data: &CallData) -> Verdict {
        match self {
            Guard::None => Verdict::Allow,
            Guard::Strict if matches!(data.number, 0 | 1 | 15 | 60) => Verdict::Allow,
            Guard::Strict => Verdict::KillThread,
            Guard::Filters(filter) => filter.judge(data),
        }
    }

    /// Whether a call is let be whatever its arguments, and nobody told of it.
    #[must_use]
    pub fn lets(&self, number: u64) -> bool {
        match self {
            Guard::None => true,
            Guard::Strict => false,
            Guard::Filters(filter) => filter.lets(number),
        }
    }

    /// As `PR_GET_SECCOMP` tells it.
    #[must_use]
    pub fn mode(&self) -> u8 {
        match self {
            Guard::None => 0,
            Guard::Strict => 1,
            Guard::Filters(_) => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(code: u16, jt: u8, jf: u8, k: u32) -> SockFilter {
        SockFilter { code, jt, jf, k }
    }

    fn data(number: u32) -> CallData {
        CallData { number, pointer: 0x7fff_1234_5678, args: [1, 2, 3 << 40, 4, 5, 6] }
    }

    #[test]
    fn the_strictest_verdict_counts_and_of_equals_the_newest() {
        let constant = |k: u32, previous| Filter::new(vec![step(0x06, 0, 0, k)], previous).unwrap();
        let old = constant(0x0005_0001, None);
        let new = constant(0x0005_0002, Some(Arc::clone(&old)));
        assert_eq!(new.judge(&data(0)), Verdict::Errno(2));
        let lax = constant(0x7fff_0000, Some(Arc::clone(&new)));
        assert_eq!(lax.judge(&data(0)), Verdict::Errno(2));
        let trap = constant(0x0003_0009, Some(Arc::clone(&lax)));
        assert_eq!(trap.judge(&data(0)), Verdict::Trap(9));
        let dead = constant(0x8000_0000, Some(Arc::clone(&trap)));
        assert_eq!(dead.judge(&data(0)), Verdict::KillProcess);
        assert!(dead.descends_from(&old) && !old.descends_from(&dead));
        assert_eq!(dead.count, 5);
    }

    #[test]
    fn what_is_free_is_so_by_its_number_alone() {
        let allow = step(0x06, 0, 0, ALLOW);
        let load = step(0x20, 0, 0, 0);
        // 39 always, 40 by its first argument, 41 is told of; others not.
        let program = vec![
            load,
            step(0x15, 4, 0, 39),
            step(0x15, 1, 0, 40),
            step(0x15, 3, 4, 41),
            step(0x20, 0, 0, 16),
            step(0x15, 0, 2, 1),
            allow,
            step(0x06, 0, 0, 0x7ffc_0000),
            step(0x06, 0, 0, 0x0005_0001),
        ];
        let filter = Filter::new(program, None).unwrap();
        let free: Vec<u64> = (0..600).filter(|number| filter.lets(*number)).collect();
        assert_eq!(free, [39]);
        assert_eq!(filter.judge(&data(40)), Verdict::Allow);
        let none = Filter::new(vec![step(0x06, 0, 0, 0x0005_0001)], Some(filter)).unwrap();
        let both = Filter::new(vec![allow], Some(none)).unwrap();
        assert!(!both.lets(39) && Filter::new(vec![allow], None).unwrap().lets(511));
    }
}
