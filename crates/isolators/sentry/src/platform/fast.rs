//! Calls without a call: what a rewritten call site does.
//!
//! A site is five bytes in front of a `syscall`, which stays where it is: they become
//! a jump to a *trampoline* near by, which does what they did and either has the
//! answer or goes on at that `syscall`. All of it is the guest's own code: whatever it
//! does, damaged or not, ends in calls that are reported like any others. It changes
//! what `syscall` changes, `rax`, `rcx` and `r11`, and nothing else: flags are kept.
//!
//! A thread finds its slot by the base register of `gs`, which no program for x86-64
//! has a use for; if one does, it points elsewhere and the call is made.
//!
//! A signal's frame never shows an address in here: [`unwind`] sets the thread back to
//! its site or its `syscall`, or behind that if the answer is there.
//!
//! Calls that are not answered here go on in `post.rs`.

use core::arch::global_asm;

use super::context::{Context, Register};
use super::memory::GuestMemory;
use super::stub::{CODE, SLOTS_SHIFT, SLOTS_TOP, Slot};

/// Where in the page of instructions it begins.
pub(super) const OFFSET: usize = 1024;
const FAST: u64 = CODE + OFFSET as u64;

/// Offset in a slot of the words below.
pub(super) const DESK: u32 = 0x3800;
/// Flags, as `lahf` and `seto` tell them.
pub(super) const FLAGS: u32 = DESK;
/// Ids, 0 if the call is to be made: of the process, of the thread.
const PID: u32 = DESK + 16;
const TID: u32 = DESK + 20;
/// Offset of the ids from the first of the words.
const IDS: u64 = 16;

/// getpid(2)
pub const GETPID: u64 = 39;
/// gettid(2)
pub const GETTID: u64 = 186;

// In: the call in r11, where it returns to in rcx, flags in the slot.
global_asm!(
    ".pushsection .rodata",
    ".balign 16",
    ".globl caisson_fast_start, caisson_fast_known, caisson_fast_end",
    "caisson_fast_start:",
    "cmp r11d, {getpid}",
    "je 2f",
    "cmp r11d, {gettid}",
    "je 3f",
    "caisson_fast_slow:",
    // post.rs
    "jmp caisson_fast_start + {post}",
    "3:",
    "mov eax, gs:[{tid}]",
    "jmp 4f",
    "2:",
    "mov eax, gs:[{pid}]",
    "4:",
    "test eax, eax",
    "jz caisson_fast_slow",
    "mov r11, rax",
    "caisson_fast_known:",
    "mov ax, gs:[{flags}]",
    "add al, 0x7f",
    "sahf",
    "mov rax, r11",
    "jmp rcx",
    "caisson_fast_end:",
    ".popsection",
    getpid = const GETPID,
    gettid = const GETTID,
    post = const super::post::OFFSET - OFFSET,
    flags = const FLAGS,
    pid = const PID,
    tid = const TID,
);

// SAFETY: the assembly above defines them.
unsafe extern "C" {
    static caisson_fast_start: u8;
    static caisson_fast_known: u8;
    static caisson_fast_end: u8;
}

/// The instructions, and the offset of a place in them.
fn parts() -> (&'static [u8], u64) {
    let start = &raw const caisson_fast_start;
    let from_start = |symbol: *const u8| symbol.addr() - start.addr();
    let length = from_start(&raw const caisson_fast_end);
    // SAFETY: both symbols bound one piece of read-only data, in this order.
    let bytes = unsafe { std::slice::from_raw_parts(start, length) };
    (bytes, from_start(&raw const caisson_fast_known) as u64)
}

/// The instructions.
pub(super) fn code() -> &'static [u8] {
    parts().0
}

/// Whether the processor and the host let programs set base registers.
#[must_use]
pub fn possible() -> bool {
    // HWCAP2_FSGSBASE
    super::machine::auxiliary(26) & 2 != 0
}

/// The base register that a first thread starts with.
#[must_use]
pub fn first_base() -> u64 {
    Slot(0).context()
}

