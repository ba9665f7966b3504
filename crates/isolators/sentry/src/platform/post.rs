//! Calls that are *posted*: a rewritten site leaves number and arguments in its thread's
//! desk, which stub and sentry share, and spins until a thread of the sentry's that spins,
//! too, has served them. Nobody enters the host's kernel for that. What the call reads, if
//! it is little, the thread copies to the room of its desk, and takes from there what was
//! written.
//!
//! If nobody spins, or nobody takes the call soon, the thread takes it back and makes it. A
//! call that is taken is waited for, at last by a call that is only a wait. A call that changes
//! what is mapped is judged and noted by who has taken it, and then made here, by an instruction
//! that the filter has for it. As with the code
//! in `fast.rs`, all of this is the guest's own: flags, vectors and all registers that
//! `syscall` keeps are kept, and no frame shows an address in here. If its memory is not as
//! the call would need it the call is made, so that it fails as it should; or it has
//! failed, if somebody took the memory away since.

use core::arch::global_asm;

use super::context::{Context, Register};
use super::desks::{
    ANSWERED, APPROVED, Desks, FIRST_ARGUMENT, Gift, IN_ADDRESS, IN_LENGTH, NUMBER, OUT_ADDRESS,
    OUT_FROM, OUT_LENGTH, POSTED, PRESENT, Piece, ROOM, STATE, SharedRoom, TAKEN, WROTE,
};
use super::fast::{self, DESK, FLAGS};
use super::memory::GuestMemory;
use super::postable::{COUNT, EVENT, Kind, kind};
use super::stub::{CODE, MAP_FLAGS, Slot};

/// Where in the page of instructions it begins.
pub(super) const OFFSET: usize = 1536;
const POST: u64 = CODE + OFFSET as u64;

/// Words of a slot: where the desk is; where the call returns to; its number; a byte that
/// says whether there is a desk; where the room is; two registers of the guest's.
const PLACE: u32 = DESK + 24;
const BEHIND: u32 = DESK + 32;
const CALL: u32 = DESK + 40;
const POSTS: u32 = DESK + 48;
const ROOM_AT: u32 = DESK + 56;
const KEPT_RSI: u32 = DESK + 64;
const KEPT_RDI: u32 = DESK + 72;

/// Where in the page of instructions the table of [`Kind`]s begins.
pub(super) const TABLE_OFFSET: usize = 3072;
/// Bytes of a path that are copied at most, and never those of a second page.
const PATH: u32 = 256;
/// Call number by which a thread waits until its posted call is served.
pub(super) const WAIT: u32 = 0x1003;
/// Looks at the desk before a call that nobody has taken is taken back: about 6 µs.
const SHORT: u32 = 400;
/// Looks before the thread waits by a call: about 160 µs, in which the broker has answered mostly.
const LONG: u32 = 8192;

