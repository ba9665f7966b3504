//! The native isolator: a container behind namespaces, cgroups, capabilities,
//! seccomp and, where the host has them, AppArmor or SELinux.
//!
//! [`NativeIsolator`] implements the seam of `caisson-isolator`. It must be
//! used from single-threaded processes only: it forks without executing, as
//! the container's first process is a copy of the caller.

mod affinity;
mod channel;
mod container;
mod create;
mod exec;
mod fault;
mod features;
mod guest;
mod hooks;
mod host_mounts;
mod init;
mod intel_rdt;
mod isolator;
mod lsm;
mod maps;
mod namespaces;
mod net_devices;
mod netlink;
mod oom_score;
mod pid_namespace;
mod resources;
mod sandbox;
mod seccomp_listener;
mod sources;
mod state;
mod state_document;
mod step;
mod successor;

pub use guest::{CONTROL, Guest, GuestKernel, StartReport};
pub use isolator::{NAME, NativeIsolator, Settings};

/// Says something on standard error that is no reason to fail.
fn warn(message: &dyn std::fmt::Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "warning: {message}");
}