/// Bytes of a site that are replaced.
pub const SITE: usize = 5;
/// Bytes of a trampoline.
pub const TRAMPOLINE: usize = 80;
const ENTRY: usize = 64;
/// Offsets in a trampoline behind: the copy of the call, of the flags; the flags'
/// way back: begun, made.
const COPIED: u64 = 8;
const SAVED: u64 = 12;
const RESTORING: u64 = 53;
const RESTORED: u64 = 54;

/// A trampoline at `at` for what was in front of the `syscall` at `call`; `None` if one
/// can't be reached from the other.
#[must_use]
pub fn trampoline(at: u64, call: u64, replaced: [u8; SITE]) -> Option<[u8; TRAMPOLINE]> {
    let mut code = Vec::with_capacity(TRAMPOLINE);
    code.extend_from_slice(&replaced);
    // mov r11, rax; lahf; seto al
    code.extend_from_slice(&[0x49, 0x89, 0xc3, 0x9f, 0x0f, 0x90, 0xc0]);
    // rdgsbase rcx; shr rcx, SLOTS_SHIFT; cmp ecx, SLOTS_TOP
    code.extend_from_slice(&[0xf3, 0x48, 0x0f, 0xae, 0xc9, 0x48, 0xc1, 0xe9, SLOTS_SHIFT]);
    code.extend_from_slice(&[0x81, 0xf9]);
    code.extend_from_slice(&SLOTS_TOP.to_le_bytes());
    // jne (to 51); mov gs:[FLAGS], ax
    code.extend_from_slice(&[0x75, 22, 0x65, 0x66, 0x89, 0x04, 0x25]);
    code.extend_from_slice(&FLAGS.to_le_bytes());
    // lea rcx, [rip + behind the call]; jmp [rip + ENTRY]
    code.extend_from_slice(&[0x48, 0x8d, 0x0d]);
    code.extend_from_slice(&distance(at + 45, call + 2)?);
    code.extend_from_slice(&[0xff, 0x25, 13, 0, 0, 0]);
    // add al, 0x7f; sahf; mov rax, r11; jmp (to the call)
    code.extend_from_slice(&[0x04, 0x7f, 0x9e, 0x4c, 0x89, 0xd8, 0xe9]);
    code.extend_from_slice(&distance(at + 62, call)?);
    code.resize(ENTRY, 0xcc);
    code.extend_from_slice(&FAST.to_le_bytes());
    code.resize(TRAMPOLINE, 0xcc);
    code.try_into().ok()
}

/// What a site becomes.
#[must_use]
pub fn jump(site: u64, trampoline: u64) -> Option<[u8; SITE]> {
    let [a, b, c, d] = distance(site + SITE as u64, trampoline)?;
    Some([0xe9, a, b, c, d])
}

fn distance(from: u64, to: u64) -> Option<[u8; 4]> {
    Some(i32::try_from(to.wrapping_sub(from).cast_signed()).ok()?.to_le_bytes())
}

/// Tells a thread's slot its ids; zeros have it make the calls.
pub fn tell_ids(memory: &GuestMemory, slot: Slot, pid: u32, tid: u32) {
    let both = u64::from(tid) << 32 | u64::from(pid);
    // If the guest made it inaccessible, it is the guest that gets a fault.
    let _ = memory.write(slot.desk() + IDS, &both.to_le_bytes());
}

const STATUS_FLAGS: u64 = 0x8d5;
const OVERFLOW: u64 = 0x800;

/// Flags as `lahf` and `seto al` leave them in `rax`; `added` if 0x7f was added to
/// `al` since.
fn set_flags(context: &mut Context, rax: u64, added: bool) {
    let overflow = rax & 0xff == if added { 0x80 } else { 1 };
    let low = (rax >> 8) & 0xd5;
    let flags = context.get(Register::Flags) & !STATUS_FLAGS;
    context.set(Register::Flags, flags | low | if overflow { OVERFLOW } else { 0 });
}

