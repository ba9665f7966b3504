//! What call sites look like that can be rewritten, and what they become.

use crate::platform::context::{Context, Register};
use crate::platform::fast::{self, SITE};
use crate::platform::{Fault, GuestMemory};

/// Bytes of a `syscall`.
pub(super) const CALL: usize = 2;
/// Bytes in front of it, and from it on, that are looked at.
pub(super) const BEFORE: usize = 11;
pub(super) const AFTER: usize = FURTHER_BEHIND + SITE;

/// Bytes from the `syscall` of libc's `read()` to where nothing is: `syscall`,
/// `cmp $-4096, %rax`, `ja`, `ret`.
const BEHIND: usize = 11;
/// The same where it is called by one of several threads, which may be cancelled in it.
const FURTHER_BEHIND: usize = 33;

/// What is in front of a `syscall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `mov $number, %eax`.
    Number(u32),
    /// `mov 8(%rsp), %r9`: the call's number is libc's `syscall()`'s own argument.
    LastArgument,
    /// `xor %eax, %eax` in libc's `read()`, which is too short for a jump, and behind whose
    /// `ret` there is room for one.
    Zero,
    /// The same, where it is made by one of several threads.
    ZeroOfThreads,
}

/// Those whose jump is another one's target.
pub(super) const STONES: [Form; 2] = [Form::Zero, Form::ZeroOfThreads];

const LAST_ARGUMENT: [u8; SITE] = [0x4c, 0x8b, 0x4c, 0x24, 0x08];
/// With an instruction behind that does nothing, by which they are told apart.
const ZERO: [u8; SITE] = [0x31, 0xc0, 0x0f, 0x1f, 0x00];
const ZERO_OF_THREADS: [u8; SITE] = [0x31, 0xc0, 0x66, 0x66, 0x90];

impl Form {
    /// What the bytes around a `syscall` are, of a call of this number.
    pub(super) fn of(bytes: &[u8; BEFORE + AFTER], number: u32) -> Option<Form> {
        let (before, rest) = bytes.split_first_chunk::<BEFORE>()?;
        let (call, behind) = rest.split_first_chunk::<CALL>()?;
        if *call != [0x0f, 0x05] {
            return None;
        }
        let (lead, site) = before.split_last_chunk::<SITE>()?;
        let [.., third, second, first] = lead else { return None };
        if *site == LAST_ARGUMENT {
            // Six moves come before it; the last is of r8: `4d 89 c8`, `mov %r9, %r8`.
            return ([*third, *second, *first] == [0x4d, 0x89, 0xc8]).then_some(Form::LastArgument);
        }
        let [a, b, c, d] = number.to_le_bytes();
        if *site != [0xb8, a, b, c, d] {
            return match number {
                0 if is_read(before, behind) => Some(Form::Zero),
                0 if is_read_of_threads(before, behind) => Some(Form::ZeroOfThreads),
                _ => None,
            };
        }
        // A prefix for another register or a longer number; an address's second byte; and
        // instructions that end in a number, with addresses of one or two bytes.
        let longer = |byte: &u8| matches!(byte, 0x69 | 0x81 | 0xc7 | 0xf7);
        let alone =
            !matches!(first, 0x40..=0x4f | 0x0f | 0x8d) && !longer(second) && !longer(third);
        alone.then_some(Form::Number(number))
    }

    /// What a trampoline has replaced that begins like this.
    pub(super) fn replaced_by(bytes: [u8; SITE]) -> Option<Form> {
        match bytes {
            [0xb8, number @ ..] => Some(Form::Number(u32::from_le_bytes(number))),
            LAST_ARGUMENT => Some(Form::LastArgument),
            ZERO => Some(Form::Zero),
            ZERO_OF_THREADS => Some(Form::ZeroOfThreads),
            _ => None,
        }
    }

    /// What is replaced.
    pub(super) fn replaced(self) -> [u8; SITE] {
        match self {
            Form::Number(number) => {
                let [a, b, c, d] = number.to_le_bytes();
                [0xb8, a, b, c, d]
            }
            Form::LastArgument => LAST_ARGUMENT,
            Form::Zero => ZERO,
            Form::ZeroOfThreads => ZERO_OF_THREADS,
        }
    }

    /// Where that begins.
    pub(super) fn start(self, call: u64) -> u64 {
        call.wrapping_sub(if self.behind().is_some() { 2 } else { SITE as u64 })
    }

    /// Where the jump to the trampoline is, if it is another one's target.
    pub(super) fn stepping_stone(self, call: u64) -> Option<u64> {
        call.checked_add(self.behind()? as u64)
    }

