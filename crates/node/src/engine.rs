//! The engine: one node's containers, used by any number of processes at once.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use caisson_image::{QuotaPolicy, Store, StoreError, StoreSettings};
use caisson_net::{NetSettings, Network, NetworkError};
use caisson_shim::Description;

use crate::handlers::{Descriptions, Handler, HandlerError, Handlers};
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
    configured: RwLock<Configured>,
    pub(crate) rootless: bool,
    pub(crate) exit_command: Vec<String>,
    metadata: Mutex<Metadata>,
    store: OnceLock<Store>,
    descriptions: Descriptions,
}

/// What [`Engine::reload`] replaces.
#[derive(Clone, Debug)]
struct Configured {
    settings: Arc<Settings>,
    handlers: Arc<Handlers>,
}

impl Configured {
    fn new(settings: Settings) -> Result<Self, HandlerError> {
        let handlers = Arc::new(Handlers::new(&settings)?);
        Ok(Self { settings: Arc::new(settings), handlers })
    }
}

impl Engine {
    /// Opens the engine; makes its directories where there are none. Images and
    /// networks are opened when they are first needed.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(options: EngineOptions) -> Result<Self, OpenError> {
        let EngineOptions { paths, settings, rootless, exit_command } = options;
        let configured = RwLock::new(Configured::new(settings)?);
        let paths = paths.prepare()?;
        let metadata = Mutex::new(Metadata::open(&paths.database())?);
        let store = OnceLock::new();
        let descriptions = Descriptions::default();
        Ok(Self { paths, configured, rootless, exit_command, metadata, store, descriptions })
    }

    /// Where state is kept.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// What the administrator set.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.configured().settings
    }

    /// The handlers.
    #[must_use]
    pub fn handlers(&self) -> Arc<Handlers> {
        self.configured().handlers
    }

    /// What a handler's engine says of itself.
    #[must_use]
    pub fn describe(&self, handler: &Handler) -> Arc<Description> {
        self.descriptions.of(handler, &self.paths)
    }

    /// Goes on with `settings`: handlers, folders of CNI, logs. Where state is
    /// kept, and the images' quota, stay as they were when the engine was opened.
    ///
    /// # Errors
    /// [`HandlerError`]; then the old settings hold.
    pub fn reload(&self, settings: Settings) -> Result<(), HandlerError> {
        let new = Configured::new(settings)?;
        *self.configured.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    fn configured(&self) -> Configured {
        self.configured.read().unwrap_or_else(PoisonError::into_inner).clone()
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
        settings.quota = self.settings().storage.quota;
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
        let configured = self.settings();
        if let Some(dirs) = &configured.network.cni_conf_dirs {
            settings.cni_conf_dirs.clone_from(dirs);
        }
        if let Some(dirs) = &configured.network.cni_bin_dirs {
            settings.cni_bin_dirs.clone_from(dirs);
        }
        if let Some(seconds) = configured.network.cni_plugin_timeout {
            settings.plugin_deadline = Duration::from_secs(seconds.max(1));
        }
        Network::open(settings)
    }
}
