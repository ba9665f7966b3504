//! Pods as an orchestrator asks for them.
//!
//! [`Pods`] belongs to a process that stays: it keeps what it knows in memory,
//! fed by the supervisors. Everything that it needs after a crash is in the
//! database and in the pods' directories. All calls block; any number of
//! threads may be in it at once. A call that was begun is to be run to its end,
//! whether its client is still there or not: retries join it.

mod cgroups;
mod check;
mod error;
mod exec;
pub(crate) mod figures;
mod journal;
mod lifecycle;
mod names;
mod namespaces;
mod network;
pub mod request;
mod runtime;
pub mod session;
mod shared_memory;
mod spec;
mod subscribers;
mod table;
pub mod view;
mod watch;

pub use error::{ErrorKind, PodError};
pub use exec::Connection;

use std::path::PathBuf;
use std::sync::Arc;

use caisson_shim::client::{Container, Shim, connect};

use crate::engine::Engine;
use crate::operations::{Joined, Operation, Operations};
use figures::{Files, Samples};
use subscribers::Subscribers;
use table::Table;
use view::OperationView;
use watch::Watcher;

/// The engine of pods. Clones are the same engine.
#[derive(Clone, Debug)]
pub struct Pods {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    engine: Engine,
    table: Table,
    operations: Operations<String, Failure>,
    subscribers: Subscribers,
    watcher: Watcher,
    samples: Samples,
    files: Files,
}

/// An error for those who only waited.
#[derive(Clone, Debug)]
struct Failure {
    kind: ErrorKind,
    message: String,
}

/// An operation, as the work in it tells where it is.
type Step<'a> = Operation<'a, String, Failure>;

impl Pods {
    /// Takes over the pods of `engine`: finds those that an earlier process
    /// left, learns what ended meanwhile, and finishes or undoes what was half
    /// done. Only one process at a time may do so with a state directory.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn open(engine: Engine) -> Result<Self, PodError> {
        let watcher = Watcher::new()?;
        let pods = Self {
            shared: Arc::new(Shared {
                engine,
                table: Table::default(),
                operations: Operations::default(),
                subscribers: Subscribers::default(),
                watcher,
                samples: Samples::default(),
                files: Files::default(),
            }),
        };
        pods.recover()?;
        pods.start_watching()?;
        Ok(pods)
    }

    /// What lies below: images, settings, handlers.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    /// Operations that run now, the oldest first.
    #[must_use]
    pub fn operations(&self) -> Vec<OperationView> {
        self.shared.operations.list()
    }

    fn table(&self) -> &Table {
        &self.shared.table
    }

    /// Runs `work`, or waits for who does the same already.
    fn operate(
        &self,
        name: &'static str,
        key: &str,
        work: impl FnOnce(&Step<'_>) -> Result<String, PodError>,
    ) -> Result<String, PodError> {
        let mut own = None;
        let joined = self.shared.operations.run(name, key, |step| {
            work(step).map_err(|error| {
                let failure = Failure { kind: error.kind(), message: error.to_string() };
                own = Some(error);
                failure
            })
        });
        match joined {
            Joined::Ran(Ok(done)) | Joined::Waited(Ok(done)) => Ok(done),
            Joined::Ran(Err(failure)) | Joined::Waited(Err(failure)) => {
                let Failure { kind, message } = failure;
                Err(own.unwrap_or(PodError::Joined { kind, message }))
            }
            Joined::Abandoned => Err(PodError::failed(name, "whoever did it ended early")),
        }
    }

    fn pod_dir(&self, pod: &str) -> PathBuf {
        self.engine().paths.pod(pod)
    }

    /// A pod's supervisor, if it listens.
    fn shim(&self, pod: &str) -> Result<Shim, PodError> {
        Ok(connect(&self.pod_dir(pod))?)
    }

    /// A container, as its supervisor offers it.
    fn live_container(&self, pod: &str, container: &str) -> Result<Container, PodError> {
        Ok(self.shim(pod)?.container(container))
    }
}
