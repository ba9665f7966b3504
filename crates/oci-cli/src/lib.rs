//! The runc-compatible command line, once, over any [`caisson_isolator::Isolator`].
//!
//! Flags, outputs, exit codes and the log format are those of runc 1.2 and
//! later, so that its callers (docker, podman with conmon, CRI-O, containerd's
//! shim) can run another engine without knowing.

mod clock;
mod commands;
mod failure;
mod flags;
mod help;
mod invocation;
mod launch;
mod log;
mod output;
mod runtime;

pub use runtime::{EngineFlag, Runtime, RuntimeOptions, main};
