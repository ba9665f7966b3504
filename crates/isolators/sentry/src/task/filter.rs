//! Seccomp filters of guests: classic BPF, verified and interpreted as Linux does.

use std::sync::Arc;

use caisson_sys::seccomp::SockFilter;
use rustix::io::Errno;

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
/// Bytes of `struct seccomp_data`.
const DATA: u32 = 64;

impl CallData {
    /// An aligned word of it.
    fn word(&self, at: u32) -> u32 {
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
    /// The tracer decides.
    Trace(u16),
    /// It is made, and noted.
    Log,
    /// It is made.
    Allow,
}

/// `SECCOMP_RET_*` that there are, the strictest first.
pub const ACTIONS: [u32; 7] =
    [0x8000_0000, 0, 0x0003_0000, 0x0005_0000, 0x7ff0_0000, 0x7ffc_0000, 0x7fff_0000];

impl Verdict {
    fn of(value: u32) -> Self {
        let data = u16::try_from(value & 0xffff).unwrap_or(0);
        match value & 0xffff_0000 {
            0 => Verdict::KillThread,
            0x0003_0000 => Verdict::Trap(data),
            0x0005_0000 => Verdict::Errno(data.min(4095)),
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
        if run(program, known) == Some(ALLOW)
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

/// Instructions of one program, and of all of a thread's.
const MOST: usize = 4096;
const MOST_IN_ALL: usize = 32_768;
/// Words of memory that a program has.
const MEMORY: usize = 16;

impl Filter {
    /// Puts a program in front of others.
    ///
    /// # Errors
    /// `EINVAL` for one that Linux would not take; `ENOMEM` if they are too many.
    pub fn new(
        program: Vec<SockFilter>,
        previous: Option<Arc<Filter>>,
    ) -> Result<Arc<Self>, Errno> {
        verify(&program)?;
        let before = previous.as_ref().map_or((0, 0), |filter| (filter.count, filter.weight + 4));
        let weight = before.1 + program.len();
        if weight > MOST_IN_ALL {
            return Err(Errno::NOMEM);
        }
        let mut free = free(&program);
        if let Some(previous) = &previous {
            free.iter_mut().zip(previous.free).for_each(|(own, theirs)| *own &= theirs);
        }
        Ok(Arc::new(Filter { program, previous, count: before.0 + 1, weight, free }))
    }

    /// Whether a call is let be whatever its arguments, and nobody told of it.
    #[must_use]
    pub fn lets(&self, number: u64) -> bool {
        place(number).is_some_and(|(word, bit)| self.free.get(word).is_some_and(|w| w & bit != 0))
    }

    /// What all of them say: the strictest, and of equals the newest.
    #[must_use]
    pub fn judge(&self, data: &CallData) -> Verdict {
        if self.lets(data.number.into()) {
            return Verdict::Allow;
        }
        let (mut at, mut strictest) = (Some(self), ALLOW);
        while let Some(filter) = at {
            let value = run(&filter.program, |at| Some(data.word(at))).unwrap_or(0);
            let rank = |value: u32| (value & 0xffff_0000).cast_signed();
            if rank(value) < rank(strictest) {
                strictest = value;
            }
            at = filter.previous.as_deref();
        }
        Verdict::of(strictest)
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

/// Takes a program only if it ends, whatever the data.
fn verify(program: &[SockFilter]) -> Result<(), Errno> {
    if program.is_empty() || program.len() > MOST {
        return Err(Errno::INVAL);
    }
    for (index, step) in program.iter().enumerate() {
        let left = program.len() - index - 1;
        let reaches = |by: usize| by < left;
        let good = match step.code {
            // ld abs: an aligned word of the data.
            0x20 => step.k < DATA && step.k.is_multiple_of(4),
            // ld/ldx len, imm; ret k, a; tax, txa; neg.
            0x80 | 0x81 | 0x00 | 0x01 | 0x06 | 0x16 | 0x07 | 0x87 | 0x84 => true,
            // add sub mul or and xor by k; those by x.
            0x04 | 0x14 | 0x24 | 0x44 | 0x54 | 0xa4 => true,
            0x0c | 0x1c | 0x2c | 0x3c | 0x4c | 0x5c | 0xac | 0x6c | 0x7c => true,
            0x34 => step.k != 0,
            0x64 | 0x74 => step.k < 32,
            0x60 | 0x61 | 0x02 | 0x03 => usize::try_from(step.k).is_ok_and(|k| k < MEMORY),
            0x05 => usize::try_from(step.k).is_ok_and(reaches),
            0x15 | 0x25 | 0x35 | 0x45 | 0x1d | 0x2d | 0x3d | 0x4d => {
                reaches(step.jt.into()) && reaches(step.jf.into())
            }
            _ => false,
        };
        if !good {
            return Err(Errno::INVAL);
        }
    }
    if !matches!(program.last().map(|step| step.code), Some(0x06 | 0x16)) {
        return Err(Errno::INVAL);
    }
    loads_follow_stores(program)
}

/// No word of memory is loaded that was not stored on every way to it.
fn loads_follow_stores(program: &[SockFilter]) -> Result<(), Errno> {
    // Words that may be loaded at each instruction.
    let mut valid = vec![u16::MAX; program.len()];
    let mut now = 0_u16;
    for (index, step) in program.iter().enumerate() {
        now &= valid.get(index).copied().unwrap_or(0);
        let mut meet = |by: usize| {
            if let Some(target) = valid.get_mut(index + 1 + by) {
                *target &= now;
            }
        };
        let word = 1_u16.checked_shl(step.k).unwrap_or(0);
        match step.code {
            0x02 | 0x03 => now |= word,
            0x60 | 0x61 if now & word == 0 => return Err(Errno::INVAL),
            0x05 => {
                meet(usize::try_from(step.k).unwrap_or(0));
                now = u16::MAX;
            }
            0x15 | 0x25 | 0x35 | 0x45 | 0x1d | 0x2d | 0x3d | 0x4d => {
                meet(step.jt.into());
                meet(step.jf.into());
                now = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Runs a program that was verified. Jumps lead forwards only, so it ends. `None` if it
/// asks for a word that is not known.
fn run(program: &[SockFilter], word: impl Fn(u32) -> Option<u32>) -> Option<u32> {
    let (mut a, mut x, mut memory) = (0_u32, 0_u32, [0_u32; MEMORY]);
    let mut at = 0_usize;
    while let Some(step) = program.get(at) {
        at += 1;
        let k = step.k;
        let operand = if step.code & 0x08 == 0 { k } else { x };
        let slot = usize::try_from(k).unwrap_or(MEMORY);
        match step.code {
            0x06 => return Some(k),
            0x16 => return Some(a),
            0x20 => a = word(k)?,
            0x80 => a = DATA,
            0x81 => x = DATA,
            0x00 => a = k,
            0x01 => x = k,
            0x60 => a = memory.get(slot).copied().unwrap_or(0),
            0x61 => x = memory.get(slot).copied().unwrap_or(0),
            0x02 | 0x03 => {
                if let Some(word) = memory.get_mut(slot) {
                    *word = if step.code == 0x02 { a } else { x };
                }
            }
            0x07 => x = a,
            0x87 => a = x,
            0x84 => a = a.wrapping_neg(),
            0x04 | 0x0c => a = a.wrapping_add(operand),
            0x14 | 0x1c => a = a.wrapping_sub(operand),
            0x24 | 0x2c => a = a.wrapping_mul(operand),
            // By zero it is over, with the strictest answer for the thread.
            0x34 | 0x3c => match a.checked_div(operand) {
                Some(quotient) => a = quotient,
                None => return Some(0),
            },
            0x44 | 0x4c => a |= operand,
            0x54 | 0x5c => a &= operand,
            0xa4 | 0xac => a ^= operand,
            0x64 | 0x6c => a = a.wrapping_shl(operand),
            0x74 | 0x7c => a = a.wrapping_shr(operand),
            0x05 => at = at.saturating_add(slot),
            code => {
                let holds = match code & 0xf0 {
                    0x10 => a == operand,
                    0x20 => a > operand,
                    0x30 => a >= operand,
                    _ => a & operand != 0,
                };
                at += usize::from(if holds { step.jt } else { step.jf });
            }
        }
    }
    Some(0)
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

    fn value(program: &[SockFilter]) -> u32 {
        verify(program).unwrap();
        run(program, |at| Some(data(39).word(at))).unwrap()
    }

    #[test]
    fn data_is_read_in_halves() {
        for (at, expected) in
            [(0, 39), (4, 0xc000_003e), (8, 0x1234_5678), (12, 0x7fff), (16, 1), (36, 3 << 8)]
        {
            assert_eq!(value(&[step(0x20, 0, 0, at), step(0x16, 0, 0, 0)]), expected, "{at}");
        }
    }

    #[test]
    fn what_linux_refuses_is_refused() {
        let end = step(0x06, 0, 0, 0);
        for bad in [
            vec![],
            vec![step(0x20, 0, 0, 0)],
            vec![step(0x20, 0, 0, 2), end],
            vec![step(0x20, 0, 0, 64), end],
            vec![step(0x28, 0, 0, 0), end],
            vec![step(0x34, 0, 0, 0), end],
            vec![step(0x64, 0, 0, 32), end],
            vec![step(0x60, 0, 0, 3), end],
            vec![step(0x02, 0, 0, 16), end],
            vec![step(0x15, 1, 0, 0), end],
            vec![step(0x05, 0, 0, 1), end],
            // Stored on one of two ways only.
            vec![step(0x15, 0, 1, 0), step(0x02, 0, 0, 1), step(0x60, 0, 0, 1), end],
            vec![end; MOST + 1],
        ] {
            assert_eq!(verify(&bad), Err(Errno::INVAL), "{bad:?}");
        }
        assert_eq!(verify(&vec![end; MOST]), Ok(()));
        let stored = [step(0x02, 0, 0, 1), step(0x15, 0, 0, 0), step(0x60, 0, 0, 1), end];
        assert_eq!(verify(&stored), Ok(()));
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

    #[test]
    fn arithmetic_is_that_of_32_bits() {
        let end = step(0x16, 0, 0, 0);
        let x = step(0x01, 0, 0, 5);
        let load = step(0x00, 0, 0, 7);
        assert_eq!(value(&[x, load, step(0x1c, 0, 0, 0), end]), 2);
        assert_eq!(value(&[load, step(0x84, 0, 0, 0), end]), 7_u32.wrapping_neg());
        assert_eq!(value(&[load, step(0x3c, 0, 0, 0), end]), 0);
        assert_eq!(value(&[load, step(0x64, 0, 0, 31), end]), 1 << 31);
        let jump = [load, step(0x25, 1, 0, 6), step(0x06, 0, 0, 1), step(0x06, 0, 0, 2)];
        assert_eq!(value(&jump), 2);
    }
}
