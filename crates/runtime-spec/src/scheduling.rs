//! `process.scheduler`, `process.ioPriority`, `process.execCPUAffinity`.

use crate::lenient::{empty_as_none, is_default, null_as_default};
use crate::names::closed_set;
use serde::{Deserialize, Serialize};

/// Arguments of `sched_setattr(2)`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Scheduler {
    /// Scheduling policy.
    pub policy: SchedulerPolicy,
    /// Nice value, −20..=19, of `SCHED_OTHER` and `SCHED_BATCH`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub nice: i32,
    /// Static priority of `SCHED_FIFO` and `SCHED_RR`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub priority: i32,
    /// Flags.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<SchedulerFlag>,
    /// Nanoseconds of CPU in each period (`SCHED_DEADLINE`).
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub runtime: u64,
    /// Relative deadline in nanoseconds (`SCHED_DEADLINE`).
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub deadline: u64,
    /// Period in nanoseconds (`SCHED_DEADLINE`).
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub period: u64,
}

closed_set! {
    /// Scheduling policies.
    pub enum SchedulerPolicy {
        Other = "SCHED_OTHER",
        Fifo = "SCHED_FIFO",
        Rr = "SCHED_RR",
        Batch = "SCHED_BATCH",
        Iso = "SCHED_ISO",
        Idle = "SCHED_IDLE",
        Deadline = "SCHED_DEADLINE",
    }
}

impl SchedulerPolicy {
    /// The policy's number in `linux/sched.h`; `SCHED_ISO` is reserved there
    /// and no kernel implements it.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Other => 0,
            Self::Fifo => 1,
            Self::Rr => 2,
            Self::Batch => 3,
            Self::Iso => 4,
            Self::Idle => 5,
            Self::Deadline => 6,
        }
    }
}

closed_set! {
    /// Flags of `struct sched_attr`.
    pub enum SchedulerFlag {
        ResetOnFork = "SCHED_FLAG_RESET_ON_FORK",
        Reclaim = "SCHED_FLAG_RECLAIM",
        DlOverrun = "SCHED_FLAG_DL_OVERRUN",
        KeepPolicy = "SCHED_FLAG_KEEP_POLICY",
        KeepParams = "SCHED_FLAG_KEEP_PARAMS",
        UtilClampMin = "SCHED_FLAG_UTIL_CLAMP_MIN",
        UtilClampMax = "SCHED_FLAG_UTIL_CLAMP_MAX",
    }
}

impl SchedulerFlag {
    /// The flag's bit in `linux/sched.h`.
    #[must_use]
    pub const fn bit(self) -> u64 {
        match self {
            Self::ResetOnFork => 0x01,
            Self::Reclaim => 0x02,
            Self::DlOverrun => 0x04,
            Self::KeepPolicy => 0x08,
            Self::KeepParams => 0x10,
            Self::UtilClampMin => 0x20,
            Self::UtilClampMax => 0x40,
        }
    }
}

/// Arguments of `ioprio_set(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub struct IoPriority {
    /// I/O scheduling class.
    pub class: IoPriorityClass,
    /// Priority within the class, 0 (highest) to 7.
    #[serde(default, deserialize_with = "null_as_default")]
    pub priority: i32,
}

closed_set! {
    /// I/O scheduling classes.
    pub enum IoPriorityClass {
        Rt = "IOPRIO_CLASS_RT",
        Be = "IOPRIO_CLASS_BE",
        Idle = "IOPRIO_CLASS_IDLE",
    }
}

impl IoPriorityClass {
    /// The class's number in `linux/ioprio.h`.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Rt => 1,
            Self::Be => 2,
            Self::Idle => 3,
        }
    }
}

/// CPU lists (`cpuset(7)`, List format) of processes started by `exec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct CpuAffinity {
    /// Affinity while the runtime moves the process into its cgroup.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub initial: Option<String>,
    /// Affinity of the process itself.
    #[serde(
        rename = "final",
        default,
        deserialize_with = "empty_as_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub final_: Option<String>,
}