    /// How far behind the `syscall` that is.
    fn behind(self) -> Option<usize> {
        match self {
            Form::Number(_) | Form::LastArgument => None,
            Form::Zero => Some(BEHIND),
            Form::ZeroOfThreads => Some(FURTHER_BEHIND),
        }
    }

    /// What is written where, so that a trampoline is jumped to.
    pub(super) fn changes(self, call: u64, trampoline: u64) -> Option<Vec<(u64, Vec<u8>)>> {
        let Some(behind) = self.behind() else {
            let start = self.start(call);
            return Some(vec![(start, fast::jump(start, trampoline)?.to_vec())]);
        };
        let stone = self.stepping_stone(call)?;
        let far = fast::jump(stone, trampoline)?.to_vec();
        // It ends at the `syscall`.
        let near = vec![0xeb, u8::try_from(behind).ok()?];
        Some(vec![(stone, far), (self.start(call), near)])
    }

    /// Does what was replaced.
    pub(super) fn execute(self, memory: &GuestMemory, context: &mut Context) -> Result<(), Fault> {
        match self {
            Form::Number(number) => context.set(Register::Rax, number.into()),
            Form::LastArgument => {
                let argument = context.get(Register::Rsp).wrapping_add(8);
                context.set(Register::R9, memory.read_u64(argument)?);
            }
            Form::Zero | Form::ZeroOfThreads => {
                /// Of carry, parity, adjust, zero, sign and overflow.
                const STATUS: u64 = 0x8d5;
                const PARITY_AND_ZERO: u64 = 0x44;
                context.set(Register::Rax, 0);
                let flags = context.get(Register::Flags);
                context.set(Register::Flags, flags & !STATUS | PARITY_AND_ZERO);
            }
        }
        Ok(())
    }
}

/// Whether this is libc's `read()`: `cmpb $0, …(%rip)`, `je`, `xor %eax, %eax`; the call;
/// `cmp $-4096, %rax`, `ja`, `ret`, and what fills up to the next function's place. Behind the
/// call all is in step with what is executed, so that nothing comes to be behind the `ret`.
fn is_read(before: &[u8; BEFORE], behind: &[u8]) -> bool {
    const FILLERS: [&[u8]; 7] = [
        &[0x66, 0x2e, 0x0f, 0x1f, 0x84],
        &[0x66, 0x66, 0x2e, 0x0f, 0x1f],
        &[0x66, 0x0f, 0x1f, 0x84, 0],
        &[0x66, 0x0f, 0x1f, 0x44, 0],
        &[0x0f, 0x1f, 0x84, 0, 0],
        &[0x0f, 0x1f, 0x80, 0, 0],
        &[0x0f, 0x1f, 0x44, 0, 0],
    ];
    let [0x48, 0x3d, 0, 0xf0, 0xff, 0xff, 0x77, _, 0xc3, filler @ ..] = behind else {
        return false;
    };
    matches!(before, [0x80, 0x3d, _, _, _, _, 0, 0x74, _, 0x31, 0xc0])
        && FILLERS.iter().any(|known| filler.starts_with(known))
}

