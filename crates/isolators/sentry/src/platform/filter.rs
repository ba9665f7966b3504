//! The filter of guest threads.
//!
//! Classic BPF over `struct seccomp_data`: what a thread's registers hold when
//! it enters the kernel, copied there, so no other thread can change it.

use caisson_sys::seccomp::SockFilter;

use super::bpf::{
    ALLOW, ARCH, AT_LEAST, AUDIT_ARCH_X86_64, EQUAL, ERRNO, LOAD, NUMBER, RETURN, SET, argument,
    halves, jump, statement,
};
use super::post;
use super::stub::{MAP_END, MAP_FLAGS, MAP_IP, MAP_LIMIT, RESUME_IP, RETURN_IP, TRAPPED};

const POINTER_LOW: u32 = 8;
const POINTER_HIGH: u32 = 12;

/// `__X32_SYSCALL_BIT`
const X32: u32 = 0x4000_0000;
const RT_SIGRETURN: u32 = 15;
const MMAP: u32 = 9;
const MPROTECT: u32 = 10;
const MUNMAP: u32 = 11;
const MADVISE: u32 = 28;
/// `MADV_DONTNEED`, `MADV_FREE`
const ADVICE: [u32; 2] = [4, 8];

const TRAP: u32 = 0x0003_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const ENOSYS: u32 = 38;

/// The program: at most these, in this order.
///
/// 1. Another instruction set's call (`int 0x80`, `sysenter`): a signal.
/// 2. `rt_sigreturn` from the stub's two places: made. From elsewhere: a signal.
/// 3. From the place of ordered calls: reported.
/// 4. From the stub's places for that (where it maps, and where approved calls are made),
///    below the stub: `mmap` of private memory, `munmap`, `mprotect` and two kinds of
///    `madvise`: made. Whoever jumps there with whatever registers gets what he can have by
///    asking; only our list of what is mapped would not know it. What the mapping of a file
///    may become at most the host knows by the descriptor that it was made of.
/// 5. A call in x32 numbers: `ENOSYS`, as Linux without x32.
/// 6. `mmap` of private memory at a place of the guest's choice: reported, to be
///    made with the guest's own registers.
/// 7. One of [`TRAPPED`]: a signal, whose frame the stub reports.
/// 8. Everything else: reported.
pub(super) fn program() -> Vec<SockFilter> {
    let (high, return_low) = halves(RETURN_IP);
    let (_, resume_low) = halves(RESUME_IP);
    let (_, call_low) = halves(super::stub::CALL_IP);
    let (_, map_low) = halves(MAP_IP);
    let (_, approved_low) = halves(post::approved_pointer());
    let map = mapping();
    let other = u8::try_from(map.len()).unwrap_or(u8::MAX);
    let mut p = vec![
        statement(LOAD, ARCH),
        jump(EQUAL, AUDIT_ARCH_X86_64, 1, 0),
        statement(RETURN, TRAP),
        statement(LOAD, POINTER_HIGH),
        jump(EQUAL, high, 0, 10 + other),
        statement(LOAD, POINTER_LOW),
        // An ordered call may be any of those that would be trapped.
        jump(EQUAL, call_low, 5, 0),
        jump(EQUAL, return_low, 1, 0),
        jump(EQUAL, resume_low, 0, 4),
        statement(LOAD, NUMBER),
        jump(EQUAL, RT_SIGRETURN, 0, 4 + other),
        statement(RETURN, ALLOW),
        statement(RETURN, NOTIFY),
        jump(EQUAL, map_low, 1, 0),
        jump(EQUAL, approved_low, 0, other),
    ];
    p.extend(map);
    p.extend([
        statement(LOAD, NUMBER),
        jump(SET, X32, 0, 1),
        statement(RETURN, ERRNO | ENOSYS),
        jump(EQUAL, MMAP, 0, 7),
        statement(LOAD, argument(3)),
        // MAP_PRIVATE alone of the kinds, MAP_FIXED, MAP_ANONYMOUS.
        jump(SET, 0xd, 4, 0),
        jump(SET, 0x2, 0, 3),
        jump(SET, 0x10, 0, 2),
        jump(SET, 0x20, 0, 1),
        statement(RETURN, NOTIFY),
        statement(LOAD, NUMBER),
    ]);
    for number in TRAPPED {
        p.push(jump(EQUAL, number, 0, 1));
        p.push(statement(RETURN, TRAP));
    }
    p.push(statement(RETURN, NOTIFY));
    p
}

