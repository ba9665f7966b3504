//! Random profiles from a fixed seed.

use super::all_names;
use caisson_runtime_spec::{
    Seccomp, SeccompAction, SeccompArch, SeccompArg, SeccompOperator, Syscall,
};
use caisson_seccomp::Machine;

/// xorshift64*
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

const ACTIONS: [SeccompAction; 7] = [
    SeccompAction::Allow,
    SeccompAction::Errno,
    SeccompAction::KillProcess,
    SeccompAction::KillThread,
    SeccompAction::Trap,
    SeccompAction::Trace,
    SeccompAction::Log,
];

/// Which profiles to make.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Most rules, and names per rule.
    pub rules: usize,
    pub names: usize,
    /// All rules with conditions have this action, if set: the order of rules
    /// doesn't matter then.
    pub conditional_action: Option<SeccompAction>,
}

pub fn profile(random: &mut Random, machine: Machine, shape: Shape) -> Seccomp {
    let names = all_names();
    let listed: &[SeccompArch] = match machine {
        Machine::X86_64 => &[SeccompArch::X86_64, SeccompArch::X86, SeccompArch::X32],
        Machine::Aarch64 => &[SeccompArch::Aarch64, SeccompArch::Arm],
        Machine::Riscv64 => &[SeccompArch::Riscv64],
    };
    let architectures = listed.iter().copied().filter(|_| random.chance(70)).collect();
    // Few calls, so that rules meet on the same one.
    let pool: Vec<&str> = (0..=random.below(names.len())).map(|_| random.pick(&names)).collect();
    let syscalls = (0..random.below(shape.rules + 1))
        .map(|_| {
            let count = if random.chance(60) { 0 } else { 1 + random.below(3) };
            let args: Vec<SeccompArg> = (0..count).map(|_| condition(random)).collect();
            let action = match shape.conditional_action {
                Some(action) if !args.is_empty() => action,
                _ => random.pick(&ACTIONS),
            };
            let mut names: Vec<String> =
                (0..=random.below(shape.names)).map(|_| random.pick(&pool).to_owned()).collect();
            if random.chance(10) {
                names.push("no_such_call".to_owned());
            }
            if random.chance(20) {
                let muxed = ["socket", "shmat", "socketcall", "ipc", "accept", "semop"];
                names.push(random.pick(&muxed).to_owned());
            }
            let errno_ret = random.chance(50).then(|| random.pick(&[2, 38, 13, 4094]));
            Syscall { names, action, errno_ret, args }
        })
        .collect();
    Seccomp {
        default_action: random.pick(&ACTIONS),
        default_errno_ret: random.chance(50).then(|| random.pick(&[1, 22, 38])),
        architectures,
        flags: None,
        listener_path: None,
        listener_metadata: None,
        syscalls,
    }
}

fn condition(random: &mut Random) -> SeccompArg {
    let operators = SeccompOperator::ALL;
    let values = [0, 1, 5, 38, 0x7e02_0000, 0xffff_ffff, 1 << 32, (5 << 32) | 1, u64::MAX, 1 << 63];
    SeccompArg {
        index: [0, 0, 1, 2, 5][random.below(5)],
        value: random.pick(&values),
        value_two: random.pick(&values),
        op: random.pick(operators),
    }
}
