//! The engine: pods, containers, handlers, lifecycle and metadata. It is a
//! library: the command uses it in its own process, with no daemon.

pub mod clock;
pub mod handlers;
pub mod identity;
pub mod metadata;
pub mod oci_spec;
pub mod paths;
pub mod request;
pub mod settings;
pub mod signals;
