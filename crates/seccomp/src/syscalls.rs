//! Look-up of system call numbers by name.

use crate::arch::{Arch, X32_BIT};
use crate::table::ROWS;

/// Marks a call that an ABI lacks.
pub(crate) const ABSENT: u32 = u32::MAX;

/// Whether a call can also be made through one of the multiplexing calls of
/// 32-bit x86, and under which sub-call number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Multiplex {
    Not,
    SocketCall(u8),
    Ipc(u8),
}

/// A call and its numbers, in the order of [`Arch`].
#[derive(Debug)]
pub(crate) struct Row {
    name: &'static str,
    numbers: [u32; 6],
    pub(crate) multiplex: Multiplex,
}

pub(crate) const fn row(name: &'static str, numbers: [u32; 6], multiplex: Multiplex) -> Row {
    Row { name, numbers, multiplex }
}

impl Row {
    /// The call's number, with the bit of x32 where it applies.
    pub(crate) const fn number(&self, arch: Arch) -> Option<u32> {
        let [x86_64, x86, x32, aarch64, arm, riscv64] = self.numbers;
        let number = match arch {
            Arch::X86_64 => x86_64,
            Arch::X86 => x86,
            Arch::X32 if x32 != ABSENT => x32 | X32_BIT,
            Arch::X32 => ABSENT,
            Arch::Aarch64 => aarch64,
            Arch::Arm => arm,
            Arch::Riscv64 => riscv64,
        };
        if number == ABSENT { None } else { Some(number) }
    }
}

/// The number of a call in an ABI, x32 numbers with bit 30 set.
#[must_use]
pub fn syscall_number(name: &str, arch: Arch) -> Option<u32> {
    find(name)?.number(arch)
}

/// Names of all the calls that any of the ABIs has.
pub fn syscall_names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.name)
}

const SLOTS: usize = 2048;
const FREE: u16 = u16::MAX;

/// Open-addressed hash table of indices into `ROWS`, filled at compile time.
static INDEX: [u16; SLOTS] = build_index();

const fn build_index() -> [u16; SLOTS] {
    let mut index = [FREE; SLOTS];
    let mut at = 0;
    while at < ROWS.len() {
        let mut slot = hash(ROWS[at].name.as_bytes());
        while index[slot] != FREE {
            slot = (slot + 1) % SLOTS;
        }
        #[allow(clippy::cast_possible_truncation, reason = "fewer rows than slots")]
        let value = at as u16;
        index[slot] = value;
        at += 1;
    }
    index
}

const fn hash(mut bytes: &[u8]) -> usize {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = bytes.len() as u64;
    while let Some((chunk, rest)) = bytes.split_first_chunk::<8>() {
        state = (state ^ u64::from_le_bytes(*chunk)).wrapping_mul(K).rotate_left(29);
        bytes = rest;
    }
    let mut tail = 0;
    while let Some((byte, rest)) = bytes.split_first() {
        tail = tail << 8 | *byte as u64;
        bytes = rest;
    }
    state = (state ^ tail).wrapping_mul(K);
    #[allow(clippy::cast_possible_truncation, reason = "11 bits are left")]
    let slot = (state >> 53) as usize;
    slot
}

pub(crate) fn find(name: &str) -> Option<&'static Row> {
    ROWS.get(position(name)?)
}

/// The index of a call in `ROWS`.
pub(crate) fn position(name: &str) -> Option<usize> {
    let start = hash(name.as_bytes());
    for step in 0..SLOTS {
        let index = *INDEX.get((start + step) % SLOTS)?;
        if index == FREE {
            return None;
        }
        let index = usize::from(index);
        if ROWS.get(index)?.name == name {
            return Some(index);
        }
    }
    None
}

/// A set of calls.
#[derive(Debug, Default)]
pub(crate) struct RowSet([u64; ROWS.len().div_ceil(64)]);

impl RowSet {
    /// The call of that name, the first time that it is asked for.
    pub(crate) fn take(&mut self, position: usize) -> Option<&'static Row> {
        let word = self.0.get_mut(position / 64)?;
        let bit = 1 << (position % 64);
        if *word & bit != 0 {
            return None;
        }
        *word |= bit;
        ROWS.get(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_row_and_nothing_else() {
        for row in &ROWS {
            let found = find(row.name).unwrap();
            assert!(std::ptr::eq(found, row), "{}", row.name);
            assert!(find(&format!("{}_", row.name)).is_none());
        }
        for name in ["", "x", "reads", "openat3", "no_such_call_with_a_long_name"] {
            assert!(find(name).is_none(), "{name}");
        }
    }

    #[test]
    fn knows_numbers_of_every_abi() {
        let expected = [
            ("read", [Some(0), Some(3), Some(X32_BIT), Some(63), Some(3), Some(63)]),
            ("readv", [Some(19), Some(145), Some(X32_BIT | 515), Some(65), Some(145), Some(65)]),
            ("socketcall", [None, Some(102), None, None, None, None]),
            ("set_tls", [None, None, None, None, Some(0xf_0005), None]),
            ("riscv_hwprobe", [None, None, None, None, None, Some(258)]),
        ];
        for (name, numbers) in expected {
            for (arch, number) in Arch::ALL.into_iter().zip(numbers) {
                assert_eq!(syscall_number(name, arch), number, "{name} {arch:?}");
            }
        }
    }
}
