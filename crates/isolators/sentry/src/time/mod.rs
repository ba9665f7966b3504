//! Time: what is to happen later, timers, and the processor time of processes.

mod alarms;
mod process;
mod timer;
mod usage;

pub use alarms::{Alarms, Key};
pub use process::{Notify, PosixTimer, ProcessTimers};
pub use timer::{Source, Timer};
pub use usage::{Accounts, Usage};
