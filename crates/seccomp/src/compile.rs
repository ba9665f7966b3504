//! From a resolved profile to a program.

use crate::action;
use crate::arch::Arch;
use crate::conditions::emit_rules;
use crate::emit::{Emitter, Jump, Target};
use crate::error::SeccompError;
use crate::policy::{Inspection, Outcome, Policy};
use crate::ranges::{NumberRange, number_ranges};
use caisson_sys::seccomp::SockFilter;

/// Offsets in `struct seccomp_data` (linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// Longest program that the kernel takes (`BPF_MAXINSNS`).
pub(crate) const MAX_INSTRUCTIONS: usize = 4096;

/// Writes the program: the architecture selects a search tree over the call
/// numbers, whose leaves return or look at the arguments.
pub(crate) fn compile(policy: &Policy) -> Result<Vec<SockFilter>, SeccompError> {
    let mut emitter = Emitter::new();
    let mut next = Target::Return(action::BAD_ARCH);
    // The native architecture is the first in the list and in the program.
    for abi in policy.abis.iter().rev().filter(|abi| abi.arch != Arch::X32) {
        let mut section = Section { policy, emitter: &mut emitter, inspections: Vec::new() };
        let tree = section.emit_tree(&runs(&number_ranges(policy, abi)));
        let start = match tree {
            Target::At(_) => emitter.load(NUMBER, tree),
            Target::Return(_) => tree,
        };
        next = emitter.branch(Jump::Equal, abi.arch.audit_arch(), start, next);
    }
    let entry = emitter.load(ARCH, next);
    let program = emitter.finish(entry);
    if program.len() > MAX_INSTRUCTIONS {
        return Err(SeccompError::TooLong { instructions: program.len() });
    }
    Ok(program)
}

/// Numbers with a common outcome, save a few: an equality test per exception
/// is shorter than splitting the range around it twice.
struct Run {
    start: u32,
    outcome: Outcome,
    exceptions: [Option<NumberRange>; MAX_EXCEPTIONS],
}

/// More exceptions make the program shorter but the path through it longer.
const MAX_EXCEPTIONS: usize = 2;

impl Run {
    const fn new(start: u32, outcome: Outcome) -> Self {
        Self { start, outcome, exceptions: [None; MAX_EXCEPTIONS] }
    }
}

fn runs(ranges: &[NumberRange]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::with_capacity(ranges.len());
    let mut rest = ranges;
    loop {
        rest = match (rest, runs.last_mut()) {
            ([single, after, tail @ ..], Some(run))
                if after.start - single.start == 1 && after.outcome == run.outcome =>
            {
                if let Some(free) = run.exceptions.iter_mut().find(|slot| slot.is_none()) {
                    *free = Some(*single);
                } else {
                    let mut next = Run::new(single.start, run.outcome);
                    next.exceptions.first_mut().into_iter().for_each(|slot| *slot = Some(*single));
                    runs.push(next);
                }
                tail
            }
            ([range, tail @ ..], _) => {
                runs.push(Run::new(range.start, range.outcome));
                tail
            }
            ([], _) => return runs,
        };
    }
}

/// The part of the program for one value of `seccomp_data.arch`.
struct Section<'a> {
    policy: &'a Policy,
    emitter: &'a mut Emitter,
    /// Where the blocks that look at arguments begin.
    inspections: Vec<(Inspection, Target)>,
}

impl Section<'_> {
    fn emit_tree(&mut self, runs: &[Run]) -> Target {
        match runs {
            [] => Target::Return(self.policy.default),
            [run] => {
                let mut next = self.outcome(run.outcome);
                for exception in run.exceptions.iter().rev().flatten() {
                    let outcome = self.outcome(exception.outcome);
                    next = self.emitter.branch(Jump::Equal, exception.start, outcome, next);
                }
                next
            }
            _ => {
                let (low, high) = runs.split_at(runs.len() / 2);
                let split = high.first().map_or(0, |run| run.start);
                let above = self.emit_tree(high);
                let below = self.emit_tree(low);
                self.emitter.branch(Jump::GreaterEqual, split, above, below)
            }
        }
    }

    fn outcome(&mut self, outcome: Outcome) -> Target {
        let inspection = match outcome {
            Outcome::Return(value) => return Target::Return(value),
            Outcome::Inspect(inspection) => inspection,
        };
        if let Some(known) = self.inspections.iter().find(|known| known.0 == inspection) {
            return known.1;
        }
        let start = emit_rules(self.emitter, self.policy, inspection);
        self.inspections.push((inspection, start));
        start
    }
}
