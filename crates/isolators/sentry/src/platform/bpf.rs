//! Instructions of the filters: classic BPF over `struct seccomp_data`.

use caisson_sys::seccomp::SockFilter;

pub(super) const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
pub(super) const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
pub(super) const SET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
pub(super) const AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
pub(super) const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// Offset of the call's number.
pub(super) const NUMBER: u32 = 0;
/// Offset of the architecture.
pub(super) const ARCH: u32 = 4;
pub(super) const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

pub(super) const ALLOW: u32 = 0x7fff_0000;
pub(super) const ERRNO: u32 = 0x0005_0000;

pub(super) fn statement(code: u16, k: u32) -> SockFilter {
    jump(code, k, 0, 0)
}

pub(super) fn jump(code: u16, k: u32, jt: u8, jf: u8) -> SockFilter {
    SockFilter { code, jt, jf, k }
}

/// Offset of the low half of an argument; the high one is four bytes on.
pub(super) const fn argument(index: u32) -> u32 {
    16 + index * 8
}

/// The halves of a word: high, low.
pub(super) fn halves(value: u64) -> (u32, u32) {
    let low = u32::try_from(value & 0xffff_ffff).unwrap_or(0);
    (u32::try_from(value >> 32).unwrap_or(0), low)
}

/// What the kernel's interpreter would return; `field` has what lies at an offset.
#[cfg(test)]
pub(super) fn run(program: &[SockFilter], field: impl Fn(u32) -> u32) -> u32 {
    let (mut pc, mut acc) = (0_usize, 0_u32);
    loop {
        let i = program[pc];
        pc += 1;
        let taken = match i.code {
            LOAD => {
                acc = field(i.k);
                continue;
            }
            RETURN => return i.k,
            EQUAL => acc == i.k,
            SET => acc & i.k != 0,
            AT_LEAST => acc >= i.k,
            other => panic!("code {other}"),
        };
        pc += usize::from(if taken { i.jt } else { i.jf });
    }
}
