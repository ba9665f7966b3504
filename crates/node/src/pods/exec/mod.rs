//! Programs in containers that run, their streams, and a pod's ports.

mod attach;
mod descendants;
mod forward;
mod process;
mod streams;
mod sync;

pub use forward::Connection;
