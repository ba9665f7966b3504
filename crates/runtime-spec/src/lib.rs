//! OCI runtime-spec 1.3 for Linux: types, loading, validation.
//!
//! [`Spec`] is config.json, field by field: names are the JSON names in snake
//! case (`type` is `kind`), type names are those of the specification's Go
//! types without `Linux`. Optional lists and maps are empty when absent.

mod capabilities;
mod container_path;
mod default_devices;
mod error;
pub mod features;
mod hooks;
pub mod index_list;
mod lenient;
mod linux;
mod load;
mod mount_flags;
pub mod mount_options;
mod mounts;
mod names;
mod objects;
mod process;
mod resources;
mod scheduling;
mod seccomp;
mod spec;
mod state;
pub mod sysctl;
pub mod template;
mod validate;

pub use capabilities::{Capabilities, Capability, CapabilitySet};
pub use container_path::clean_path;
pub use default_devices::{DEFAULT_DEVICES, DEVICE_LINKS};
pub use error::ConfigError;
pub use hooks::{Hook, Hooks};
pub use linux::{
    Device, DeviceKind, IntelRdt, Linux, MemoryPolicy, MemoryPolicyFlag, MemoryPolicyMode,
    Namespace, NamespaceKind, NetDevice, Personality, PersonalityDomain, Propagation, TimeOffset,
    TimeOffsets,
};
pub use load::SIZE_LIMIT;
pub use mount_options::MountOptions;
pub use mounts::{IdMapping, Mount};
pub use process::{ConsoleSize, Process, Rlimit, RlimitKind, User};
pub use resources::{
    BlockIo, Cpu, DeviceCgroup, DeviceRuleKind, HugepageLimit, InterfacePriority, Memory, Network,
    Pids, Rdma, Resources, ThrottleDevice, WeightDevice,
};
pub use scheduling::{
    CpuAffinity, IoPriority, IoPriorityClass, Scheduler, SchedulerFlag, SchedulerPolicy,
};
pub use seccomp::{
    Seccomp, SeccompAction, SeccompArch, SeccompArg, SeccompFlag, SeccompOperator, Syscall,
};
pub use spec::{Root, Spec};
pub use state::{ContainerProcessState, SECCOMP_FD_NAME, State, Status};

pub use validate::{validate, validate_process, validate_resources, validate_rootless, warnings};

/// The version of the specification that the types follow.
pub const VERSION: &str = "1.3.0";
