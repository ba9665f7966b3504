//! `linux.seccomp` of an OCI configuration as a classic BPF program.
//!
//! [`Filter::compile`] does what runc does with libseccomp, without it: the
//! program returns the same action for every architecture, call number and
//! argument. Three things differ, on purpose (libseccomp 2.5):
//!
//! - Where conditions with *different* actions hold at once, the first rule in
//!   the profile decides; there the order of an internal tree does.
//! - Several rules that compare one argument by order mean what they say;
//!   there they can match arguments that none of them matches.
//! - Rules for calls that an architecture lacks are skipped there, but can
//!   make the filter compare the architecture instead of the call number.
//!
//! Behaviour that is easy to be surprised by, all of it libseccomp's or runc's:
//!
//! - A rule without conditions outranks rules with conditions for that call.
//!   Of several without, the first counts. Rules whose action is the default
//!   don't count at all.
//! - Two conditions on the same argument make the conditions of their rule
//!   alternatives.
//! - On x86, x32 and arm only the low 32 bits of arguments and constants are
//!   compared.
//! - On x86, rules for socket and System V IPC calls hold for `socketcall` and
//!   `ipc` as well. The condition on the call's argument 0 is dropped there
//!   (argument 0 selects the call), others compare the raw arguments of the
//!   multiplexing call. A profile that filters `socket` by domain therefore
//!   doesn't hold on x86 unless it lists `socketcall` with another action.
//! - Calls of architectures outside the list kill the thread. On x86_64 that
//!   includes x32 calls unless x32 is in the list. The native architecture is
//!   always in it.
//! - Unless the default action lets calls run, calls with a number larger than
//!   any that the profile mentions get `ENOSYS`, whatever the default is.
//! - Unknown call names are ignored, with a [`Warning`]. So are architectures
//!   that the machine can't run.

mod action;
mod arch;
mod compile;
mod conditions;
mod docker_default;
mod emit;
mod error;
mod filter;
pub mod notify;
mod policy;
mod ranges;
mod syscalls;
mod table;

pub use arch::{Arch, Machine, X32_BIT};
pub use caisson_sys::seccomp::{FilterFlags, SockFilter};
pub use docker_default::docker_default;
pub use error::{SeccompError, Warning};
pub use filter::Filter;
pub use syscalls::{syscall_names, syscall_number};
