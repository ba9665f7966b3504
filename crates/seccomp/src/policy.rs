//! A profile, resolved: what each system call number of each ABI gets.

use crate::action;
use crate::arch::{Arch, Machine, X32_BIT};
use crate::compile::MAX_INSTRUCTIONS;
use crate::error::{SeccompError, Warning};
use crate::syscalls::{Multiplex, Row, RowSet, position};
use caisson_runtime_spec::{Seccomp, SeccompArg, SeccompOperator};
use std::collections::BTreeMap;
use std::ops::Range;

/// What a call gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The filter returns this value.
    Return(u32),
    /// The arguments decide.
    Inspect(Inspection),
}

/// Rules to try in order, and how wide the arguments are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inspection {
    /// Index into [`Policy::lists`].
    pub(crate) list: u32,
    pub(crate) wide: bool,
}

/// A rule with conditions, all of which must hold.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) action: u32,
    conditions: Range<usize>,
}

/// The rules with conditions for one call.
#[derive(Debug)]
struct List {
    abi: usize,
    number: u32,
    /// Indices into [`Policy::rules`].
    rules: Vec<usize>,
}

/// The numbers of an ABI up to this one are kept in an array, larger ones
/// (the private calls of arm) in a list. x32 numbers count without bit 30.
const DENSE: usize = 640;

/// The calls of one ABI.
#[derive(Debug)]
pub(crate) struct AbiRules {
    pub(crate) arch: Arch,
    dense: Vec<Outcome>,
    sparse: Vec<(u32, Outcome)>,
    /// Largest number that the profile mentions; 0 if it mentions none.
    pub(crate) last: u32,
}

impl AbiRules {
    fn new(arch: Arch, default: u32) -> Self {
        Self { arch, dense: vec![Outcome::Return(default); DENSE], sparse: Vec::new(), last: 0 }
    }

    fn slot(&mut self, number: u32, default: u32) -> Option<&mut Outcome> {
        let low = if self.arch == Arch::X32 { number & !X32_BIT } else { number };
        let dense = usize::try_from(low).ok().filter(|at| *at < self.dense.len());
        if let Some(at) = dense {
            return self.dense.get_mut(at);
        }
        let at = match self.sparse.binary_search_by_key(&number, |entry| entry.0) {
            Ok(at) => at,
            Err(at) => {
                self.sparse.insert(at, (number, Outcome::Return(default)));
                at
            }
        };
        self.sparse.get_mut(at).map(|entry| &mut entry.1)
    }

    /// Every number that may differ from the default, ascending.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (u32, Outcome)> {
        let base = if self.arch == Arch::X32 { X32_BIT } else { 0 };
        (base..).zip(self.dense.iter().copied()).chain(self.sparse.iter().copied())
    }
}

/// A resolved profile.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) default: u32,
    /// True if calls that are newer than the profile get `ENOSYS`.
    pub(crate) newer_is_enosys: bool,
    /// One for each of the profile's ABIs that the machine can run.
    pub(crate) abis: Vec<AbiRules>,
    pub(crate) warnings: Vec<Warning>,
    rules: Vec<Rule>,
    conditions: Vec<SeccompArg>,
    lists: Vec<List>,
}

impl Policy {
    pub(crate) fn resolve(seccomp: &Seccomp, machine: Machine) -> Result<Self, SeccompError> {
        let default = action::return_value(seccomp.default_action, seccomp.default_errno_ret)
            .map_err(|value| SeccompError::DefaultErrnoRange { value })?;
        let mut policy = Self {
            default,
            newer_is_enosys: !is_permissive(default),
            abis: Vec::with_capacity(machine.arches().len()),
            warnings: Vec::new(),
            rules: Vec::new(),
            conditions: Vec::new(),
            lists: Vec::new(),
        };
        // libseccomp's filters always cover the native architecture.
        let native = machine.arches().first().copied();
        for &arch in machine.arches() {
            let listed = seccomp.architectures.iter().any(|&name| Arch::of(name) == Some(arch));
            if listed || Some(arch) == native {
                policy.abis.push(AbiRules::new(arch, default));
            }
        }
        for &name in &seccomp.architectures {
            if !Arch::of(name).is_some_and(|arch| machine.arches().contains(&arch)) {
                policy.warnings.push(Warning::ForeignArch(name));
            }
        }
        for (index, syscall) in seccomp.syscalls.iter().enumerate() {
            policy.add(index, syscall)?;
        }
        policy.share_lists();
        Ok(policy)
    }