// In: as in fast.rs.
global_asm!(
    ".pushsection .rodata",
    ".balign 16",
    ".globl caisson_post_start, caisson_post_kept, caisson_post_copies, caisson_post_copied",
    ".globl caisson_post_posted, caisson_post_waited, caisson_post_takes, caisson_post_moves",
    ".globl caisson_post_moved, caisson_post_taken",
    ".globl caisson_post_known, caisson_post_back, caisson_post_slow",
    ".globl caisson_post_makes, caisson_post_made, caisson_post_end",
    "caisson_post_start:",
    "mov gs:[{behind}], rcx",
    "mov gs:[{call}], r11",
    "caisson_post_kept:",
    "cmp byte ptr gs:[{posts}], 0",
    "je caisson_post_slow",
    "cmp r11, {count}",
    "jae caisson_post_slow",
    "mov rcx, gs:[{place}]",
    "cmp dword ptr [rcx + {present}], 0",
    "je caisson_post_slow",
    "lea rax, [rip + caisson_post_start + {table}]",
    "movzx eax, byte ptr [rax + r11]",
    "test al, {is_posted}",
    "jz caisson_post_slow",
    "mov [rcx + {number}], r11",
    "mov [rcx + {first}], rdi",
    "mov [rcx + {first} + 8], rsi",
    "mov [rcx + {first} + 16], rdx",
    "mov [rcx + {first} + 24], r10",
    "mov [rcx + {first} + 32], r8",
    "mov [rcx + {first} + 40], r9",
    "cmp al, {is_posted}",
    "je caisson_post_copied",
    "mov gs:[{kept_rsi}], rsi",
    "mov gs:[{kept_rdi}], rdi",
    "caisson_post_copies:",
    "mov r11d, eax",
    // Who has the direction flag set is not helped.
    "mov rsi, rcx",
    "lodsb",
    "cmp rsi, rcx",
    "jb caisson_post_back",
    "mov rsi, gs:[{kept_rsi}]",
    "test r11b, {data}",
    "jnz 2f",
    "test r11b, {second}",
    "jnz 3f",
    "test r11b, {first_path}",
    "jnz 4f",
    "test r11b, {fourth}",
    "cmovnz rsi, r10",
    "jnz 3f",
    "test r11b, {probed}",
    "jz 8f",
    "mov rax, rdx",
    "test r11b, {events}",
    "jz 6f",
    "mov eax, edx",
    "cmp eax, {room} / {event}",
    "jbe 7f",
    "mov eax, {room} / {event}",
    "7:",
    "imul eax, eax, {event}",
    "6:",
    "test rax, rax",
    "jz 8f",
    "cmp rax, {room}",
    "jbe 7f",
    "mov eax, {room}",
    // As much is in two pages at most.
    "7:",
    "lock or byte ptr [rsi], 0",
    "lock or byte ptr [rsi + rax - 1], 0",
    "jmp 8f",
    "2:",
    "mov rax, rdx",
    "cmp rax, {room}",
    "jbe 5f",
    "xor eax, eax",
    "jmp 5f",
    "4:",
    "mov rsi, rdi",
    "3:",
    // Nothing, mostly by intention.
    "xor eax, eax",
    "cmp rsi, 4096",
    "jb 5f",
    "mov eax, {event}",
    "test r11b, {fourth}",
    "jnz 5f",
    // To the page's end.
    "mov eax, esi",
    "or eax, -4096",
    "neg eax",
    "cmp eax, {path}",
    "jbe 5f",
    "mov eax, {path}",
    "5:",
    "mov [rcx + {in_address}], rsi",
    "mov [rcx + {in_length}], rax",
    "mov rdi, gs:[{room_at}]",
    "mov rcx, rax",
    "rep movsb",
    "8:",
    "mov rsi, gs:[{kept_rsi}]",
    "mov rdi, gs:[{kept_rdi}]",
    "mov rcx, gs:[{place}]",
    "caisson_post_copied:",
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
    "je caisson_post_taken",
    "cmp dword ptr [rcx + {state}], {approved}",
    "je caisson_post_makes",
    "cmp dword ptr [rcx + {state}], {wrote}",
    "jne caisson_post_slow",
    "mov gs:[{kept_rsi}], rsi",
    "mov gs:[{kept_rdi}], rdi",
    "caisson_post_takes:",
    "mov rdi, [rcx + {out_address}]",
    "mov rsi, [rcx + {out_from}]",
    "mov rcx, [rcx + {out_length}]",
    "caisson_post_moves:",
    "rep movsb",
    "caisson_post_moved:",
    "mov rsi, gs:[{kept_rsi}]",
    "mov rdi, gs:[{kept_rdi}]",
    "mov rcx, gs:[{place}]",
    "caisson_post_taken:",
    "mov r11, [rcx + {number}]",
    "caisson_post_known:",
    "mov rcx, gs:[{behind}]",
    "mov ax, gs:[{flags}]",
    "add al, 0x7f",
    "sahf",
    "mov rax, r11",
    "jmp rcx",
    // Reached from within what is copied.
    "caisson_post_back:",
    "mov rsi, gs:[{kept_rsi}]",
    "caisson_post_slow:",
    "mov rcx, gs:[{behind}]",
    "mov ax, gs:[{flags}]",
    "add al, 0x7f",
    "sahf",
    "mov rax, gs:[{call}]",
    "lea rcx, [rcx - 2]",
    "jmp rcx",
    // Where it is, and mmap's flags, are the answer's; others have no fourth argument.
    "caisson_post_makes:",
    "mov rdi, [rcx + {out_address}]",
    "mov r10d, {map_flags}",
    "mov eax, [rcx + {number}]",
    "syscall",
    "caisson_post_made:",
    "mov rcx, gs:[{place}]",
    "mov rdi, [rcx + {first}]",
    "mov r10, [rcx + {first} + 24]",
    "mov r11, rax",
    "jmp caisson_post_known",
    "caisson_post_end:",
    ".popsection",
    behind = const BEHIND,
    call = const CALL,
    place = const PLACE,
    posts = const POSTS,
    room_at = const ROOM_AT,
    kept_rsi = const KEPT_RSI,
    kept_rdi = const KEPT_RDI,
    flags = const FLAGS,
    count = const COUNT,
    table = const TABLE_OFFSET - OFFSET,
    is_posted = const Kind::POSTED.bits(),
    data = const Kind::DATA.bits(),
    first_path = const Kind::FIRST_PATH.bits(),
    second = const Kind::SECOND_PATH.bits(),
    probed = const Kind::PROBED.bits(),
    events = const Kind::EVENTS.bits(),
    fourth = const Kind::FOURTH_EVENT.bits(),
    event = const EVENT,
    path = const PATH,
    room = const ROOM,
    present = const PRESENT,
    state = const STATE,
    number = const NUMBER,
    first = const FIRST_ARGUMENT,
    in_address = const IN_ADDRESS,
    in_length = const IN_LENGTH,
    out_address = const OUT_ADDRESS,
    out_length = const OUT_LENGTH,
    out_from = const OUT_FROM,
    posted = const POSTED,
    taken = const TAKEN,
    answered = const ANSWERED,
    wrote = const WROTE,
    approved = const APPROVED,
    map_flags = const MAP_FLAGS,
    short = const SHORT,
    long = const LONG,
    wait = const WAIT,
);

