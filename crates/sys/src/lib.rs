//! Safe wrappers for the Linux system calls that `rustix` lacks.
//!
//! The only crate of the workspace (with the platform modules of the sentry
//! and the VM isolator) that may say `unsafe`.
#![allow(unsafe_code)]

pub mod bpf;
pub mod seccomp;
