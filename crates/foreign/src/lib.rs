//! What engines share that have a program that somebody else made make their
//! containers: the program's call, with an end and a capped answer; the
//! configuration as it gets it; what is written down; and the container's
//! processes as the host's kernel shows them.
//!
//! It must be used from processes with a single thread: programs are started by
//! a fork.

pub mod bundle;
pub mod console;
pub mod dir;
pub mod process;
pub mod program;
pub mod record;
pub mod step;
