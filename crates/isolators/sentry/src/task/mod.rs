//! Processes and threads of the guest.

mod exit;
mod fork;
pub mod process;
pub mod thread;
mod tree;
pub mod waiter;

pub use exit::{dismiss, exit_process, exit_thread, retire, stub_ended};
pub use fork::{CloneRequest, clone};
pub use process::{Credentials, Process, Status};
pub use thread::{Order, Restart, Thread};
pub use tree::{Row, Tree, WaitFor, WaitResult};
pub use waiter::WaitQueue;

/// A guest's id of a process or thread.
pub type Pid = i32;
