//! Safe wrappers for the Linux system calls that `rustix` lacks.
//!
//! The only crate of the workspace (with the platform modules of the sentry
//! and the VM isolator) that may say `unsafe`.
#![allow(unsafe_code)]

pub mod bpf;
pub mod clone;
pub mod descriptors;
mod early_protect;
pub mod entry;
pub mod exec;
pub mod file_lock;
pub mod interface;
pub mod keyring;
pub mod landlock;
pub mod mount_attr;
pub mod namespace_holder;
pub mod netlink;
pub mod process_stat;
pub mod program_text;
pub mod protect;
pub mod sched;
pub mod seccomp;
pub mod signal_fd;
pub mod signal_names;
pub mod signals;
pub mod unshare;

use std::io;

/// The result of a raw system call as `io::Result`.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
