//! How a node starts supervisors and talks to them. Blocking; any number of
//! threads and processes may talk to one supervisor at once.

mod attach;
mod collect;
mod container;
mod describe;
mod error;
mod events;
mod launch;
mod pod;

pub use attach::{Attachment, Input, Output, Piece, set_terminal_size};
pub use collect::{CollectError, collect};
pub use container::{Container, ExecStdio, ExitWatch, exit_record};
pub use describe::{DescribeError, describe};
pub use error::ClientError;
pub use events::Events;
pub use launch::{LaunchError, LaunchFds, Launched, find_program, launch};
pub use pod::{Shim, connect, is_alive};