/// Whether an address is in the code that all trampolines lead to.
#[must_use]
pub fn is_inside(pointer: u64) -> bool {
    pointer.wrapping_sub(FAST) < code().len() as u64
}

/// A thread was interrupted in a trampoline, whose start is given: sets it back to the
/// site, or to its call if what was in front of that is done.
pub fn unwind_trampoline(context: &mut Context, start: u64, (site, call): (u64, u64)) {
    let at = context.get(Register::Rip).wrapping_sub(start);
    let rax = context.get(Register::Rax);
    if (SAVED..RESTORED).contains(&at) {
        set_flags(context, rax, at == RESTORING);
    }
    if at > COPIED {
        context.set(Register::Rax, context.get(Register::R11));
    }
    context.set(Register::Rip, if at < SITE as u64 { site } else { call });
}

/// Gives a thread the flags that its trampoline has saved.
pub(super) fn take_flags(memory: &GuestMemory, slot: Slot, context: &mut Context) {
    let saved = memory.read_array(slot.desk()).map_or(0, u16::from_le_bytes);
    set_flags(context, saved.into(), false);
}

/// [`unwind_trampoline`] for the code that they lead to.
pub fn unwind(memory: &GuestMemory, slot: Slot, context: &mut Context) {
    let (_, known) = parts();
    let at = context.get(Register::Rip).wrapping_sub(FAST);
    take_flags(memory, slot, context);
    let behind = context.get(Register::Rcx);
    // Up to `known` r11 is the call, then it is the answer.
    context.set(Register::Rax, context.get(Register::R11));
    context.set(Register::Rip, if at >= known { behind } else { behind.wrapping_sub(2) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trampoline_is_as_its_offsets_say() {
        let (at, site) = (0x3f_f000, 0x40_1000);
        let code = trampoline(at, site + 5, [0xb8, 39, 0, 0, 0]).unwrap();
        assert_eq!(code[..5], [0xb8, 39, 0, 0, 0]);
        // Behind the copy: lahf; behind it and seto: rdgsbase.
        let from = |at: u64| &code[usize::try_from(at).unwrap()..];
        assert_eq!(from(COPIED)[0], 0x9f);
        assert_eq!(from(SAVED)[..2], [0xf3, 0x48]);
        // The jump that is taken if the base is another.
        assert_eq!(code[27], 0x75);
        assert_eq!(29 + usize::from(code[28]), 51);
        assert_eq!(code[51..54], [0x04, 0x7f, 0x9e]);
        assert_eq!((RESTORING, RESTORED), (53, 54));
        let word = |at: usize| i32::from_le_bytes(code[at..at + 4].try_into().unwrap());
        assert_eq!(45 + i64::from(word(41)), 0x2007);
        assert_eq!(code[45..47], [0xff, 0x25]);
        assert_eq!(51 + word(47), 64);
        assert_eq!(62 + i64::from(word(58)), 0x2005);
        assert_eq!(jump(site, at), Some([0xe9, 0xfb, 0xdf, 0xff, 0xff]));
        assert!(trampoline(0x7fef_0000_0000, site, [0; 5]).is_none());
    }

    #[test]
    fn the_code_fits_behind_the_stubs_and_makes_no_call() {
        assert!(super::super::stub::code().len() <= OFFSET);
        assert!(OFFSET + code().len() <= 4096);
        assert!(!code().windows(2).any(|w| w == [0x0f, 0x05]));
    }

    #[test]
    fn flags_come_back() {
        for flags in [0x202_u64, 0xa97, 0x246, 0xa02, 0x2d7] {
            let low = (flags & 0xff) << 8 | u64::from(flags & OVERFLOW != 0);
            let mut context = Context::default();
            context.set(Register::Flags, 0x202 | STATUS_FLAGS ^ flags & STATUS_FLAGS);
            set_flags(&mut context, low, false);
            assert_eq!(context.get(Register::Flags), flags & STATUS_FLAGS | 0x202, "{flags:#x}");
        }
    }
}
