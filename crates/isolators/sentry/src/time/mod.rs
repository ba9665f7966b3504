//! Time: what is to happen later, timers, and the processor time of processes.

mod alarms;
mod counts;
mod process;
mod resting;
mod thread;
mod timer;
mod usage;

pub use alarms::{Alarms, Key};
pub use counts::{Counting, Tally, sum};
pub use process::{Notify, PosixTimer, ProcessTimers};
pub use resting::Resting;
pub use thread::ThreadClock;
pub use timer::{Source, Timer};
pub use usage::{Accounts, Usage};
