//! How a node starts supervisors and talks to them. Blocking; any number of
//! threads and processes may talk to one supervisor at once.

mod attach;
mod calls;
mod collect;
mod error;
mod launch;

pub use attach::{Attachment, Input, Output, Piece};
pub use calls::{ExecStdio, ExitWatch, Shim, connect, is_alive};
pub use collect::{CollectError, collect};
pub use error::ClientError;
pub use launch::{LaunchError, LaunchFds, Launched, find_program, launch};
