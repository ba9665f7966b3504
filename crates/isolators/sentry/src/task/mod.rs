//! Processes and threads of the guest.

mod access;
pub mod aio;
pub mod bpf;
pub mod capabilities;
pub mod exit;
pub mod filter;
mod fork;
mod id_ranges;
mod leaving;
pub mod limits;
pub mod namespaces;
pub mod nesting;
pub mod notice;
mod outer_ids;
pub mod pid_namespace;
pub mod posting;
pub mod process;
pub mod queued;
mod robust;
mod stop;
pub mod thread;
pub mod trace;
mod tree;
mod unmade;
pub mod user_namespace;
pub mod wait;
pub mod waiter;

pub use access::{may_trace, sees};
pub use capabilities::{CapabilitySets, Caps, FileCaps, SecureBits};
pub use exit::{dismiss, end_container, exit_process, exit_thread, retire, stub_ended};
pub use fork::{CloneRequest, clone};
pub use outer_ids::OuterIds;
pub use process::{Credentials, Process, Status};
pub use stop::{Stop, enter_stop, go_on, members, park, recount, signal_group, stop};
pub use thread::{Order, Restart, Thread};
pub use tree::{Row, Tree};
pub use wait::{Change, Spent, WaitFor, WaitOptions, WaitResult};
pub use waiter::WaitQueue;

/// A guest's id of a process or thread.
pub type Pid = i32;