/// Whether a call changes memory; then whether a thread can make it where those are made that
/// were approved, an mmap(2) with [`MAP_FLAGS`].
#[must_use]
pub fn may_be_made(call: &super::HostCall) -> Option<bool> {
    let [start, length, third, ..] = call.args;
    let fits = match u32::try_from(call.number) {
        Ok(MUNMAP) => true,
        Ok(MPROTECT | MMAP) => third & !7 == 0,
        Ok(MADVISE) => ADVICE.iter().any(|advice| u64::from(*advice) == third),
        _ => return None,
    };
    Some(fits && start < MAP_END && length < MAP_LIMIT)
}

/// From the places for it: what changes memory below the stub; what is anything else is like
/// any other call.
fn mapping() -> Vec<SockFilter> {
    let (end, _) = halves(MAP_END);
    let (long, _) = halves(MAP_LIMIT);
    let place = [(argument(0) + 4, AT_LEAST, end, false), (argument(1) + 4, AT_LEAST, long, false)];
    let protection = [(argument(2) + 4, EQUAL, 0, true), (argument(2), SET, !7, false)];
    let flags = [(argument(3) + 4, EQUAL, 0, true), (argument(3), EQUAL, MAP_FLAGS, true)];
    let advice = ADVICE.map(|advice| vec![(argument(2), EQUAL, advice, true)]);
    let [not_needed, free] = advice;
    let calls = [
        (MMAP, [protection, flags].concat()),
        (MUNMAP, vec![]),
        (MPROTECT, protection.to_vec()),
        (MADVISE, not_needed),
        (MADVISE, free),
    ];
    let block = |(number, tests): (u32, Vec<Test>)| {
        let all = [&[(NUMBER, EQUAL, number, true)], &place[..], &tests].concat();
        let mut left = u8::try_from(all.len()).unwrap_or(0);
        let mut block = Vec::new();
        for (field, test, value, wanted) in all {
            left = left.saturating_sub(1);
            let past = left * 2 + 1;
            let (jt, jf) = if wanted { (0, past) } else { (past, 0) };
            block.extend([statement(LOAD, field), jump(test, value, jt, jf)]);
        }
        block.push(statement(RETURN, ALLOW));
        block
    };
    calls.into_iter().flat_map(block).collect()
}

/// A field, how it is compared, with what, and what is to come of that.
type Test = (u32, u16, u32, bool);

#[cfg(test)]
mod tests {
    use super::super::stub::{CALL_IP, CODE, DONE_IP, EVENT_IP};
    use super::*;

    fn run(number: u32, arch: u32, ip: u64) -> u32 {
        run_with(number, arch, ip, [0; 6])
    }

    /// What the kernel's interpreter would do.
    fn run_with(number: u32, arch: u32, ip: u64, args: [u64; 6]) -> u32 {
        let (high, low) = halves(ip);
        super::super::bpf::run(&program(), |field| match field {
            NUMBER => number,
            ARCH => arch,
            POINTER_LOW => low,
            POINTER_HIGH => high,
            at => {
                let (high, low) = halves(args[usize::try_from((at - 16) / 8).unwrap()]);
                if at % 8 == 0 { low } else { high }
            }
        })
    }

    #[test]
    fn the_places_for_mapping_change_memory_below_the_stub() {
        for ip in [MAP_IP, post::approved_pointer()] {
            changes_memory_below_the_stub(ip);
        }
    }

