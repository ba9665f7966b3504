//! Why a profile can't become a filter.

use caisson_runtime_spec::SeccompArch;
use std::fmt;

/// Why a profile can't become a filter. Rules are counted from 0.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SeccompError {
    /// The program runs on a CPU for which there is no number table.
    #[error("linux.seccomp: filters can't be compiled for this CPU architecture")]
    UnsupportedMachine,
    /// A rule names a call by an empty string.
    #[error("linux.seccomp.syscalls[{rule}].names: an empty string is not a system call")]
    EmptyName {
        /// The rule.
        rule: usize,
    },
    /// A condition is on an argument that no call has.
    #[error(
        "linux.seccomp.syscalls[{rule}].args: index is {index}, but calls have arguments 0 to 5"
    )]
    ArgumentIndex {
        /// The rule.
        rule: usize,
        /// The index that it names.
        index: u32,
    },
    /// A rule's errno is larger than the kernel can return.
    #[error("linux.seccomp.syscalls[{rule}].errnoRet: {value} is larger than 4095")]
    ErrnoRange {
        /// The rule.
        rule: usize,
        /// The errno that it names.
        value: u32,
    },
    /// The default errno is larger than the kernel can return.
    #[error("linux.seccomp.defaultErrnoRet: {value} is larger than 4095")]
    DefaultErrnoRange {
        /// The errno that the profile names.
        value: u32,
    },
    /// Notification is the default, so it would stop the container's own
    /// set-up.
    #[error("linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action")]
    NotifyByDefault,
    /// Notification of write(2) would stop the container's own set-up.
    #[error("linux.seccomp.syscalls[{rule}]: SCMP_ACT_NOTIFY cannot be used for the write syscall")]
    NotifyWrite {
        /// The rule.
        rule: usize,
    },
    /// There are notifications, but nobody to send them to.
    #[error("linux.seccomp.listenerPath: not set, but syscalls[{rule}] has SCMP_ACT_NOTIFY")]
    NoListenerPath {
        /// The rule.
        rule: usize,
    },
    /// A flag about notifications, but there are none.
    #[error(
        "linux.seccomp.flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule with SCMP_ACT_NOTIFY"
    )]
    WaitKillableWithoutNotify,
    /// The kernel takes programs of at most 4096 instructions
    /// (`BPF_MAXINSNS`).
    #[error(
        "linux.seccomp: the filter needs {instructions} BPF instructions, the kernel takes 4096"
    )]
    TooLong {
        /// Length of the program.
        instructions: usize,
    },
}

/// A part of the profile that has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// No architecture has a call of that name, as far as this build knows.
    UnknownSyscall(String),
    /// Programs of that architecture can't run on this machine.
    ForeignArch(SeccompArch),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownSyscall(name) => write!(f, "unknown seccomp syscall {name:?} ignored"),
            Self::ForeignArch(arch) => {
                write!(f, "seccomp architecture {arch} can't run on this machine, ignored")
            }
        }
    }
}
