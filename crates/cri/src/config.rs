//! The settings as they are now.

use std::sync::{Arc, PoisonError, RwLock};

use caisson_node::settings::{Settings, TracingEntry};

use crate::log::{Format, Level};
use crate::trace::{ALL, Endpoint};

/// What the façade itself goes by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    /// All settings.
    pub(crate) settings: Settings,
    /// How much is logged.
    pub(crate) level: Level,
    /// In which form.
    pub(crate) format: Format,
    /// Where traces go, and how many of a million calls are traced.
    pub(crate) tracing: Option<(Endpoint, u32)>,
}

/// Why settings of the daemon can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// A word that means nothing.
    #[error("settings: serve.{key} = {value:?} is unknown; one of {known} is")]
    Word {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What there is.
        known: &'static str,
    },
    /// Metrics are for the node alone.
    #[error("settings: serve.metrics_address = {0} is not a loopback address")]
    NotLoopback(std::net::SocketAddr),
    /// Nothing can be sent there.
    #[error("settings: tracing.endpoint = {endpoint:?}: {reason}")]
    Endpoint {
        /// What was set.
        endpoint: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There are only a million in a million.
    #[error("settings: tracing.sampling_per_million = {0} is more than a million")]
    Sampling(u32),
}

impl Config {
    pub(crate) fn new(settings: Settings) -> Result<Self, InvalidConfig> {
        let word =
            |key, value: &str, known| InvalidConfig::Word { key, value: value.to_owned(), known };
        let level = match settings.serve.log_level.as_deref() {
            None => Level::default(),
            Some(text) => Level::from_word(text)
                .ok_or_else(|| word("log_level", text, "error, warn, info, debug"))?,
        };
        let format = match settings.serve.log_format.as_deref() {
            None | Some("text") => Format::Text,
            Some("json") => Format::Json,
            Some(text) => return Err(word("log_format", text, "text, json")),
        };
        match settings.serve.metrics_address {
            Some(address) if !address.ip().is_loopback() => {
                return Err(InvalidConfig::NotLoopback(address));
            }
            _ => {}
        }
        let tracing = tracing(&settings.tracing)?;
        Ok(Self { settings, level, format, tracing })
    }

    pub(crate) fn pinned(&self) -> &[String] {
        self.settings.serve.pinned_images.as_deref().unwrap_or_default()
    }
}

fn tracing(entry: &TracingEntry) -> Result<Option<(Endpoint, u32)>, InvalidConfig> {
    let per_million = entry.sampling_per_million.unwrap_or(ALL);
    if per_million > ALL {
        return Err(InvalidConfig::Sampling(per_million));
    }
    let Some(endpoint) = &entry.endpoint else { return Ok(None) };
    let parsed = Endpoint::parse(endpoint)
        .map_err(|reason| InvalidConfig::Endpoint { endpoint: endpoint.clone(), reason })?;
    Ok(Some((parsed, per_million)))
}

/// The configuration of a daemon that goes on while it is exchanged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live(Arc<RwLock<Arc<Config>>>);

impl Live {
    pub(crate) fn new(config: Config) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(config))))
    }

    pub(crate) fn now(&self) -> Arc<Config> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn exchange(&self, config: Config) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }
}

/// Keys that have another value in `new` and need a new start to count.
pub(crate) fn fixed_changes(old: &Settings, new: &Settings) -> Vec<&'static str> {
    let mut changed = Vec::new();
    let mut compare = |key, same: bool| {
        if !same {
            changed.push(key);
        }
    };
    compare("storage.root", old.storage.root == new.storage.root);
    compare("storage.run_root", old.storage.run_root == new.storage.run_root);
    compare("storage.quota", old.storage.quota == new.storage.quota);
    compare("serve.socket", old.serve.socket == new.serve.socket);
    compare("serve.streaming_port", old.serve.streaming_port == new.serve.streaming_port);
    compare("serve.metrics_address", old.serve.metrics_address == new.serve.metrics_address);
    compare("tracing", old.tracing == new.tracing);
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_checked() {
        let with = |level: Option<&str>, format: Option<&str>| {
            let mut settings = Settings::default();
            settings.serve.log_level = level.map(str::to_owned);
            settings.serve.log_format = format.map(str::to_owned);
            Config::new(settings)
        };
        assert_eq!(with(None, None).unwrap().level, Level::Info);
        assert_eq!(with(Some("debug"), Some("json")).unwrap().format, Format::Json);
        assert!(with(Some("loud"), None).unwrap_err().to_string().contains("loud"));
        assert!(with(None, Some("xml")).is_err());
        let mut settings = Settings::default();
        settings.serve.metrics_address = "0.0.0.0:9".parse().ok();
        assert!(matches!(Config::new(settings), Err(InvalidConfig::NotLoopback(_))));
    }

    #[test]
    fn what_needs_a_new_start_is_named() {
        let (old, mut new) = (Settings::default(), Settings::default());
        new.serve.log_level = Some("debug".to_owned());
        assert!(fixed_changes(&old, &new).is_empty());
        new.serve.streaming_port = Some(1);
        new.storage.quota = Some(1);
        assert_eq!(fixed_changes(&old, &new), ["storage.quota", "serve.streaming_port"]);
    }

    #[test]
    fn traces_go_where_they_can() {
        let with = |endpoint: Option<&str>, sampling: Option<u32>| {
            let mut settings = Settings::default();
            settings.tracing.endpoint = endpoint.map(str::to_owned);
            settings.tracing.sampling_per_million = sampling;
            Config::new(settings)
        };
        assert_eq!(with(None, None).unwrap().tracing, None);
        let (_, all) = with(Some("http://127.0.0.1:4318"), None).unwrap().tracing.unwrap();
        assert_eq!(all, ALL);
        let error = with(Some("https://127.0.0.1:4318"), None).unwrap_err().to_string();
        assert!(error.contains("tracing.endpoint") && error.contains("https"), "{error}");
        assert_eq!(with(None, Some(ALL + 1)).unwrap_err(), InvalidConfig::Sampling(ALL + 1));
    }
}
