//! What each value of the 32-bit call number gets, as ranges.

use crate::action;
use crate::arch::{Arch, X32_BIT};
use crate::policy::{AbiRules, Outcome, Policy};

/// Numbers from `start` to the next range's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NumberRange {
    pub(crate) start: u32,
    pub(crate) outcome: Outcome,
}

/// The ranges that calls under one `seccomp_data.arch` value fall into:
/// ascending, the first starts at 0, neighbours differ.
pub(crate) fn number_ranges(policy: &Policy, abi: &AbiRules) -> Vec<NumberRange> {
    let mut ranges = Ranges(Vec::with_capacity(256));
    let x32 = policy.abis.iter().find(|other| other.arch == Arch::X32);
    ranges.add_abi(policy, abi);
    if abi.arch == Arch::X86_64 {
        ranges.add_x32(policy, abi, x32);
    }
    ranges.0
}

struct Ranges(Vec<NumberRange>);

impl Ranges {
    fn add(&mut self, start: u32, outcome: Outcome) {
        if self.0.last().is_none_or(|last| last.outcome != outcome) {
            self.0.push(NumberRange { start, outcome });
        }
    }

    /// The calls of an ABI and, up to the end of the number space, those that
    /// it doesn't have.
    fn add_abi(&mut self, policy: &Policy, abi: &AbiRules) {
        let default = Outcome::Return(policy.default);
        let newer = newer_than_profile(policy, abi);
        let limit = if newer.is_some() { abi.last } else { u32::MAX };
        let mut next = if abi.arch == Arch::X32 { X32_BIT } else { 0 };
        for (number, outcome) in abi.calls().take_while(|call| call.0 <= limit) {
            if number > next {
                self.add(next, default);
            }
            self.add(number, outcome);
            next = number + 1;
        }
        if let Some(outcome) = newer {
            if limit >= next {
                self.add(next, default);
            }
            next = limit.saturating_add(1);
            self.add(next, outcome);
        } else {
            self.add(next, default);
        }
    }

    /// The numbers from bit 30 up. Those with the bit are x32's, the others
    /// nobody's: libseccomp rejects both unless x32 is in the list, save -1,
    /// which tracers use to skip a call. runc's answer to calls newer than
    /// the profile goes by bit 30 alone, and comes first.
    fn add_x32(&mut self, policy: &Policy, native: &AbiRules, x32: Option<&AbiRules>) {
        let default = Outcome::Return(policy.default);
        let not_newer = if x32.is_some() { default } else { Outcome::Return(action::BAD_ARCH) };
        let newer_x32 = x32.and_then(|x32| newer_than_profile(policy, x32));
        match x32 {
            Some(x32) => self.add_abi(policy, x32),
            None => self.add(X32_BIT, not_newer),
        }
        self.add(0x8000_0000, newer_than_profile(policy, native).unwrap_or(not_newer));
        self.add(0xc000_0000, newer_x32.unwrap_or(not_newer));
        self.add(u32::MAX, newer_x32.unwrap_or(default));
    }
}

/// What calls get whose number is larger than any that the profile mentions:
/// `ENOSYS`, so that programs try an older call, as runc does. `None` if the
/// profile's other rules hold for them too.
fn newer_than_profile(policy: &Policy, abi: &AbiRules) -> Option<Outcome> {
    (policy.newer_is_enosys && abi.last > 0)
        .then_some(Outcome::Return(action::ERRNO | action::ENOSYS))
}
