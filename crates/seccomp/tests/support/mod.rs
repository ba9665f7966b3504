//! What the tests share: an interpreter for filters, and the meaning of a
//! profile written down a second time, as plainly as possible.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part")]

pub mod interpreter;
pub mod meaning;
pub mod random;

use caisson_runtime_spec::Seccomp;
use caisson_seccomp::{Arch, Machine, X32_BIT, syscall_names, syscall_number};

/// What a filter sees of a call: `struct seccomp_data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    pub arch: u32,
    pub number: u32,
    pub args: [u64; 6],
}

pub const DOCKER_DEFAULT: &str = include_str!("../../profiles/docker-default.json");

pub fn docker_default() -> Seccomp {
    profile(DOCKER_DEFAULT)
}

pub fn profile(json: &str) -> Seccomp {
    serde_json::from_str(json).unwrap()
}

/// Every value of `seccomp_data.arch` worth trying on a machine, and one that
/// none has.
pub fn audit_arches(machine: Machine) -> Vec<u32> {
    let mut all: Vec<u32> = machine.arches().iter().map(|arch| arch.audit_arch()).collect();
    all.push(0x1234_5678);
    all.dedup();
    all
}

/// Call numbers worth trying: 0 to 600, the same for x32, the private ones of
/// arm, and the edges of what bits 30 and 31 mean.
pub fn numbers() -> impl Iterator<Item = u32> + Clone {
    let edges = [X32_BIT, 0x8000_0000, 0xc000_0000, 0xffff_ffff, 0xf_0000];
    let near = |edge: u32| (0..8).map(move |step| edge.wrapping_add(step).wrapping_sub(4));
    (0..600).chain((0..600).map(|low| low | X32_BIT)).chain(edges.into_iter().flat_map(near))
}

/// Values at which conditions of the profile change their mind.
pub fn interesting_values(seccomp: &Seccomp) -> Vec<u64> {
    let mut values = vec![0, 1, u64::from(u32::MAX), 1 << 32, u64::MAX];
    for arg in seccomp.syscalls.iter().flat_map(|rule| &rule.args) {
        for value in [arg.value, arg.value_two] {
            let above = 1 << 32;
            values.extend([
                value,
                value.wrapping_add(1),
                value.wrapping_sub(1),
                value ^ above,
                value.wrapping_add(above),
                value & 0xffff_ffff,
                !value,
            ]);
        }
    }
    // Sub-calls of socketcall and ipc.
    values.extend(0..25);
    values.sort_unstable();
    values.dedup();
    values
}

/// True for numbers for which the profile has conditions on some ABI.
pub fn inspected(seccomp: &Seccomp, machine: Machine) -> Vec<(u32, u32)> {
    let mut all = Vec::new();
    for rule in &seccomp.syscalls {
        for name in &rule.names {
            for &arch in machine.arches() {
                if !rule.args.is_empty()
                    && let Some(number) = syscall_number(name, arch)
                {
                    all.push((arch.audit_arch(), number));
                }
                if arch == Arch::X86 {
                    all.extend([(arch.audit_arch(), 102), (arch.audit_arch(), 117)]);
                }
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

pub fn all_names() -> Vec<&'static str> {
    syscall_names().collect()
}
