//! Calls that are *posted*: a rewritten site leaves number and arguments in its thread's
//! desk, which stub and sentry share, and spins until a thread of the sentry's that spins,
//! too, has served them. Nobody enters the host's kernel for that.
//!
//! If nobody spins, or nobody takes the call soon, the thread takes it back and makes it. A
//! call that is taken is waited for, at last by a call that is only a wait. As with the code
//! in `fast.rs`, all of this is the guest's own: flags, vectors and all registers that
//! `syscall` keeps are kept, and no frame shows an address in here.

use core::arch::global_asm;

use super::context::{Context, Register};
use super::desks::{ANSWERED, Desks, FIRST_ARGUMENT, NUMBER, POSTED, PRESENT, STATE, TAKEN};
use super::fast::{self, DESK, FLAGS};
use super::memory::GuestMemory;
use super::stub::{CODE, Slot};

/// Where in the page of instructions it begins.
pub(super) const OFFSET: usize = 1536;
const POST: u64 = CODE + OFFSET as u64;

/// Words of a slot: where the desk is; where the call returns to; its number; a byte that
/// says whether there is a desk.
const PLACE: u32 = DESK + 24;
const BEHIND: u32 = DESK + 32;
const CALL: u32 = DESK + 40;
const POSTS: u32 = DESK + 48;

/// Call number by which a thread waits until its posted call is served.
pub(super) const WAIT: u32 = 0x1003;
/// Looks at the desk before a call that nobody has taken is taken back: about 2 µs.
const SHORT: u32 = 128;
/// Looks before the thread waits by a call: about 40 µs.
const LONG: u32 = 2048;

// In: as in fast.rs.
global_asm!(
    ".pushsection .rodata",
    ".balign 16",
    ".globl caisson_post_start, caisson_post_kept, caisson_post_posted, caisson_post_waited",
    ".globl caisson_post_known, caisson_post_slow, caisson_post_end",
    "caisson_post_start:",
    "mov gs:[{behind}], rcx",
    "mov gs:[{call}], r11",
    "caisson_post_kept:",
    "cmp byte ptr gs:[{posts}], 0",
    "je caisson_post_slow",
    "mov rcx, gs:[{place}]",
    "cmp dword ptr [rcx + {present}], 0",
    "je caisson_post_slow",
    "mov [rcx + {number}], r11",
    "mov [rcx + {first}], rdi",
    "mov [rcx + {first} + 8], rsi",
    "mov [rcx + {first} + 16], rdx",
    "mov [rcx + {first} + 24], r10",
    "mov [rcx + {first} + 32], r8",
    "mov [rcx + {first} + 40], r9",
    "mov eax, {short}",
    "mov dword ptr [rcx + {state}], {posted}",
    "caisson_post_posted:",
    "cmp dword ptr [rcx + {state}], {posted}",
    "jne 2f",
    "pause",
    "dec eax",
    "jnz caisson_post_posted",
    // The posted state's only bit.
    "lock btr dword ptr [rcx + {state}], 0",
    "jnc 2f",
    // The partner is not there.
    "mov dword ptr [rcx + {present}], 0",
    "jmp caisson_post_slow",
    "2:",
    "mov eax, {long}",
    "3:",
    "cmp dword ptr [rcx + {state}], {taken}",
    "jne 4f",
    "pause",
    "dec eax",
    "jnz 3b",
    "mov eax, {wait}",
    "syscall",
    "caisson_post_waited:",
    "mov rcx, gs:[{place}]",
    "jmp 2b",
    "4:",
    "cmp dword ptr [rcx + {state}], {answered}",
    "jne caisson_post_slow",
    "mov r11, [rcx + {number}]",
    "caisson_post_known:",
    "mov rcx, gs:[{behind}]",
    "mov ax, gs:[{flags}]",
    "add al, 0x7f",
    "sahf",
    "mov rax, r11",
    "jmp rcx",
    "caisson_post_slow:",
    "mov rcx, gs:[{behind}]",
    "mov ax, gs:[{flags}]",
    "add al, 0x7f",
    "sahf",
    "mov rax, gs:[{call}]",
    "lea rcx, [rcx - 2]",
    "jmp rcx",
    "caisson_post_end:",
    ".popsection",
    behind = const BEHIND,
    call = const CALL,
    place = const PLACE,
    posts = const POSTS,
    flags = const FLAGS,
    present = const PRESENT,
    state = const STATE,
    number = const NUMBER,
    first = const FIRST_ARGUMENT,
    posted = const POSTED,
    taken = const TAKEN,
    answered = const ANSWERED,
    short = const SHORT,
    long = const LONG,
    wait = const WAIT,
);