    fn changes_memory_below_the_stub(place: u64) {
        let at = |number, args| run_with(number, AUDIT_ARCH_X86_64, place, args);
        let good = [0x10_0000, 4096, 3, 0x4032, u64::MAX, 0];
        for (number, third) in [(9, 3), (10, 0), (10, 7), (11, u64::MAX), (28, 4), (28, 8)] {
            let mut args = good;
            args[2] = third;
            assert_eq!(at(number, args), ALLOW);
            for (index, values) in
                [(0, [MAP_END, CODE, u64::MAX]), (1, [MAP_LIMIT, 1 << 47, u64::MAX])]
            {
                for value in values {
                    let mut args = args;
                    args[index] = value;
                    assert_ne!(at(number, args), ALLOW, "{number} {args:x?}");
                }
            }
        }
        for (number, third) in [(10, 8), (10, 1 << 24), (10, 1 << 32), (28, 3), (28, 9), (28, 0)] {
            assert_ne!(at(number, [0x10_0000, 4096, third, 0x4032, 0, 0]), ALLOW);
        }
        assert_eq!(at(9, [MAP_END - 4096, MAP_LIMIT - 1, 7, 0x4032, 0, 0]), ALLOW);
        const { assert!(MAP_END + MAP_LIMIT <= CODE) };
        for (index, values) in [
            (0, &[MAP_END, CODE, 0x7fff_ffff_f000, u64::MAX, 1 << 63][..]),
            (1, &[MAP_LIMIT, u64::MAX, 1 << 47]),
            (2, &[8, 0x100_0000, 1 << 32, 1 << 63]),
            // Shared, files, huge pages, growing down, locked, populated, none of them.
            (3, &[0x4031, 0x4012, 0x4_4032, 0x4132, 0x6032, 0xc032, 0x32, 0, 1 << 32 | 0x4032]),
        ] {
            for value in values {
                let mut args = good;
                args[index] = *value;
                assert_ne!(at(9, args), ALLOW, "{args:x?}");
            }
        }
        for number in (0..600).filter(|number| ![9, 10, 11].contains(number)) {
            assert_ne!(at(number, good), ALLOW, "{number}");
            assert_eq!(at(number, good), run(number, AUDIT_ARCH_X86_64, 0x40_1000));
        }
        // The same registers anywhere else are only told.
        let places = [MAP_IP, post::approved_pointer()];
        for ip in (CODE - 8..CODE + 4096).filter(|ip| !places.contains(ip)) {
            for number in 9..=11 {
                assert_ne!(run_with(number, AUDIT_ARCH_X86_64, ip, good), ALLOW, "{ip:#x}");
            }
        }
    }

    #[test]
    fn mappings_at_a_chosen_place_are_told_at_once() {
        let flags = |flags| {
            run_with(9, AUDIT_ARCH_X86_64, 0x40_1000, [0x10_0000, 4096, 3, flags, u64::MAX, 0])
        };
        for told in [0x32, 0x4032, 0x2_0032, 0x4_0032] {
            assert_eq!(flags(told), NOTIFY, "{told:#x}");
        }
        for trapped in [0x22, 0x31, 0x33, 0x12, 0x30, 0x3a, 0] {
            assert_eq!(flags(trapped), TRAP, "{trapped:#x}");
        }
    }

    #[test]
    fn only_register_loads_and_changes_of_memory_of_the_stub_are_made() {
        let addresses: Vec<u64> =
            (CODE - 8..CODE + 200).chain([0x40_1000, 0, u64::MAX, 0x7fff_0000_0011]).collect();
        for ip in addresses {
            for number in (0..600).chain([0x1000, 0x1001, X32, X32 | 15, u32::MAX]) {
                let action = run(number, AUDIT_ARCH_X86_64, ip);
                let load = number == 15 && (ip == RETURN_IP || ip == RESUME_IP);
                let maps = [MPROTECT, MUNMAP].contains(&number) && ip == MAP_IP;
                assert_eq!(action == ALLOW, load || maps, "call {number} at {ip:#x}: {action:#x}");
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
