//! The engine: pods, containers, handlers, lifecycle and metadata. It is a
//! library: the command uses it in its own process, with no daemon.

pub mod handlers;
pub mod paths;
pub mod request;
pub mod settings;
