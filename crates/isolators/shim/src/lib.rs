//! Shims that others made, such as `containerd-shim-runc-v2`, as an isolator.
//!
//! [`ShimIsolator`] implements the seam of `caisson-isolator` by speaking
//! containerd's protocol of shims as its caller does. One shim has all containers
//! of a state root, which is to be a pod's. Its answers are capped, its time is
//! limited, and what it leaves behind is killed and removed without it.
//!
//! A container's processes are the shim's children, and its end the shim's to
//! see. To the seam's callers each is the *stand-in* of one: a process of ours
//! that carries its streams, waits for its end over the protocol, and ends as it
//! did.
//!
//! It must be used from processes with a single thread: programs and stand-ins
//! are started by a fork. Its callers are subreapers, or children of one, as the
//! shim and the stand-ins outlive whoever has started them.

mod container;
mod create;
mod exec;
mod fifos;
mod isolator;
mod keeper;
mod launch;
mod pod;
mod pump;
mod removal;
mod resources;
mod sandbox;
mod settings;
mod shim;
mod standin;
mod state;
mod terminal;

pub use isolator::{NAME, ShimIsolator};
pub use settings::Settings;