/// The same for what it does if there are several threads: `mov %eax, %r8d`,
/// `mov 8(%rsp), %edi`, `xor %eax, %eax`; the call; `cmp $-4096, %rax`, `ja`,
/// `mov %r8d, %edi`, `mov %rax, 8(%rsp)`, a call, `mov 8(%rsp), %rax`, `add $40, %rsp`, `ret`,
/// and what fills up five bytes.
fn is_read_of_threads(before: &[u8; BEFORE], behind: &[u8]) -> bool {
    let [0x48, 0x3d, 0, 0xf0, 0xff, 0xff, 0x77, _, rest @ ..] = behind else { return false };
    let [0x44, 0x89, 0xc7, 0x48, 0x89, 0x44, 0x24, 8, 0xe8, _, _, _, _, rest @ ..] = rest else {
        return false;
    };
    matches!(before, [_, _, 0x41, 0x89, 0xc0, 0x8b, 0x7c, 0x24, 8, 0x31, 0xc0])
        && rest.starts_with(&[0x48, 0x8b, 0x44, 0x24, 8, 0x48, 0x83, 0xc4, 0x28, 0xc3])
        && rest.ends_with(&[0x0f, 0x1f, 0x44, 0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_is_a_site_is_one() {
        let with = |lead: [u8; 3], site: [u8; 5], call: [u8; 2]| {
            let mut bytes = [0; BEFORE + AFTER];
            bytes[3..6].copy_from_slice(&lead);
            bytes[6..11].copy_from_slice(&site);
            bytes[11..13].copy_from_slice(&call);
            Form::of(&bytes, 39).is_some()
        };
        const CALL: [u8; 2] = [0x0f, 0x05];
        let getpid = [0xb8, 39, 0, 0, 0];
        for lead in [[0x0f, 0x1f, 0x00], [0xf3, 0x1e, 0xfa], [0xc3, 0x90, 0x90], [0x48, 0x89, 0xc7]]
        {
            assert!(with(lead, getpid, CALL), "{lead:x?}");
        }
        for (lead, site, call) in [
            ([0x90, 0x90, 0x90], [0xb8, 40, 0, 0, 0], CALL),
            ([0x90, 0x90, 0x90], [0xb9, 39, 0, 0, 0], CALL),
            ([0x90, 0x90, 0x90], getpid, [0x0f, 0x34]),
            // mov $39, %r8d; lea 39(%rax), %edi; movl $39, -72(%rbp), -72(%rsp).
            ([0x90, 0x90, 0x41], getpid, CALL),
            ([0x90, 0x90, 0x8d], getpid, CALL),
            ([0x90, 0xc7, 0x45], getpid, CALL),
            ([0xc7, 0x44, 0x24], getpid, CALL),
            ([0x90, 0x90, 0x90], LAST_ARGUMENT, CALL),
        ] {
            assert!(!with(lead, site, call), "{lead:x?} {site:x?} {call:x?}");
        }
        assert!(with([0x4d, 0x89, 0xc8], LAST_ARGUMENT, CALL));
    }

    const READ: [u8; 27] = [
        0x80, 0x3d, 0x31, 0x33, 0x0e, 0x00, 0x00, 0x74, 0x17, 0x31, 0xc0, 0x0f, 0x05, 0x48, 0x3d,
        0x00, 0xf0, 0xff, 0xff, 0x77, 0x5b, 0xc3, 0x66, 0x2e, 0x0f, 0x1f, 0x84,
    ];
    const READ_OF_THREADS: [u8; BEFORE + AFTER] = [
        0x24, 0x10, 0x41, 0x89, 0xc0, 0x8b, 0x7c, 0x24, 0x08, 0x31, 0xc0, 0x0f, 0x05, 0x48, 0x3d,
        0x00, 0xf0, 0xff, 0xff, 0x77, 0x34, 0x44, 0x89, 0xc7, 0x48, 0x89, 0x44, 0x24, 0x08, 0xe8,
        0x9f, 0xd5, 0xf8, 0xff, 0x48, 0x8b, 0x44, 0x24, 0x08, 0x48, 0x83, 0xc4, 0x28, 0xc3, 0x0f,
        0x1f, 0x44, 0x00, 0x00,
    ];

    fn padded(bytes: &[u8]) -> [u8; BEFORE + AFTER] {
        let mut all = [0; BEFORE + AFTER];
        all[..bytes.len()].copy_from_slice(bytes);
        all
    }

    /// Any other bytes than those are another form, if one.
    fn is_only(known: [u8; BEFORE + AFTER], length: usize, form: Form, any: &[usize]) {
        assert_eq!(Form::of(&known, 0), Some(form));
        assert_eq!(Form::of(&known, 1), None);
        for index in (0..length).filter(|index| !any.contains(index)) {
            let mut other = known;
            other[index] ^= 0x10;
            assert_eq!(Form::of(&other, 0), None, "{index}");
        }
    }

    #[test]
    fn a_short_site_jumps_twice() {
        is_only(padded(&READ), READ.len(), Form::Zero, &[2, 3, 4, 5, 8, 20]);
        let any = [0, 1, 20, 30, 31, 32, 33];
        is_only(READ_OF_THREADS, BEFORE + AFTER, Form::ZeroOfThreads, &any);
        let call = 0x40_1000;
        for (form, behind) in [(Form::Zero, 0x0b), (Form::ZeroOfThreads, 0x21)] {
            let changes = form.changes(call, 0x3f_f000).unwrap();
            let [(stone, far), (start, near)] = &changes[..] else { panic!("{changes:?}") };
            assert_eq!((*start, &near[..]), (call - 2, &[0xeb, behind][..]));
            // From the end of the short jump.
            assert_eq!(*stone, call + u64::from(behind));
            assert_eq!(far[..], fast::jump(*stone, 0x3f_f000).unwrap());
            assert_eq!(Form::replaced_by(form.replaced()), Some(form));
        }
        assert_eq!(Form::replaced_by([0x90; 5]), None);
    }
}