    /// The rules of an inspection, in the order in which they are tried.
    pub(crate) fn rules(&self, list: u32) -> impl DoubleEndedIterator<Item = &Rule> {
        let list = usize::try_from(list).ok().and_then(|list| self.lists.get(list));
        let ids = list.map_or(&[][..], |list| list.rules.as_slice());
        ids.iter().filter_map(|id| self.rules.get(*id))
    }

    pub(crate) fn conditions(&self, rule: &Rule) -> &[SeccompArg] {
        self.conditions.get(rule.conditions.clone()).unwrap_or(&[])
    }

    fn add(
        &mut self,
        index: usize,
        syscall: &caisson_runtime_spec::Syscall,
    ) -> Result<(), SeccompError> {
        let action = action::return_value(syscall.action, syscall.errno_ret)
            .map_err(|value| SeccompError::ErrnoRange { rule: index, value })?;
        if let Some(arg) = syscall.args.iter().find(|arg| arg.index > 5) {
            return Err(SeccompError::ArgumentIndex { rule: index, index: arg.index });
        }
        let rules = self.rules.len()..self.rules.len() + self.add_conditions(action, &syscall.args);
        let mut names = RowSet::default();
        for name in &syscall.names {
            if name.is_empty() {
                return Err(SeccompError::EmptyName { rule: index });
            }
            let Some(position) = position(name) else {
                self.warnings.push(Warning::UnknownSyscall(name.clone()));
                continue;
            };
            // A name that the rule has twice adds nothing.
            let Some(row) = names.take(position) else { continue };
            self.mention(row);
            // runc leaves rules out that say what the default says, so they
            // don't outrank other rules for the same call.
            if action != self.default {
                self.apply(row, action, rules.clone());
            }
        }
        Ok(())
    }

    /// Adds the rules that a list of conditions stands for, and returns how
    /// many: conditions are ANDed, unless two are on the same argument; then
    /// each is a rule of its own, as in runc.
    fn add_conditions(&mut self, action: u32, args: &[SeccompArg]) -> usize {
        let start = self.conditions.len();
        self.conditions.extend_from_slice(args);
        let end = self.conditions.len();
        let repeated = args
            .iter()
            .enumerate()
            .any(|(at, arg)| args.iter().skip(at + 1).any(|other| other.index == arg.index));
        if repeated {
            self.rules.extend((start..end).map(|at| Rule { action, conditions: at..at + 1 }));
            args.len()
        } else if args.is_empty() {
            0
        } else {
            self.rules.push(Rule { action, conditions: start..end });
            1
        }
    }

    /// Notes that the profile knows a call, whatever it says about it.
    fn mention(&mut self, row: &Row) {
        for abi in &mut self.abis {
            // libseccomp gives calls that x86 can multiplex negative numbers,
            // so runc doesn't see them here.
            if abi.arch == Arch::X86 && row.multiplex != Multiplex::Not {
                continue;
            }
            if let Some(number) = row.number(abi.arch) {
                abi.last = abi.last.max(number);
            }
        }
    }

    fn apply(&mut self, row: &Row, action: u32, rules: Range<usize>) {
        for at in 0..self.abis.len() {
            let Some(abi) = self.abis.get(at) else { return };
            let arch = abi.arch;
            if let Some(number) = row.number(arch) {
                self.set(at, number, action, rules.clone());
            }
            if arch == Arch::X86 {
                let (number, sub_call) = match row.multiplex {
                    Multiplex::Not => continue,
                    Multiplex::SocketCall(sub_call) => (102, sub_call),
                    Multiplex::Ipc(sub_call) => (117, sub_call),
                };
                let multiplexed = self.add_multiplexed(sub_call, action, rules.clone());
                self.set(at, number, action, multiplexed);
            }
        }
    }