// SAFETY: the assembly above defines them.
unsafe extern "C" {
    static caisson_post_start: u8;
    static caisson_post_kept: u8;
    static caisson_post_copies: u8;
    static caisson_post_copied: u8;
    static caisson_post_posted: u8;
    static caisson_post_waited: u8;
    static caisson_post_takes: u8;
    static caisson_post_moves: u8;
    static caisson_post_moved: u8;
    static caisson_post_taken: u8;
    static caisson_post_known: u8;
    static caisson_post_back: u8;
    static caisson_post_slow: u8;
    static caisson_post_makes: u8;
    static caisson_post_made: u8;
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

/// What a filter sees of the call that waits.
pub(super) fn wait_pointer() -> u64 {
    POST + from_start(&raw const caisson_post_waited)
}

/// What a filter sees of a call that was approved.
pub(super) fn approved_pointer() -> u64 {
    POST + from_start(&raw const caisson_post_made)
}

/// Tells a thread's slot where its desk is, while the thread waits; or, at any time, that it
/// makes its calls.
pub fn tell_desk(memory: &GuestMemory, slot: Slot, desk: Option<u64>) {
    let word = |word: u32| slot.context() + u64::from(word);
    // If the guest made it inaccessible, it is the guest that gets a fault.
    if let Some(desk) = desk {
        let _ = memory.write(word(PLACE), &desk.to_le_bytes());
        if let Some(room) = Desks::place_of_room(slot) {
            let _ = memory.write(word(ROOM_AT), &room.to_le_bytes());
        }
    }
    let _ = memory.write(word(POSTS), &[u8::from(desk.is_some())]);
}

/// Whether an address is in the code that posts.
#[must_use]
pub fn is_inside(pointer: u64) -> bool {
    pointer.wrapping_sub(POST) < code().len() as u64
}

/// Where a thread was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Anywhere.
    Any,
    /// It was copying between its memory and its room: then a fault is what the call says,
    /// and no signal's.
    Copying,
    /// The same of what it was lent, of which not all can be copied: it makes the call again, as
    /// if that had not been served.
    Undone,
    /// In front of a call that was approved, as it seems, and was set behind it: it is to be
    /// made.
    Making,
}

