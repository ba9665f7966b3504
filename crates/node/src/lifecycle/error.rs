//! Why something could not be done with a container.

use std::path::PathBuf;

use caisson_image::StoreError;
use caisson_net::{DnsError, NetworkError, PortMappingError};
use caisson_shim::client::{ClientError, CollectError, LaunchError};

use crate::container_lock::LockError;
use crate::handlers::HandlerError;
use crate::identity::RandomError;
use crate::metadata::MetadataError;
use crate::oci_spec::{CapabilityError, ProgramError, SpecError};
use crate::request::OptionError;
use crate::rootfs::RootfsError;
use crate::volumes::VolumeError;

/// Why a container could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The name is no name.
    #[error(
        "{0:?} is no name of a container: A-Z a-z 0-9 _ . - may be in it, a letter or digit first"
    )]
    Name(String),
    /// What would run.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The handler.
    #[error(transparent)]
    Handler(#[from] HandlerError),
    /// Capabilities.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    /// An option.
    #[error("{what} {source}")]
    Option {
        /// Which.
        what: &'static str,
        /// Why.
        source: OptionError,
    },
    /// A published port.
    #[error(transparent)]
    Port(#[from] PortMappingError),
    /// The network.
    #[error("{0}")]
    Network(String),
    /// Options that contradict each other.
    #[error("{0}")]
    Conflict(&'static str),
    /// Something that this build can't do.
    #[error("{0} is not in this build")]
    Unsupported(&'static str),
    /// A path of the host that is to be mounted.
    #[error("cannot mount {path}: {source}")]
    Source {
        /// The path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The image.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The container's lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The root file system.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// A directory of the engine's.
    #[error("cannot make {path}: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Why a container could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It runs already, or is being removed.
    #[error("container {name} is {status}")]
    WrongStatus {
        /// The container.
        name: String,
        /// What it is.
        status: &'static str,
    },
    /// The handler.
    #[error(transparent)]
    Handler(#[from] HandlerError),
    /// Its configuration.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The container that lends a namespace.
    #[error("cannot use the namespaces of container {name}: {reason}")]
    Lender {
        /// The container.
        name: String,
        /// Why.
        reason: String,
    },
    /// A published port.
    #[error(transparent)]
    Port(#[from] PortMappingError),
    /// Its network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// An option of its network.
    #[error("{0}")]
    NetworkOption(String),
    /// Names.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// The image.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The image is gone.
    #[error("the image of the container is gone: {0}")]
    Image(String),
    /// The root file system.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// A namespace can't be made.
    #[error("cannot make a network namespace: {0}")]
    Namespace(std::io::Error),
    /// A file of the engine's.
    #[error("cannot write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The supervisor's program is missing.
    #[error(
        "caisson-shim is missing: it belongs beside caisson, into ../libexec/caisson, or on the PATH"
    )]
    NoSupervisor,
    /// The supervisor did not come up, or could not make the container.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The supervisor could not start the program.
    #[error(transparent)]
    Supervisor(#[from] ClientError),
    /// The database.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The container's lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What an earlier start left can't be removed.
    #[error(transparent)]
    Leftover(Box<ContainerError>),
}

impl StartError {
    /// The exit code that docker and podman give: 127 where the program does
    /// not exist in the container, 126 where it can't be executed, else 125.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Launch(LaunchError::Failed(fault)) => fault.exit_code(),
            Self::Supervisor(ClientError::Fault(fault)) => fault.exit_code(),
            _ => 125,
        }
    }
}

/// Why something could not be done with a container that is there.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// It is not in the state for it.
    #[error("container {name} is {status}: {hint}")]
    WrongStatus {
        /// The container.
        name: String,
        /// What it is.
        status: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// The new name is no name.
    #[error(
        "{0:?} is no name of a container: A-Z a-z 0-9 _ . - may be in it, a letter or digit first"
    )]
    Name(String),
    /// The database; also that there is no such container.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// Its lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Its supervisor.
    #[error(transparent)]
    Supervisor(#[from] ClientError),
    /// What a dead supervisor left.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// Its network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The image store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A directory of the engine's.
    #[error("cannot remove {path}: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the engine's.
    #[error("cannot read {path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The supervisor's program is missing.
    #[error(
        "caisson-shim is missing: it belongs beside caisson, into ../libexec/caisson, or on the PATH"
    )]
    NoSupervisor,
    /// A supervisor whose launcher is dead stays.
    #[error("the supervisor of a start that was broken off still holds {pod}: try again")]
    Lingering {
        /// The pod's directory.
        pod: PathBuf,
    },
}
