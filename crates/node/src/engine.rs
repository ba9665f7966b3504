//! The engine: one node's containers, used by any number of processes at once.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use caisson_image::{QuotaPolicy, Store, StoreError, StoreSettings};
use caisson_net::{NetSettings, Network, NetworkError};

use crate::handlers::{HandlerError, Handlers};
use crate::metadata::{Metadata, MetadataError};
use crate::paths::{Paths, PathsError};
use crate::settings::Settings;

/// How an engine is opened.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Where state is kept.
    pub paths: Paths,
    /// What the administrator set.
    pub settings: Settings,
    /// Whether the engine is root of a user namespace only.
    pub rootless: bool,
    /// What a supervisor runs when a container has ended: program and first
    /// arguments; the container's id follows. Empty: nothing.
    pub exit_command: Vec<String>,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its directories.
    #[error(transparent)]
    Paths(#[from] PathsError),
    /// Its database.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// Its handlers.
    #[error(transparent)]
    Handlers(#[from] HandlerError),
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    pub(crate) paths: Paths,
    pub(crate) settings: Settings,
    pub(crate) rootless: bool,
    pub(crate) exit_command: Vec<String>,
    handlers: Handlers,
    metadata: Mutex<Metadata>,
    store: OnceLock<Store>,
}

impl Engine {
    /// Opens the engine; makes its directories where there are none. Images and
    /// networks are opened when they are first needed.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(options: EngineOptions) -> Result<Self, OpenError> {
        let EngineOptions { paths, settings, rootless, exit_command } = options;
        let handlers = Handlers::new(&settings)?;
        let paths = paths.prepare()?;
        let metadata = Mutex::new(Metadata::open(&paths.database())?);
        let store = OnceLock::new();
        Ok(Self { paths, settings, rootless, exit_command, handlers, metadata, store })
    }

    /// Where state is kept.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// What the administrator set.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The handlers.
    #[must_use]
    pub fn handlers(&self) -> &Handlers {
        &self.handlers
    }

    /// Whether the engine is root of a user namespace only.
    #[must_use]
    pub fn rootless(&self) -> bool {
        self.rootless
    }

    /// The images.
    ///
    /// # Errors
    /// If the store can't be opened.
    pub fn store(&self) -> Result<&Store, StoreError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let mut settings = StoreSettings::at(self.paths.root());
        settings.quota = self.settings.storage.quota;
        settings.quota_policy = QuotaPolicy::Evict;
        let store = Store::open(settings)?;
        Ok(self.store.get_or_init(|| store))
    }

    /// The database. Not to be held over anything that takes time.
    pub(crate) fn metadata(&self) -> MutexGuard<'_, Metadata> {
        // A thread that panicked has left no transaction behind.
        self.metadata.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes away what the built-in network keeps between containers, the
    /// bridge and its rules, if no container is on it.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub fn prune_network(&self) -> Result<(), NetworkError> {
        if !self.rootless {
            self.network()?.remove_bridge()?;
        }
        Ok(())
    }

    pub(crate) fn network(&self) -> Result<Network, NetworkError> {
        let mut settings = NetSettings::new(self.paths.net(), self.rootless);
        if let Some(dirs) = &self.settings.network.cni_conf_dirs {
            settings.cni_conf_dirs.clone_from(dirs);
        }
        if let Some(dirs) = &self.settings.network.cni_bin_dirs {
            settings.cni_bin_dirs.clone_from(dirs);
        }
        Network::open(settings)
    }
}
