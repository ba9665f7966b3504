//! The engine: pods, containers, handlers, lifecycle and metadata. It is a
//! library: the command uses it in its own process, with no daemon.

pub mod clock;
mod container_lock;
pub mod copy;
pub mod engine;
mod error_chain;
pub mod exec;
pub mod handlers;
pub mod identity;
mod inspect;
pub mod lifecycle;
pub mod logs;
pub mod metadata;
pub mod oci_spec;
pub mod operations;
pub mod paths;
pub mod pods;
mod processes;
pub mod request;
pub mod rootfs;
pub mod rootless;
pub mod settings;
pub mod signals;
pub mod stats;
pub mod top;
mod tree_copy;
pub mod volumes;
mod watch;

pub use container_lock::LockError;
pub use engine::{Engine, EngineOptions, OpenError};
pub use error_chain::error_chain;
pub use tree_copy::CopyTreeError;

/// A container's supervisor, as those who attach to it know it.
pub mod supervisor {
    pub use caisson_shim::client::{
        Attachment, ClientError, Container as Shim, ExecStdio, Input, Output, Piece,
    };
    pub use caisson_shim::{AttachSpec, Fault, FaultKind, OnStall};
}
