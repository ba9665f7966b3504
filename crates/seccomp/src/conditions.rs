//! Instructions that compare arguments.

use crate::emit::{Emitter, Jump, Target};
use crate::policy::{Inspection, Policy, Rule};
use caisson_runtime_spec::{SeccompArg, SeccompOperator};

/// Writes the rules of an inspection: the first whose conditions all hold
/// decides, else the default.
pub(crate) fn emit_rules(emitter: &mut Emitter, policy: &Policy, inspection: Inspection) -> Target {
    let mut next = Target::Return(policy.default);
    let mut rules = policy.rules(inspection.list).rev().peekable();
    while let Some(rule) = rules.next() {
        let conditions = policy.conditions(rule);
        if let [condition] = conditions
            && let Some(set) = Set::of(rule, condition, inspection.wide)
        {
            let mut values = vec![low(condition.value)];
            while let Some(other) = rules.next_if(|other| set.holds(policy, other)) {
                values.extend(policy.conditions(other).iter().map(|arg| low(arg.value)));
            }
            next = set.emit(emitter, &values, next);
            continue;
        }
        let mut matched = Target::Return(rule.action);
        for condition in conditions.iter().rev() {
            matched = emit_condition(emitter, condition, inspection.wide, matched, next);
        }
        next = matched;
    }
    next
}

/// Neighbouring rules that compare one argument for equality with values that
/// differ in the low half only, with the same action.
struct Set {
    action: u32,
    index: u32,
    /// The common high half; `None` if only low halves are compared.
    high: Option<u32>,
}

impl Set {
    fn of(rule: &Rule, condition: &SeccompArg, wide: bool) -> Option<Self> {
        (condition.op == SeccompOperator::EqualTo).then(|| Self {
            action: rule.action,
            index: condition.index,
            high: wide.then_some(high(condition.value)),
        })
    }

    fn holds(&self, policy: &Policy, rule: &Rule) -> bool {
        matches!(policy.conditions(rule), [arg] if rule.action == self.action
            && arg.op == SeccompOperator::EqualTo
            && arg.index == self.index
            && self.high.is_none_or(|half| half == high(arg.value)))
    }

    fn emit(&self, emitter: &mut Emitter, values: &[u32], otherwise: Target) -> Target {
        let mut next = otherwise;
        for &value in values {
            next = emitter.branch(Jump::Equal, value, Target::Return(self.action), next);
        }
        next = emitter.load(low_offset(self.index), next);
        if let Some(half) = self.high {
            next = emitter.branch(Jump::Equal, half, next, otherwise);
            next = emitter.load(high_offset(self.index), next);
        }
        next
    }
}

/// Writes one comparison. On ABIs that aren't `wide` only the low halves of
/// the argument and the constants count.
fn emit_condition(
    emitter: &mut Emitter,
    arg: &SeccompArg,
    wide: bool,
    yes: Target,
    no: Target,
) -> Target {
    let value = if wide { arg.value } else { u64::from(low(arg.value)) };
    match arg.op {
        SeccompOperator::EqualTo => emit_equal(emitter, arg.index, wide, value, yes, no),
        SeccompOperator::NotEqual => emit_equal(emitter, arg.index, wide, value, no, yes),
        SeccompOperator::GreaterThan => {
            emit_order(emitter, arg.index, wide, Jump::Greater, value, yes, no)
        }
        SeccompOperator::LessEqual => {
            emit_order(emitter, arg.index, wide, Jump::Greater, value, no, yes)
        }
        SeccompOperator::GreaterEqual => {
            emit_order(emitter, arg.index, wide, Jump::GreaterEqual, value, yes, no)
        }
        SeccompOperator::LessThan => {
            emit_order(emitter, arg.index, wide, Jump::GreaterEqual, value, no, yes)
        }
        SeccompOperator::MaskedEqual => {
            let (mask, value) = (value, arg.value_two & value);
            let mut next =
                emit_masked(emitter, low_offset(arg.index), low(mask), low(value), yes, no);
            if wide {
                let offset = high_offset(arg.index);
                next = emit_masked(emitter, offset, high(mask), high(value), next, no);
            }
            next
        }
    }
}

fn emit_equal(
    emitter: &mut Emitter,
    index: u32,
    wide: bool,
    value: u64,
    yes: Target,
    no: Target,
) -> Target {
    let mut next = emitter.branch(Jump::Equal, low(value), yes, no);
    next = emitter.load(low_offset(index), next);
    if wide {
        next = emitter.branch(Jump::Equal, high(value), next, no);
        next = emitter.load(high_offset(index), next);
    }
    next
}

fn emit_order(
    emitter: &mut Emitter,
    index: u32,
    wide: bool,
    order: Jump,
    value: u64,
    yes: Target,
    no: Target,
) -> Target {
    let mut next = emitter.branch(order, low(value), yes, no);
    next = emitter.load(low_offset(index), next);
    if wide {
        // No high half is less than 0.
        let unequal = if high(value) == 0 {
            yes
        } else {
            emitter.branch(Jump::Greater, high(value), yes, no)
        };
        next = emitter.branch(Jump::Equal, high(value), next, unequal);
        next = emitter.load(high_offset(index), next);
    }
    next
}

fn emit_masked(
    emitter: &mut Emitter,
    offset: u32,
    mask: u32,
    value: u32,
    yes: Target,
    no: Target,
) -> Target {
    if mask == 0 {
        return yes;
    }
    let mut next = emitter.branch(Jump::Equal, value, yes, no);
    if mask != u32::MAX {
        next = emitter.and(mask, next);
    }
    emitter.load(offset, next)
}

/// Offset of the low half of an argument in `struct seccomp_data`.
const fn low_offset(index: u32) -> u32 {
    16 + 8 * index
}

const fn high_offset(index: u32) -> u32 {
    low_offset(index) + 4
}

#[allow(clippy::cast_possible_truncation, reason = "half of the value is meant")]
const fn low(value: u64) -> u32 {
    value as u32
}

const fn high(value: u64) -> u32 {
    low(value >> 32)
}
