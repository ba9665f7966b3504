//! The stub: its instructions and where it lies in every guest address space.

use core::arch::global_asm;

use super::context::Register;

/// Guest mappings end here; what lies above is the stub's.
pub const GUEST_END: u64 = 0x7ffd_ffff_f000;
/// The page of instructions.
pub(super) const CODE: u64 = 0x7ffe_0000_0000;
/// Stacks of the stub's threads.
pub(super) const SLOTS: u64 = 0x7ffe_4000_0000;
const SLOT_SIZE: u64 = 32 << 10;
/// All slots' addresses, and no others, are this when shifted by [`SLOTS_SHIFT`].
pub(super) const SLOTS_TOP: u32 = 0x1_fff9;
/// See [`SLOTS_TOP`].
pub(super) const SLOTS_SHIFT: u8 = 30;
/// Threads that one address space can have.
pub const MAX_SLOTS: u32 = 32_768;
/// End of the stub's memory.
pub(super) const END: u64 = SLOTS + MAX_SLOTS as u64 * SLOT_SIZE;
/// Where its threads post calls: the page behind.
pub(super) const DESKS: u64 = END;
/// Where pieces of files are mapped that the stub's threads copy from (`mm/views.rs`).
const VIEWS: u64 = 0x7ffe_c000_0000;
/// Bytes of each.
pub const VIEW: u64 = 32 << 20;
/// End of what a process can map.
pub(super) const TASK_END: u64 = 0x7fff_ffff_f000;

/// Call number by which the stub reports a signal: `(signal, siginfo, context)`.
pub(super) const EVENT: u32 = 0x1000;
/// Call number by which it reports that an ordered call is done: `(result, …)`.
pub(super) const DONE: u32 = 0x1001;

/// Call number by which it reports that it could not map: `(error, …, context)`.
pub(super) const MISSED: u32 = 0x1002;
/// `MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE`: how it maps.
pub const MAP_FLAGS: u32 = 0x4032;
/// Where the filter lets it map, and less than this at once.
pub(super) const MAP_END: u64 = 0x7ffd_0000_0000;
/// Longer pieces are ordered.
pub const MAP_LIMIT: u64 = 1 << 32;

/// Where the piece of that number is mapped.
#[must_use]
pub fn view_place(number: usize) -> u64 {
    // Neighbours would become one mapping, of which a part is not as surely unmapped.
    VIEWS + number as u64 * 2 * VIEW
}

/// The signal that makes a running thread report: [`super::EventKind::Signal`].
pub const KICK: i32 = libc::SIGURG;

// rt_sigreturn expects its frame's context at the stack pointer. `rdx` holds it
// in a handler and survives the call before; an ordered call is made with the
// stack pointer on the context that is to be loaded afterwards.
global_asm!(
    ".pushsection .rodata",
    ".balign 16",
    "caisson_stub_start:",
    "mov eax, 0x1000",
    "syscall",
    "caisson_stub_event:",
    "test rax, rax",
    "jnz 2f",
    "caisson_stub_load:",
    "mov rsp, rdx",
    "mov eax, 15",
    "syscall",
    "caisson_stub_return:",
    "ud2",
    "caisson_stub_call:",
    "syscall",
    "caisson_stub_called:",
    "mov rdi, rax",
    // A new thread's base register still points to its parent's slot (fast.rs); one
    // that the guest has set is left alone.
    "caisson_stub_base:",
    "rdgsbase rcx",
    "shr rcx, {slots_shift}",
    "cmp ecx, {slots_top}",
    "jne caisson_stub_report",
    "mov rcx, rsp",
    "and rcx, -{slot_size}",
    "wrgsbase rcx",
    "caisson_stub_report:",
    "mov eax, 0x1001",
    "syscall",
    "caisson_stub_done:",
    "mov eax, 15",
    "syscall",
    "caisson_stub_resume:",
    "ud2",
    // The answer to a trapped call that is to map private memory: where. Length and
    // protection are in the registers of the call, or, if the address is odd, the
    // length is in the context's unused link, and the call was brk.
    "2:",
    "mov rbx, rdx",
    "mov rdi, rax",
    "mov rsi, [rbx + {rsi}]",
    "mov rdx, [rbx + {rdx}]",
    "and edx, 7",
    "test dil, 1",
    "jz 3f",
    "dec rdi",
    "mov rsi, [rbx + 8]",
    "mov edx, 3",
    "3:",
    "mov r10d, {flags}",
    "mov r8, -1",
    "xor r9d, r9d",
    "mov ebp, eax",
    "mov eax, 9",
    "syscall",
    "caisson_stub_mapped:",
    "mov rdx, rbx",
    "test rax, rax",
    "js 5f",
    "test bpl, 1",
    "jz 4f",
    // brk returns its argument.
    "mov rax, [rbx + {rdi}]",
    "4:",
    "mov [rbx + {rax}], rax",
    "jmp caisson_stub_load",
    "5:",
    "mov rdi, rax",
    "mov eax, 0x1002",
    "syscall",
    "caisson_stub_missed:",
    "jmp caisson_stub_load",
    "caisson_stub_end:",
    ".popsection",
    flags = const MAP_FLAGS,
    slots_shift = const SLOTS_SHIFT,
    slots_top = const SLOTS_TOP,
    slot_size = const SLOT_SIZE,
    rdi = const super::context::offset(Register::Rdi),
    rsi = const super::context::offset(Register::Rsi),
    rdx = const super::context::offset(Register::Rdx),
    rax = const super::context::offset(Register::Rax),
);

