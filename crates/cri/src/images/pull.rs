//! Fetching images.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use caisson_image::registry::Credential;
use caisson_image::{
    LayerState, Policy, ProgressEvent, ProgressSink, PullPolicy, PullRequest, Reference,
    RegistryClient, RegistrySettings, Store, pull,
};
use caisson_node::metadata::{Event, EventKind};
use caisson_node::pods::Pods;
use tonic::Status;

use super::flight::Flights;
use crate::config::Config;
use crate::error;
use crate::log::{Level, log};
use crate::metrics::Metrics;

/// Who pulls what. Those with other credentials never share a pull.
type Key = (String, Option<Vec<String>>);

/// The pulls of a daemon.
#[derive(Debug)]
pub(crate) struct Pulls {
    flights: Flights<Key, String>,
    metrics: Arc<Metrics>,
}

impl Pulls {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { flights: Flights::default(), metrics }
    }

    /// How many run.
    pub(crate) fn count(&self) -> usize {
        self.flights.count()
    }

    /// Fetches `reference`; the image's id. What is here is not
    /// fetched again; who asks for the same waits for the same.
    pub(super) async fn pull(
        &self,
        pods: Pods,
        config: Arc<Config>,
        reference: Reference,
        credential: Option<Credential>,
    ) -> Result<String, Status> {
        let key = (reference.to_string(), credential.as_ref().map(secret));
        let metrics = Arc::clone(&self.metrics);
        let work = move || {
            let began = Instant::now();
            let progress = Fetched::default();
            let result = match pods.engine().store() {
                Ok(store) => fetch(store, &config, &reference, credential, &progress),
                Err(failed) => Err(error::of_store(failed)),
            };
            let fetched = progress.bytes();
            if let Ok(id) = &result {
                note(&pods, "pull", id, Some(reference.familiar()));
            }
            metrics.pulled(result.is_ok(), fetched, began.elapsed());
            let (level, outcome) = match &result {
                Ok(id) => (Level::Info, id.clone()),
                Err(status) => (Level::Warn, status.message().to_owned()),
            };
            log(
                level,
                if result.is_ok() { "image pulled" } else { "image not pulled" },
                &[
                    ("image", &reference),
                    (if result.is_ok() { "id" } else { "error" }, &outcome),
                    ("bytes", &fetched),
                    ("ms", &began.elapsed().as_millis()),
                ],
            );
            result
        };
        self.flights.join(key, work).await
    }
}

/// Notes for `caisson events` what was done to an image, which stays done where
/// that fails.
pub(super) fn note(pods: &Pods, action: &str, id: &str, name: Option<String>) {
    let mut event = Event::now(EventKind::Image, action, id);
    if let Some(name) = name {
        event = event.with("name", name);
    }
    if let Err(failed) = pods.engine().note(&event) {
        log(Level::Warn, "no event is noted", &[("error", &error::chain(&failed))]);
    }
}

/// What tells one credential from another.
fn secret(credential: &Credential) -> Vec<String> {
    match credential {
        Credential::Basic { username, password } => vec![username.clone(), password.clone()],
        Credential::IdentityToken(token) => vec!["identity".into(), String::new(), token.clone()],
        Credential::RegistryToken(token) => vec!["registry".into(), String::new(), token.clone()],
    }
}

fn fetch(
    store: &Store,
    config: &Config,
    reference: &Reference,
    credential: Option<Credential>,
    progress: &dyn ProgressSink,
) -> Result<String, Status> {
    // A client for each pull: files of certificates, hosts and credentials
    // count as they are now.
    let mut settings = RegistrySettings { credential, ..RegistrySettings::default() };
    if let Some(dirs) = &config.settings.storage.certs_dirs {
        settings.certs_dirs.clone_from(dirs);
    }
    if let Some(seconds) = config.settings.serve.pull_stall_timeout {
        settings.stall_timeout = Duration::from_secs(seconds.max(1));
    }
    let policy = match &config.settings.storage.signature_policy {
        Some(file) => Some(Arc::new(
            Policy::load(file).map_err(|e| Status::failed_precondition(error::chain(&e)))?,
        )),
        None => None,
    };
    let request =
        PullRequest { when: PullPolicy::Always, policy, ..PullRequest::new(reference.clone()) };
    let client = RegistryClient::new(settings);
    let image = pull(store, &client, &request, progress).map_err(error::of_pull)?;
    Ok(image.id.to_string())
}

/// Counts the bytes of each layer that came in.
#[derive(Default)]
struct Fetched(Mutex<BTreeMap<usize, u64>>);

impl Fetched {
    fn bytes(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

impl ProgressSink for Fetched {
    fn event(&self, event: ProgressEvent<'_>) {
        if let ProgressEvent::Layer { index, state: LayerState::Downloading { done, .. }, .. } =
            event
        {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(index, done);
        }
    }
}