    /// The same rules for `socketcall` or `ipc`: its argument 0 selects the
    /// call, so a condition on the call's own argument 0 has no place; the
    /// other conditions stay, as in libseccomp.
    fn add_multiplexed(&mut self, sub_call: u8, action: u32, rules: Range<usize>) -> Range<usize> {
        let selector = SeccompArg {
            index: 0,
            value: u64::from(sub_call),
            value_two: 0,
            op: SeccompOperator::EqualTo,
        };
        let first = self.rules.len();
        // Without conditions there is one rule all the same: the selector.
        let ids = rules.clone().map(Some).chain(rules.is_empty().then_some(None));
        let ids = ids.take(MAX_INSTRUCTIONS + 1);
        for id in ids {
            let rule = id.and_then(|id| self.rules.get(id));
            let source = rule.map_or(0..0, |rule| rule.conditions.clone());
            let start = self.conditions.len();
            self.conditions.push(selector);
            for at in source {
                if let Some(&arg) = self.conditions.get(at)
                    && arg.index != 0
                {
                    self.conditions.push(arg);
                }
            }
            self.rules.push(Rule { action, conditions: start..self.conditions.len() });
        }
        first..self.rules.len()
    }

    /// Gives a call its rules. A rule without conditions outranks those with,
    /// wherever it stands; of several, the first counts.
    fn set(&mut self, at: usize, number: u32, action: u32, rules: Range<usize>) {
        let default = self.default;
        let Some(abi) = self.abis.get(at) else { return };
        let wide = abi.arch.compares_64_bits();
        let unconditional = rules.is_empty() || rules.clone().any(|id| self.always_holds(id, wide));
        let Some(abi) = self.abis.get_mut(at) else { return };
        let Some(slot) = abi.slot(number, default) else { return };
        match *slot {
            Outcome::Return(value) if value != default => {}
            _ if unconditional => *slot = Outcome::Return(action),
            Outcome::Return(_) => {
                let list = u32::try_from(self.lists.len()).unwrap_or(u32::MAX);
                *slot = Outcome::Inspect(Inspection { list, wide });
                self.lists.push(List {
                    abi: at,
                    number,
                    rules: rules.take(MAX_INSTRUCTIONS + 1).collect(),
                });
            }
            Outcome::Inspect(inspection) => {
                let list = usize::try_from(inspection.list).unwrap_or(usize::MAX);
                // Each rule takes an instruction or more, so a longer list
                // won't fit whatever else it has: don't let it eat memory.
                if let Some(list) = self.lists.get_mut(list)
                    && list.rules.len() <= MAX_INSTRUCTIONS
                {
                    list.rules.extend(rules.take(MAX_INSTRUCTIONS + 1));
                }
            }
        }
    }

    /// True if a rule's conditions are all masks of no bit, at the ABI's width;
    /// to libseccomp such a rule has no conditions.
    fn always_holds(&self, id: usize, wide: bool) -> bool {
        let cut = if wide { u64::MAX } else { u64::from(u32::MAX) };
        self.rules.get(id).is_some_and(|rule| {
            self.conditions(rule)
                .iter()
                .all(|arg| arg.op == SeccompOperator::MaskedEqual && arg.value & cut == 0)
        })
    }

    /// Lets calls with the same rules share one list, and so one block of
    /// instructions.
    fn share_lists(&mut self) {
        let mut first_with = BTreeMap::new();
        for (id, list) in (0..).zip(&self.lists) {
            let shared: u32 = *first_with.entry(list.rules.as_slice()).or_insert(id);
            if shared != id
                && let Some(abi) = self.abis.get_mut(list.abi)
                && let Some(Outcome::Inspect(inspection)) = abi.slot(list.number, self.default)
            {
                inspection.list = shared;
            }
        }
    }
}

/// True for defaults under which calls that the profile doesn't know run
/// anyway, or are up to a tracer, which can answer `ENOSYS` itself.
const fn is_permissive(default: u32) -> bool {
    // The low half of TRACE is its message.
    matches!(default & 0xffff_0000, action::ALLOW | action::LOG | action::TRACE)
}
