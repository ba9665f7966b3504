//! Classic BPF, as seccomp(2) and sockets have it: verified and interpreted.

use caisson_sys::seccomp::SockFilter;
use rustix::io::Errno;

/// Bytes of `struct seccomp_data`.
pub(super) const DATA: u32 = 64;
/// Instructions of a program.
const MOST: usize = 4096;
/// Words of memory that a program has.
const MEMORY: usize = 16;

/// From here on (`SKF_LL_OFF`, `SKF_NET_OFF`, `SKF_AD_OFF`) are headers of other layers, and what
/// Linux knows of a packet besides: here nothing.
const NOT_OF_PACKET: u32 = 0xffe0_0000;

/// What a program looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// `struct seccomp_data`
    Call,
    /// A packet, of any length.
    Packet,
}

/// Takes a program only if it ends, whatever the data.
///
/// # Errors
/// `EINVAL`
pub fn verify(program: &[SockFilter], data: Data) -> Result<(), Errno> {
    let packets = data == Data::Packet;
    if program.is_empty() || program.len() > MOST {
        return Err(Errno::INVAL);
    }
    for (index, step) in program.iter().enumerate() {
        let left = program.len() - index - 1;
        let reaches = |by: usize| by < left;
        let good = match step.code {
            // ld abs: words, halves and bytes of a packet.
            0x20 | 0x28 | 0x30 if packets => step.k < NOT_OF_PACKET,
            // ld ind; ldx msh; mod.
            0x40 | 0x48 | 0x50 | 0xb1 | 0x9c if packets => true,
            0x94 if packets => step.k != 0,
            // ld abs: an aligned word of the data.
            0x20 => step.k < DATA && step.k.is_multiple_of(4),
            // ld/ldx len, imm; ret k, a; tax, txa; neg.
            0x80 | 0x81 | 0x00 | 0x01 | 0x06 | 0x16 | 0x07 | 0x87 | 0x84 => true,
            // add sub mul or and xor by k; those by x.
            0x04 | 0x14 | 0x24 | 0x44 | 0x54 | 0xa4 => true,
            0x0c | 0x1c | 0x2c | 0x3c | 0x4c | 0x5c | 0xac | 0x6c | 0x7c => true,
            0x34 => step.k != 0,
            0x64 | 0x74 => step.k < 32,
            0x60 | 0x61 | 0x02 | 0x03 => usize::try_from(step.k).is_ok_and(|k| k < MEMORY),
            0x05 => usize::try_from(step.k).is_ok_and(reaches),
            0x15 | 0x25 | 0x35 | 0x45 | 0x1d | 0x2d | 0x3d | 0x4d => {
                reaches(step.jt.into()) && reaches(step.jf.into())
            }
            _ => false,
        };
        if !good {
            return Err(Errno::INVAL);
        }
    }
    if !matches!(program.last().map(|step| step.code), Some(0x06 | 0x16)) {
        return Err(Errno::INVAL);
    }
    loads_follow_stores(program)
}

