//! The seam between what runs containers and what asks for them.
//!
//! An [`Isolator`] makes [`Sandbox`]es; a sandbox holds [`Container`]s. The OCI
//! command line and the pod supervisor know these traits only, never an engine.
//! A stand-alone OCI container is a sandbox of one, whose ids are equal.

mod error;
mod exit;
mod id;
mod request;
mod status;
mod traits;

pub use error::SandboxError;
pub use exit::ExitStatus;
pub use id::{ContainerId, InvalidId};
pub use request::{ConsoleSocket, ContainerRequest, ExecRequest, SandboxRequest, SpawnedProcess};
pub use status::{ContainerInfo, ContainerStatus};
pub use traits::{Container, Isolator, Overhead, Resources, Sandbox};