// SAFETY: the assembly above defines them.
unsafe extern "C" {
    static caisson_post_start: u8;
    static caisson_post_kept: u8;
    static caisson_post_posted: u8;
    static caisson_post_waited: u8;
    static caisson_post_known: u8;
    static caisson_post_slow: u8;
    static caisson_post_end: u8;
}

fn from_start(symbol: *const u8) -> u64 {
    (symbol.addr() - (&raw const caisson_post_start).addr()) as u64
}

/// The instructions.
pub(super) fn code() -> &'static [u8] {
    let length = (&raw const caisson_post_end).addr() - (&raw const caisson_post_start).addr();
    // SAFETY: both symbols bound one piece of read-only data, in this order.
    unsafe { std::slice::from_raw_parts(&raw const caisson_post_start, length) }
}

/// Where trampolines lead whose calls are posted.
pub(super) fn entry() -> u64 {
    POST
}

/// What a filter sees of the call that waits.
pub(super) fn wait_pointer() -> u64 {
    POST + from_start(&raw const caisson_post_waited)
}

/// Tells a thread's slot where its desk is, while the thread waits; or, at any time, that it
/// makes its calls.
pub fn tell_desk(memory: &GuestMemory, slot: Slot, desk: Option<u64>) {
    let word = |word: u32| slot.context() + u64::from(word);
    // If the guest made it inaccessible, it is the guest that gets a fault.
    if let Some(desk) = desk {
        let _ = memory.write(word(PLACE), &desk.to_le_bytes());
    }
    let _ = memory.write(word(POSTS), &[u8::from(desk.is_some())]);
}

/// Whether an address is in the code that posts.
#[must_use]
pub fn is_inside(pointer: u64) -> bool {
    pointer.wrapping_sub(POST) < code().len() as u64
}

/// A thread was interrupted in here, and nobody serves a call of its: sets it back to its
/// call, or behind it if it was answered.
pub fn unwind(memory: &GuestMemory, slot: Slot, desks: Option<&Desks>, context: &mut Context) {
    let at = context.get(Register::Rip).wrapping_sub(POST);
    let kept = |word: u32| {
        let address = slot.context() + u64::from(word);
        memory.read_u64(address).unwrap_or(0)
    };
    let (mut behind, mut call) = (kept(BEHIND), kept(CALL));
    if at < from_start(&raw const caisson_post_kept) {
        (behind, call) = (context.get(Register::Rcx), context.get(Register::R11));
    }
    let known = from_start(&raw const caisson_post_known);
    let spins = from_start(&raw const caisson_post_posted)..known;
    let answer = match at {
        at if spins.contains(&at) => desks.and_then(|desks| desks.settle(slot)),
        at if at >= known && at < from_start(&raw const caisson_post_slow) => {
            Some(context.get(Register::R11))
        }
        _ => None,
    };
    fast::take_flags(memory, slot, context);
    context.set(Register::Rax, answer.unwrap_or(call));
    context.set(Register::Rip, if answer.is_some() { behind } else { behind.wrapping_sub(2) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_fits_and_makes_one_call() {
        assert!(fast::OFFSET + fast::code().len() <= OFFSET);
        assert!(OFFSET + code().len() <= 4096);
        let syscall = [0x0f, 0x05];
        let calls: Vec<usize> = code()
            .windows(2)
            .enumerate()
            .filter(|(_, two)| *two == syscall)
            .map(|(at, _)| OFFSET + at + 2)
            .collect();
        assert_eq!(calls, [usize::try_from(wait_pointer() - CODE).unwrap()]);
        assert_eq!(wait_pointer() >> 32, CODE >> 32);
    }
}