/// No word of memory is loaded that was not stored on every way to it.
fn loads_follow_stores(program: &[SockFilter]) -> Result<(), Errno> {
    // Words that may be loaded at each instruction.
    let mut valid = vec![u16::MAX; program.len()];
    let mut now = 0_u16;
    for (index, step) in program.iter().enumerate() {
        now &= valid.get(index).copied().unwrap_or(0);
        let mut meet = |by: usize| {
            if let Some(target) = valid.get_mut(index + 1 + by) {
                *target &= now;
            }
        };
        let word = 1_u16.checked_shl(step.k).unwrap_or(0);
        match step.code {
            0x02 | 0x03 => now |= word,
            0x60 | 0x61 if now & word == 0 => return Err(Errno::INVAL),
            0x05 => {
                meet(usize::try_from(step.k).unwrap_or(0));
                now = u16::MAX;
            }
            0x15 | 0x25 | 0x35 | 0x45 | 0x1d | 0x2d | 0x3d | 0x4d => {
                meet(step.jt.into());
                meet(step.jf.into());
                now = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Runs a program that was verified, on so many bytes. Jumps lead forwards only, so it ends.
/// `None` if it asks for something that is not known: `load` gets an offset and a size.
pub fn run(
    program: &[SockFilter],
    length: u32,
    load: impl Fn(u32, u32) -> Option<u32>,
) -> Option<u32> {
    let (mut a, mut x, mut memory) = (0_u32, 0_u32, [0_u32; MEMORY]);
    let mut at = 0_usize;
    while let Some(step) = program.get(at) {
        at += 1;
        let k = step.k;
        let operand = if step.code & 0x08 == 0 { k } else { x };
        let slot = usize::try_from(k).unwrap_or(MEMORY);
        match step.code {
            0x06 => return Some(k),
            0x16 => return Some(a),
            0x20 => a = load(k, 4)?,
            0x28 => a = load(k, 2)?,
            0x30 => a = load(k, 1)?,
            0x40 => a = load(x.wrapping_add(k), 4)?,
            0x48 => a = load(x.wrapping_add(k), 2)?,
            0x50 => a = load(x.wrapping_add(k), 1)?,
            // The length of a header of IPv4.
            0xb1 => x = (load(k, 1)? & 0xf) * 4,
            0x80 => a = length,
            0x81 => x = length,
            0x00 => a = k,
            0x01 => x = k,
            0x60 => a = memory.get(slot).copied().unwrap_or(0),
            0x61 => x = memory.get(slot).copied().unwrap_or(0),
            0x02 | 0x03 => {
                if let Some(word) = memory.get_mut(slot) {
                    *word = if step.code == 0x02 { a } else { x };
                }
            }
            0x07 => x = a,
            0x87 => a = x,
            0x84 => a = a.wrapping_neg(),
            0x04 | 0x0c => a = a.wrapping_add(operand),
            0x14 | 0x1c => a = a.wrapping_sub(operand),
            0x24 | 0x2c => a = a.wrapping_mul(operand),
            // By zero it is over, with the strictest answer for the thread.
            0x34 | 0x3c => match a.checked_div(operand) {
                Some(quotient) => a = quotient,
                None => return Some(0),
            },
            0x94 | 0x9c => match a.checked_rem(operand) {
                Some(rest) => a = rest,
                None => return Some(0),
            },
            0x44 | 0x4c => a |= operand,
            0x54 | 0x5c => a &= operand,
            0xa4 | 0xac => a ^= operand,
            0x64 | 0x6c => a = a.wrapping_shl(operand),
            0x74 | 0x7c => a = a.wrapping_shr(operand),
            0x05 => at = at.saturating_add(slot),
            code => {
                let holds = match code & 0xf0 {
                    0x10 => a == operand,
                    0x20 => a > operand,
                    0x30 => a >= operand,
                    _ => a & operand != 0,
                };
                at += usize::from(if holds { step.jt } else { step.jf });
            }
        }
    }
    Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::filter::CallData;

    fn step(code: u16, jt: u8, jf: u8, k: u32) -> SockFilter {
        SockFilter { code, jt, jf, k }
    }

    fn data(number: u32) -> CallData {
        CallData { number, pointer: 0x7fff_1234_5678, args: [1, 2, 3 << 40, 4, 5, 6] }
    }

    fn value(program: &[SockFilter]) -> u32 {
        verify(program, Data::Call).unwrap();
        run(program, DATA, |at, _| Some(data(39).word(at))).unwrap()
    }

    #[test]
    fn data_is_read_in_halves() {
        for (at, expected) in
            [(0, 39), (4, 0xc000_003e), (8, 0x1234_5678), (12, 0x7fff), (16, 1), (36, 3 << 8)]
        {
            assert_eq!(value(&[step(0x20, 0, 0, at), step(0x16, 0, 0, 0)]), expected, "{at}");
        }
    }

    #[test]
    fn what_linux_refuses_is_refused() {
        let end = step(0x06, 0, 0, 0);
        for bad in [
            vec![],
            vec![step(0x20, 0, 0, 0)],
            vec![step(0x20, 0, 0, 2), end],
            vec![step(0x20, 0, 0, 64), end],
            vec![step(0x28, 0, 0, 0), end],
            vec![step(0x34, 0, 0, 0), end],
            vec![step(0x64, 0, 0, 32), end],
            vec![step(0x60, 0, 0, 3), end],
            vec![step(0x02, 0, 0, 16), end],
            vec![step(0x15, 1, 0, 0), end],
            vec![step(0x05, 0, 0, 1), end],
            // Stored on one of two ways only.
            vec![step(0x15, 0, 1, 0), step(0x02, 0, 0, 1), step(0x60, 0, 0, 1), end],
            vec![end; MOST + 1],
        ] {
            assert_eq!(verify(&bad, Data::Call), Err(Errno::INVAL), "{bad:?}");
        }
        assert_eq!(verify(&vec![end; MOST], Data::Call), Ok(()));
        assert_eq!(verify(&[step(0x30, 0, 0, 1), end], Data::Packet), Ok(()));
        let of_link = [step(0x30, 0, 0, 0xffff_f000), end];
        assert_eq!(verify(&of_link, Data::Packet), Err(Errno::INVAL));
        let stored = [step(0x02, 0, 0, 1), step(0x15, 0, 0, 0), step(0x60, 0, 0, 1), end];
        assert_eq!(verify(&stored, Data::Call), Ok(()));
    }

    #[test]
    fn arithmetic_is_that_of_32_bits() {
        let end = step(0x16, 0, 0, 0);
        let x = step(0x01, 0, 0, 5);
        let load = step(0x00, 0, 0, 7);
        assert_eq!(value(&[x, load, step(0x1c, 0, 0, 0), end]), 2);
        assert_eq!(value(&[load, step(0x84, 0, 0, 0), end]), 7_u32.wrapping_neg());
        assert_eq!(value(&[load, step(0x3c, 0, 0, 0), end]), 0);
        assert_eq!(value(&[load, step(0x64, 0, 0, 31), end]), 1 << 31);
        let jump = [load, step(0x25, 1, 0, 6), step(0x06, 0, 0, 1), step(0x06, 0, 0, 2)];
        assert_eq!(value(&jump), 2);
    }
}