/// A thread was interrupted in here, and nobody serves a call of its: sets it back to its
/// call, or behind it if it was answered. `lent` is what it was to copy from what it has in view.
#[must_use]
pub fn unwind(
    memory: &GuestMemory,
    slot: Slot,
    desks: Option<&Desks>,
    lent: Option<Gift>,
    context: &mut Context,
) -> Place {
    let at = context.get(Register::Rip).wrapping_sub(POST);
    let kept = |word: u32| {
        let address = slot.context() + u64::from(word);
        memory.read_u64(address).unwrap_or(0)
    };
    let range = |from: *const u8, to: *const u8| (from_start(from)..from_start(to)).contains(&at);
    let copies = range(&raw const caisson_post_copies, &raw const caisson_post_copied)
        // The way back from there.
        || range(&raw const caisson_post_back, &raw const caisson_post_slow);
    let takes = range(&raw const caisson_post_takes, &raw const caisson_post_taken);
    let at_moves = range(&raw const caisson_post_moves, &raw const caisson_post_moved);
    let (mut behind, mut call) = (kept(BEHIND), kept(CALL));
    if at < from_start(&raw const caisson_post_kept) {
        (behind, call) = (context.get(Register::Rcx), context.get(Register::R11));
    }
    if copies || takes {
        context.set(Register::Rsi, kept(KEPT_RSI));
        context.set(Register::Rdi, kept(KEPT_RDI));
    }
    let makes = range(&raw const caisson_post_makes, &raw const caisson_post_made);
    let made = range(&raw const caisson_post_made, &raw const caisson_post_end);
    if let Some(desks) = desks.filter(|_| makes || made) {
        let argument = |index| desks.argument(slot, index).unwrap_or(0);
        context.set(Register::Rdi, argument(0));
        context.set(Register::R10, argument(3));
    }
    let waits = range(&raw const caisson_post_posted, &raw const caisson_post_takes);
    if (makes || waits) && desks.is_some_and(|desks| desks.withdraw(slot)) {
        fast::take_flags(memory, slot, context);
        context.set(Register::Rax, call);
        context.set(Register::Rip, behind);
        return Place::Making;
    }
    let mut undone = false;
    let answer = if made {
        Some(context.get(Register::Rax))
    } else if range(&raw const caisson_post_posted, &raw const caisson_post_known) {
        // Of what it has taken already others may have changed some since.
        let left = if range(&raw const caisson_post_moved, &raw const caisson_post_known) {
            Some(0)
        } else {
            at_moves.then(|| context.get(Register::Rcx))
        };
        let settled = desks.and_then(|desks| desks.settle(slot));
        settled.and_then(|(answer, piece)| match (lent, piece) {
            (Some(Gift { to: (to, length), from: Some(from) }), _) => {
                let done = length - remaining(left, length);
                let behind = |start: u64| start.wrapping_add(done as u64);
                undone = !memory.copy(behind(from), behind(to), length - done);
                (!undone).then_some(answer)
            }
            (_, Some((piece, room))) if !give(memory, piece, left, room) => {
                // A path may have been where a part of the answer is by now.
                (kind(call) != Kind::POSTED | Kind::AGAIN).then_some(FAULT)
            }
            _ => Some(answer),
        })
    } else {
        range(&raw const caisson_post_known, &raw const caisson_post_back)
            .then(|| context.get(Register::R11))
    };
    fast::take_flags(memory, slot, context);
    context.set(Register::Rax, answer.unwrap_or(call));
    context.set(Register::Rip, if answer.is_some() { behind } else { behind.wrapping_sub(2) });
    match (undone, copies || takes) {
        (true, _) => Place::Undone,
        (false, true) => Place::Copying,
        (false, false) => Place::Any,
    }
}

/// `EFAULT`, as a call returns it.
const FAULT: u64 = (-14_i64).cast_unsigned();

/// How much of `length` a thread has not copied yet, if it says so.
fn remaining(left: Option<u64>, length: usize) -> usize {
    left.and_then(|left| usize::try_from(left).ok()).unwrap_or(length).min(length)
}

/// Gives a thread what is in its room, or the `left` last bytes of it; whether it could be.
fn give(memory: &GuestMemory, (to, length): Piece, left: Option<u64>, room: SharedRoom) -> bool {
    let left = remaining(left, length);
    let mut bytes = [0; ROOM];
    let Some(bytes) = bytes.get_mut(..left) else { return false };
    let from = length - left;
    room.read(from, bytes) && memory.write(to.wrapping_add(from as u64), bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::postable::TABLE;
    use super::*;

    #[test]
    fn the_code_fits_and_makes_two_calls() {
        assert!(fast::OFFSET + fast::code().len() <= OFFSET);
        assert!(OFFSET + code().len() <= TABLE_OFFSET);
        assert!(TABLE_OFFSET + TABLE.len() <= 4096);
        const { assert!(ROOM <= 4096, "more than two pages would have to be looked at") };
        let syscall = [0x0f, 0x05];
        let calls: Vec<usize> = code()
            .windows(2)
            .enumerate()
            .filter(|(_, two)| *two == syscall)
            .map(|(at, _)| OFFSET + at + 2)
            .collect();
        let pointers = [wait_pointer(), approved_pointer()];
        assert_eq!(calls, pointers.map(|at| usize::try_from(at - CODE).unwrap()));
        assert!(pointers.iter().all(|at| at >> 32 == CODE >> 32));
    }
}
