//! Scheduling, I/O priority, memory policy and personality of the caller.

use std::io;

/// The arguments of sched_setattr(2), all in its units.
#[derive(Clone, Copy, Debug, Default)]
pub struct SchedAttr {
    /// `SCHED_*`
    pub policy: u32,
    /// `SCHED_FLAG_*`
    pub flags: u64,
    /// −20 to 19.
    pub nice: i32,
    /// 1 to 99 for the real-time policies.
    pub priority: u32,
    /// Nanoseconds, `SCHED_DEADLINE`.
    pub runtime: u64,
    /// Nanoseconds, `SCHED_DEADLINE`.
    pub deadline: u64,
    /// Nanoseconds, `SCHED_DEADLINE`.
    pub period: u64,
}

#[repr(C)]
struct RawSchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets the caller's scheduling policy (sched_setattr(2)).
///
/// # Errors
/// `EPERM` without the right, `EINVAL` for values out of range.
pub fn set_scheduler(attr: &SchedAttr) -> io::Result<()> {
    let raw = RawSchedAttr {
        size: 48,
        policy: attr.policy,
        flags: attr.flags,
        nice: attr.nice,
        priority: attr.priority,
        runtime: attr.runtime,
        deadline: attr.deadline,
        period: attr.period,
    };
    // SAFETY: `raw` is laid out as version 0 of struct sched_attr, 48 bytes.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, std::ptr::from_ref(&raw), 0_u32) };
    crate::check(result).map(drop)
}

/// Sets the caller's I/O scheduling `class` (0–3) and `level` (0–7)
/// (ioprio_set(2)).
///
/// # Errors
/// `EPERM` without the right, `EINVAL` for values out of range.
pub fn set_io_priority(class: u32, level: u32) -> io::Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    let value = class << 13 | level;
    // SAFETY: takes plain numbers.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) };
    crate::check(result).map(drop)
}

/// Sets the caller's NUMA memory policy: `mode` with its flags, and the bit
/// mask of nodes (set_mempolicy(2)).
///
/// # Errors
/// `EINVAL` for nodes or modes that the host lacks.
pub fn set_memory_policy(mode: u32, nodes: &[u64]) -> io::Result<()> {
    // The kernel reads maxnode - 1 bits, and takes no nodes as a null mask only.
    let (mask, bits) = match nodes {
        [] => (std::ptr::null(), 0),
        nodes => (nodes.as_ptr(), nodes.len() * 64 + 1),
    };
    // SAFETY: the mask holds the bits that `maxnode` announces.
    let result = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) };
    crate::check(result).map(drop)
}

/// Sets the caller's execution domain (personality(2)).
///
/// # Errors
/// As personality(2).
pub fn set_personality(persona: u32) -> io::Result<()> {
    // SAFETY: takes a plain number.
    let result = unsafe { libc::personality(persona.into()) };
    crate::check(result.into()).map(drop)
}
