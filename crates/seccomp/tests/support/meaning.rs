//! What a profile means, rule by rule: slow, and without a line of the
//! compiler's.

use super::Call;
use caisson_runtime_spec::{Seccomp, SeccompAction, SeccompArch, SeccompArg, SeccompOperator};
use caisson_seccomp::{Arch, Machine, X32_BIT, syscall_number};

pub const ENOSYS: u32 = 0x0005_0026;

/// socketcall's sub-calls from 1 on.
const SOCKET_CALLS: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// ipc's sub-calls.
const IPC_CALLS: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

pub fn action(action: SeccompAction, errno: Option<u32>) -> u32 {
    let data = errno.unwrap_or(1);
    match action {
        SeccompAction::Kill | SeccompAction::KillThread => 0,
        SeccompAction::KillProcess => 0x8000_0000,
        SeccompAction::Trap => 0x3_0000,
        SeccompAction::Errno => 0x5_0000 + data,
        SeccompAction::Trace => 0x7ff0_0000 + data,
        SeccompAction::Allow => 0x7fff_0000,
        SeccompAction::Log => 0x7ffc_0000,
        SeccompAction::Notify => 0x7fc0_0000,
    }
}

/// The value that a filter for the profile has to return.
pub fn evaluate(seccomp: &Seccomp, machine: Machine, call: &Call) -> u32 {
    let default = action(seccomp.default_action, seccomp.default_errno_ret);
    let of_arch = abis(seccomp, machine, call.arch);
    if of_arch.is_empty() {
        return 0;
    }
    if is_newer(seccomp, machine, call) {
        return ENOSYS;
    }
    if of_arch == [Arch::X86_64] && call.number >= X32_BIT && call.number != u32::MAX {
        return 0;
    }
    for arch in of_arch {
        if let Some(value) = rule_for(seccomp, arch, call, default) {
            return value;
        }
    }
    default
}

/// What runc puts before libseccomp's filter: whether a call gets `ENOSYS`
/// because its number is larger than any that the profile mentions.
pub fn is_newer(seccomp: &Seccomp, machine: Machine, call: &Call) -> bool {
    let of_arch = abis(seccomp, machine, call.arch);
    let permissive = matches!(
        seccomp.default_action,
        SeccompAction::Allow | SeccompAction::Log | SeccompAction::Trace
    );
    let mode = match of_arch.first() {
        // x32 is told by bit 30 alone.
        Some(Arch::X86_64) if call.number & X32_BIT != 0 => Arch::X32,
        Some(first) => *first,
        None => return false,
    };
    let last = last_mentioned(seccomp, mode);
    of_arch.contains(&mode) && !permissive && last > 0 && call.number > last
}

/// The ABIs of the profile that have a value of `seccomp_data.arch`.
fn abis(seccomp: &Seccomp, machine: Machine, audit_arch: u32) -> Vec<Arch> {
    let listed = |arch: Arch| seccomp.architectures.iter().any(|name| of(*name) == Some(arch));
    let native = machine.arches()[0];
    let all = machine.arches().iter().copied();
    all.filter(|arch| arch.audit_arch() == audit_arch && (*arch == native || listed(*arch)))
        .collect()
}

/// True for calls that x86 can also make by socketcall or ipc.
pub fn is_multiplexed(name: &str) -> bool {
    SOCKET_CALLS.contains(&name) || IPC_CALLS.iter().any(|sub| sub.0 == name)
}

fn last_mentioned(seccomp: &Seccomp, arch: Arch) -> u32 {
    let names = seccomp.syscalls.iter().flat_map(|rule| &rule.names);
    names
        .filter(|name| arch != Arch::X86 || !is_multiplexed(name))
        .filter_map(|name| syscall_number(name, arch))
        .max()
        .unwrap_or(0)
}

fn rule_for(seccomp: &Seccomp, arch: Arch, call: &Call, default: u32) -> Option<u32> {
    // (conditions that must all hold, action)
    let mut rules: Vec<(Vec<SeccompArg>, u32)> = Vec::new();
    for rule in &seccomp.syscalls {
        let value = action(rule.action, rule.errno_ret);
        if value == default {
            continue;
        }
        let repeated =
            (0..6).any(|index| rule.args.iter().filter(|a| a.index == index).count() > 1);
        let alternatives: Vec<Vec<SeccompArg>> = if repeated {
            rule.args.iter().map(|arg| vec![*arg]).collect()
        } else {
            vec![rule.args.clone()]
        };
        for name in &rule.names {
            if syscall_number(name, arch) == Some(call.number) {
                rules.extend(alternatives.iter().map(|all| (all.clone(), value)));
            }
            let sub_call = match call.number {
                102 => SOCKET_CALLS.iter().position(|sub| sub == name).map(|at| at as u64 + 1),
                117 => IPC_CALLS.iter().find(|sub| sub.0 == name).map(|sub| sub.1),
                _ => None,
            };
            if arch == Arch::X86
                && let Some(sub_call) = sub_call
            {
                for all in &alternatives {
                    let selector = SeccompArg {
                        index: 0,
                        value: sub_call,
                        value_two: 0,
                        op: SeccompOperator::EqualTo,
                    };
                    let mut all: Vec<SeccompArg> =
                        all.iter().copied().filter(|arg| arg.index != 0).collect();
                    all.push(selector);
                    rules.push((all, value));
                }
            }
        }
    }
    let narrow = matches!(arch, Arch::X86 | Arch::X32 | Arch::Arm);
    let cut = if narrow { 0xffff_ffff } else { u64::MAX };
    for (conditions, _) in &mut rules {
        conditions.retain(|arg| arg.op != SeccompOperator::MaskedEqual || arg.value & cut != 0);
    }
    if let Some(rule) = rules.iter().find(|rule| rule.0.is_empty()) {
        return Some(rule.1);
    }
    rules.iter().find(|rule| rule.0.iter().all(|arg| holds(arg, call, narrow))).map(|rule| rule.1)
}

fn holds(arg: &SeccompArg, call: &Call, narrow: bool) -> bool {
    let cut = if narrow { 0xffff_ffff } else { u64::MAX };
    let actual = call.args[arg.index as usize] & cut;
    let value = arg.value & cut;
    match arg.op {
        SeccompOperator::NotEqual => actual != value,
        SeccompOperator::LessThan => actual < value,
        SeccompOperator::LessEqual => actual <= value,
        SeccompOperator::EqualTo => actual == value,
        SeccompOperator::GreaterEqual => actual >= value,
        SeccompOperator::GreaterThan => actual > value,
        SeccompOperator::MaskedEqual => actual & value == arg.value_two & value,
    }
}

fn of(name: SeccompArch) -> Option<Arch> {
    match name {
        SeccompArch::X86_64 => Some(Arch::X86_64),
        SeccompArch::X86 => Some(Arch::X86),
        SeccompArch::X32 => Some(Arch::X32),
        SeccompArch::Aarch64 => Some(Arch::Aarch64),
        SeccompArch::Arm => Some(Arch::Arm),
        SeccompArch::Riscv64 => Some(Arch::Riscv64),
        _ => None,
    }
}
