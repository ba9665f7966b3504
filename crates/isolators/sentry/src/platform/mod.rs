//! How guest code runs on the host without reaching it.
//!
//! Guest code runs natively in *stub* processes, one for each address space.
//! Their filter lets four instructions through: `rt_sigreturn` at two of the stub's
//! own addresses, which only loads registers; `mmap` at a third, if it is of private memory
//! below the stub; and at the fourth that, `munmap`, `mprotect` and two kinds of `madvise`,
//! below the stub as well. Every other call, whatever its number, registers
//! or instruction, stops the thread and becomes an [`Event`].
//!
//! (`uretprobe`, call 335, is past every filter on hosts since Linux 6.14; outside
//! of a probe, which a stub never has, all it does is SIGILL.)
//!
//! The stub's few instructions (`stub.rs`) serve two ends: they report a signal
//! with its register frame, and they make a single call that the sentry ordered,
//! which it compares with the registers that the kernel reports before it lets
//! that call go on. Nothing is read from guest memory for that decision.
//!
//! Everything that a guest can write, frames of the stub included, is its own
//! business: the sentry reads it once, by a call that can fail.
#![allow(unsafe_code)]

pub mod affinity;
mod bpf;
pub mod broker_calls;
pub mod clock;
pub mod context;
pub mod desks;
pub mod fast;
mod filter;
pub mod host_calls;
pub mod host_options;
pub mod host_socket;
mod listener;
mod machine;
mod memory;
mod packet;
pub mod post;
pub mod postable;
mod process;
pub mod stand_in_calls;
mod stub;
mod vdso;
mod window;
mod zygote;

pub use filter::may_be_made;
pub use listener::{Event, EventKind, Listener};
pub use machine::{auxiliary, random};
pub use memory::{Fault, GuestMemory};
pub use packet::open_packet_socket;
pub use process::{
    Counted, HostPid, HostTid, StubProcess, copy_of, reap_stray, signal_first_thread, wait_for_any,
};
pub use stub::{
    GUEST_END, INJECT_ADDRESS, KICK, MAP_FLAGS, MAP_LIMIT, MAX_SLOTS, Slot, TRAPPED, VIEW,
    XSTATE_OFFSET, view_place,
};
pub use vdso::{COARSE, VDSO, VDSO_SIZE};
pub use zygote::{StartError, Started, start};

/// What lies around the pieces of the stub's memory: start and length of each.
#[must_use]
pub fn outside() -> [(u64, u64); 4] {
    let (behind_code, behind_image) = (stub::CODE + 4096, VDSO + VDSO_SIZE);
    [
        (0, stub::CODE),
        (behind_code, vdso::DATA - behind_code),
        (behind_image, stub::SLOTS - behind_image),
        (stub::END, stub::TASK_END - stub::END),
    ]
}

/// A call for a stub to make: number and arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostCall {
    /// The system call's number on x86-64.
    pub number: u64,
    /// Its six arguments; those not used are zero.
    pub args: [u64; 6],
}
