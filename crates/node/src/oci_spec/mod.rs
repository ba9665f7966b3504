//! The OCI configuration of a container: image and request put together.
//!
//! What an image says is a stranger's. It chooses program, variables, user
//! and directory inside the container; nothing of it becomes a path, device or
//! handler of the host.

mod build;
mod capabilities;
mod devices;
pub(crate) mod mounts;
mod namespaces;
mod process;
mod program;
mod resources;
mod seccomp_profile;
mod security;
pub mod user;

pub(crate) use build::CGROUP_PARENT;
pub use build::{SpecError, SpecInput, build};
pub use capabilities::{CapabilityError, all_capabilities, bounding_set};
pub use devices::DeviceError;
pub use mounts::EtcFiles;
pub use namespaces::{NamespacePaths, NetworkNamespace};
pub use process::{ExecProcess, exec_process};
pub use program::{ProgramError, program};
pub use resources::resources;
pub use seccomp_profile::ProfileError;

pub(crate) use capabilities::available;
pub(crate) use devices::{Devices, devices};
pub(crate) use program::set as set_variable;
pub(crate) use seccomp_profile::resolve as resolve_profile;
