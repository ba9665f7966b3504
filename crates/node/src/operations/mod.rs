//! Operations that several callers may ask for at once.
//!
//! Each has a key. Who asks for one that runs already waits for it and gets its
//! result: a retry after a time-out joins, and nothing is done twice. Each is
//! at a named step with a limit, for whoever wonders what it is waiting for.

mod record;
mod table;

pub use record::{OperationRecord, StepRecord, recorded};
pub use table::{Joined, Operation, Operations, Outcome};
