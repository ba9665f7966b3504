//! From a request to a running container, and to nothing again.
//!
//! Every step leaves something that the next command can tell from the
//! database, the container's lock and the supervisor's lock: whoever is killed
//! at any moment, [`Engine::collect`] finishes or undoes the work.
//!
//! | phase | lock of the container | supervisor | meaning |
//! |---|---|---|---|
//! | creating | held | | somebody makes it |
//! | creating | free | | its maker died: it is removed |
//! | running | | alive | it runs |
//! | running | free | dead | it has ended: it is settled |
//! | removing | free | | its remover died: it is removed |

mod collect;
mod connect;
mod control;
mod create;
mod error;
mod mounts;
mod remove;
mod settle;
mod start;
mod status;

pub use control::StopOptions;
pub use create::NewContainer;
pub use error::{ContainerError, CreateError, StartError};
pub use remove::RemoveOptions;
pub use start::{StartOptions, StartedContainer};
pub use status::{ContainerView, Status};

#[allow(unused_imports, reason = "named in the documentation above")]
use crate::engine::Engine;
