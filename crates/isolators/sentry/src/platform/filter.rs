//! The filter of guest threads.
//!
//! Classic BPF over `struct seccomp_data`: what a thread's registers hold when
//! it enters the kernel, copied there, so no other thread can change it.

use caisson_sys::seccomp::SockFilter;

use super::stub::{RESUME_IP, RETURN_IP, TRAPPED};

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_SET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const POINTER_LOW: u32 = 8;
const POINTER_HIGH: u32 = 12;

const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
/// `__X32_SYSCALL_BIT`
const X32: u32 = 0x4000_0000;
const RT_SIGRETURN: u32 = 15;

const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const ALLOW: u32 = 0x7fff_0000;
const ENOSYS: u32 = 38;

fn statement(code: u16, k: u32) -> SockFilter {
    SockFilter { code, jt: 0, jf: 0, k }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> SockFilter {
    SockFilter { code, jt, jf, k }
}

/// The halves of an address.
fn halves(address: u64) -> (u32, u32) {
    let low = u32::try_from(address & 0xffff_ffff).unwrap_or(0);
    (u32::try_from(address >> 32).unwrap_or(0), low)
}

/// The program: at most these, in this order.
///
/// 1. Another instruction set's call (`int 0x80`, `sysenter`): a signal.
/// 2. `rt_sigreturn` from the stub's two places: made. From elsewhere: a signal.
/// 3. From any of the stub's other places: reported.
/// 4. A call in x32 numbers: `ENOSYS`, as Linux without x32.
/// 5. One of [`TRAPPED`]: a signal, whose frame the stub reports.
/// 6. Everything else: reported.
pub(super) fn program() -> Vec<SockFilter> {
    let (high, return_low) = halves(RETURN_IP);
    let (_, resume_low) = halves(RESUME_IP);
    let (_, call_low) = halves(super::stub::CALL_IP);
    let mut p = vec![
        statement(LOAD, ARCH),
        jump(JUMP_EQUAL, AUDIT_ARCH_X86_64, 1, 0),
        statement(RETURN, TRAP),
        statement(LOAD, POINTER_HIGH),
        jump(JUMP_EQUAL, high, 0, 8),
        statement(LOAD, POINTER_LOW),
        // An ordered call may be any of those that would be trapped.
        jump(JUMP_EQUAL, call_low, 5, 0),
        jump(JUMP_EQUAL, return_low, 1, 0),
        jump(JUMP_EQUAL, resume_low, 0, 4),
        statement(LOAD, NUMBER),
        jump(JUMP_EQUAL, RT_SIGRETURN, 0, 2),
        statement(RETURN, ALLOW),
        statement(RETURN, NOTIFY),
        statement(LOAD, NUMBER),
        jump(JUMP_SET, X32, 0, 1),
        statement(RETURN, ERRNO | ENOSYS),
    ];
    for number in TRAPPED {
        p.push(jump(JUMP_EQUAL, number, 0, 1));
        p.push(statement(RETURN, TRAP));
    }
    p.push(statement(RETURN, NOTIFY));
    p
}

#[cfg(test)]
mod tests {
    use super::super::stub::{CALL_IP, CODE, DONE_IP, EVENT_IP};
    use super::*;

    /// What the kernel's interpreter would do.
    fn run(number: u32, arch: u32, ip: u64) -> u32 {
        let program = program();
        let (high, low) = halves(ip);
        let (mut pc, mut acc) = (0_usize, 0_u32);
        loop {
            let i = program[pc];
            pc += 1;
            let taken = match i.code {
                LOAD => {
                    acc = match i.k {
                        NUMBER => number,
                        ARCH => arch,
                        POINTER_LOW => low,
                        POINTER_HIGH => high,
                        other => panic!("load {other}"),
                    };
                    continue;
                }
                RETURN => return i.k,
                JUMP_EQUAL => acc == i.k,
                JUMP_SET => acc & i.k != 0,
                other => panic!("code {other}"),
            };
            pc += usize::from(if taken { i.jt } else { i.jf });
        }
    }

    #[test]
    fn only_register_loads_of_the_stub_are_made() {
        let addresses: Vec<u64> =
            (CODE - 8..CODE + 64).chain([0x40_1000, 0, u64::MAX, 0x7fff_0000_0011]).collect();
        for ip in addresses {
            for number in (0..600).chain([0x1000, 0x1001, X32, X32 | 15, u32::MAX]) {
                let action = run(number, AUDIT_ARCH_X86_64, ip);
                let load = number == 15 && (ip == RETURN_IP || ip == RESUME_IP);
                assert_eq!(action == ALLOW, load, "call {number} at {ip:#x}: {action:#x}");
                // Nothing but these four.
                assert!([ALLOW, TRAP, NOTIFY, ERRNO | ENOSYS].contains(&action));
                assert_eq!(run(number, 0x4000_0003, ip), TRAP);
            }
        }
    }

    #[test]
    fn ordered_calls_and_reports_are_told() {
        for number in TRAPPED {
            assert_eq!(run(number, AUDIT_ARCH_X86_64, CALL_IP), NOTIFY);
            assert_eq!(run(number, AUDIT_ARCH_X86_64, 0x40_1000), TRAP);
        }
        assert_eq!(run(0x1000, AUDIT_ARCH_X86_64, EVENT_IP), NOTIFY);
        assert_eq!(run(0x1001, AUDIT_ARCH_X86_64, DONE_IP), NOTIFY);
        assert_eq!(run(39, AUDIT_ARCH_X86_64, 0x40_1000), NOTIFY);
        assert_eq!(run(X32 | 39, AUDIT_ARCH_X86_64, 0x40_1000), ERRNO | ENOSYS);
    }
}
