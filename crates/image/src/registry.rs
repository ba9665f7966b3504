//! The client of registries (OCI distribution-spec 1.1; Docker's HTTP API V2).
//!
//! Synchronous, safe to share between threads. What a server answers is limited
//! in length and in time; content is verified by digest where it is read whole.

mod agents;
mod blob;
mod challenge;
mod credentials;
mod error;
mod exchange;
mod hosts;
mod login;
mod manifests;
mod retry;
mod settings;
mod tags;
mod upload;
mod url;

use std::sync::Arc;

pub use blob::BlobStream;
pub use credentials::{AuthFiles, Credential, CredentialError};
pub use error::{RegistryError, RegistryFailure};
pub use login::CheckLoginError;
pub use settings::RegistrySettings;
pub use upload::{Source, Uploaded};

use exchange::Exchange;

/// Talks to registries. Keeps connections, tokens and what it found out of
/// servers for its life; clones share them.
#[derive(Clone)]
pub struct RegistryClient {
    exchange: Arc<Exchange>,
}

impl RegistryClient {
    /// A client. Files are read, and servers asked, when they are first needed.
    #[must_use]
    pub fn new(settings: RegistrySettings) -> Self {
        Self { exchange: Arc::new(Exchange::new(settings)) }
    }
}

impl std::fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryClient").field("settings", &self.exchange.settings).finish()
    }
}

/// `repository:NAME:ACTIONS` for a token.
fn scope(repository: &str, actions: &str) -> String {
    format!("repository:{repository}:{actions}")
}
