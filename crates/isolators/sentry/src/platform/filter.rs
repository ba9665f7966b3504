//! The filter of guest threads.
//!
//! Classic BPF over `struct seccomp_data`: what a thread's registers hold when
//! it enters the kernel, copied there, so no other thread can change it.

use caisson_sys::seccomp::SockFilter;

use super::bpf::{
    ALLOW, ARCH, AUDIT_ARCH_X86_64, EQUAL, ERRNO, LOAD, NUMBER, RETURN, SET, halves, jump,
    statement,
};
use super::stub::{RESUME_IP, RETURN_IP, TRAPPED};

const POINTER_LOW: u32 = 8;
const POINTER_HIGH: u32 = 12;

/// `__X32_SYSCALL_BIT`
const X32: u32 = 0x4000_0000;
const RT_SIGRETURN: u32 = 15;

const TRAP: u32 = 0x0003_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const ENOSYS: u32 = 38;

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
        jump(EQUAL, AUDIT_ARCH_X86_64, 1, 0),
        statement(RETURN, TRAP),
        statement(LOAD, POINTER_HIGH),
        jump(EQUAL, high, 0, 8),
        statement(LOAD, POINTER_LOW),
        // An ordered call may be any of those that would be trapped.
        jump(EQUAL, call_low, 5, 0),
        jump(EQUAL, return_low, 1, 0),
        jump(EQUAL, resume_low, 0, 4),
        statement(LOAD, NUMBER),
        jump(EQUAL, RT_SIGRETURN, 0, 2),
        statement(RETURN, ALLOW),
        statement(RETURN, NOTIFY),
        statement(LOAD, NUMBER),
        jump(SET, X32, 0, 1),
        statement(RETURN, ERRNO | ENOSYS),
    ];
    for number in TRAPPED {
        p.push(jump(EQUAL, number, 0, 1));
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
        let (high, low) = halves(ip);
        super::super::bpf::run(&program(), |field| match field {
            NUMBER => number,
            ARCH => arch,
            POINTER_LOW => low,
            POINTER_HIGH => high,
            other => panic!("load {other}"),
        })
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
