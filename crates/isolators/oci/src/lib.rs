//! Runtimes that others made, such as runc, crun and youki, as an isolator.
//!
//! [`OciIsolator`] implements the seam of `caisson-isolator` by calling a
//! program that has runc's command line. What the program says about failures
//! is passed on in its own words; its answers are capped and its time is
//! limited. What it can't be trusted with is done without it: a container's
//! processes and counters are found by its cgroup, its end by its first
//! process, and what a runtime that was killed or has failed leaves behind is
//! killed and removed by the same means.
//!
//! It must be used from processes with a single thread: the program is started
//! by a fork. A caller that makes a container or runs a further process becomes
//! a subreaper (prctl(2), `PR_SET_CHILD_SUBREAPER`), as the runtime ends and the
//! processes that it has started are to be the caller's children.

mod console;
mod container;
mod create;
mod isolator;
mod message;
mod removal;
mod resources;
mod runtime;
mod sandbox;
mod state;

pub use isolator::{NAME, OciIsolator};
pub use runtime::Settings;
