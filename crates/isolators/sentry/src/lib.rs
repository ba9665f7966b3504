//! `caisson-sentry`: a Linux kernel in user space. Guest programs run natively
//! in processes whose every system call is decided here; see `platform` for the
//! wall, and the chapter of ARCHITECTURE.md.

// What can be sent to other threads is found out through tasks, mounts and what they hold.
#![recursion_limit = "256"]

mod control;
pub mod ipc;
pub mod kernel;
pub mod launch;
pub mod limits;
pub mod loader;
pub mod log;
pub mod machine;
pub mod mm;
pub mod net;
pub mod oci;
mod orders;
pub mod panic_report;
pub mod platform;
pub mod settings;
mod share;
pub mod signal;
mod stubs;
pub mod syscalls;
pub mod task;
pub mod time;
pub mod vfs;
pub mod wall;
pub mod workers;

pub use launch::{LaunchError, Program, run};
pub use task::CapabilitySets;