// SAFETY: the assembly above defines both.
unsafe extern "C" {
    static caisson_stub_start: u8;
    static caisson_stub_end: u8;
}

/// The instructions.
pub(super) fn code() -> &'static [u8] {
    let start = &raw const caisson_stub_start;
    let length = (&raw const caisson_stub_end).addr() - start.addr();
    // SAFETY: both symbols bound one piece of read-only data, in this order.
    unsafe { std::slice::from_raw_parts(start, length) }
}

// Offsets of the labels above; a test compares them with the instructions. A
// filter sees the address behind the `syscall` instruction.
/// A signal's report.
pub(super) const EVENT_IP: u64 = CODE + 7;
/// `rt_sigreturn` of the handler.
pub(super) const RETURN_IP: u64 = CODE + 22;
/// An ordered call.
pub(super) const CALL_IP: u64 = CODE + 26;
/// The report of an ordered call.
pub(super) const DONE_IP: u64 = CODE + 68;
/// `rt_sigreturn` behind it.
pub(super) const RESUME_IP: u64 = CODE + 75;

/// The mapping of private memory.
pub(super) const MAP_IP: u64 = CODE + 140;
/// The report that it failed.
pub(super) const MISSED_IP: u64 = CODE + 180;

/// The instructions that set a base register, for processors that can: from, to.
pub(super) const BASE: (usize, usize) = (29, 61);

/// Where a context sends a thread that is to make an ordered call.
pub const INJECT_ADDRESS: u64 = CODE + 24;
/// Where a context sends a thread that is to report at once.
pub(super) const DONE_ADDRESS: u64 = CODE + 61;

/// Calls that a guest's thread makes with all its registers at hand: the filter
/// turns them into SIGSYS, whose frame the stub reports.
pub const TRAPPED: [u32; 12] = [
    9,   // mmap, but for what `filter.rs` reports at once
    12,  // brk
    15,  // rt_sigreturn
    25,  // mremap
    30,  // shmat
    56,  // clone
    57,  // fork
    58,  // vfork
    59,  // execve
    67,  // shmdt
    322, // execveat
    435, // clone3
];

/// Offset in a slot of the extended register state that belongs to the context
/// at the slot's start.
pub const XSTATE_OFFSET: u64 = 1024;

/// A thread's place in the stub's memory: the lower half holds a context that
/// the sentry writes, the upper half is the stack of signal handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);

impl Slot {
    /// Where the sentry puts a context for a thread that has no frame.
    #[must_use]
    pub fn context(self) -> u64 {
        SLOTS + u64::from(self.0) * SLOT_SIZE
    }

    /// Room for what a call of the host's returns.
    #[must_use]
    pub fn scratch(self) -> u64 {
        self.context() + 512
    }

    /// Words that the stub's fast code uses (`fast.rs`).
    #[must_use]
    pub fn desk(self) -> u64 {
        self.context() + u64::from(super::fast::DESK)
    }

    /// The handlers' stack: address and length.
    #[must_use]
    pub fn stack(self) -> (u64, u64) {
        (self.context() + SLOT_SIZE / 2, SLOT_SIZE / 2)
    }

    /// The slot's end.
    pub(super) fn range_of_all() -> (u64, u64) {
        (SLOTS, END - SLOTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_instructions() {
        let code = code();
        let syscall = [0x0f, 0x05];
        let behind: Vec<u64> = code
            .windows(2)
            .enumerate()
            .filter(|(_, w)| *w == syscall)
            .map(|(at, _)| CODE + at as u64 + 2)
            .collect();
        assert_eq!(behind, [EVENT_IP, RETURN_IP, CALL_IP, DONE_IP, RESUME_IP, MAP_IP, MISSED_IP]);
        assert_eq!(INJECT_ADDRESS + 2, CALL_IP);
        let report = usize::try_from(DONE_ADDRESS - CODE).unwrap();
        assert_eq!(code[report..report + 5], [0xb8, 0x01, 0x10, 0, 0]);
        assert_eq!(code[..5], [0xb8, 0x00, 0x10, 0, 0]);
        assert_eq!(code[BASE.0..BASE.0 + 5], [0xf3, 0x48, 0x0f, 0xae, 0xc9]);
        assert_eq!(report, BASE.1);
        assert!(DESKS + super::super::desks::SIZE <= view_place(0) && view_place(9) <= TASK_END);
        for at in [SLOTS, END - 1] {
            assert_eq!(at >> SLOTS_SHIFT, u64::from(SLOTS_TOP));
        }
    }
}
