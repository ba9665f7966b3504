//! HTTP agents: one for each set of certificates, each with its connections.

mod tls;

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ureq::Agent;
use ureq::tls::Certificate;

use super::error::RegistryFailure;
use super::hosts::{TlsFiles, is_loopback};
use super::settings::RegistrySettings;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    secure: bool,
    tls: TlsFiles,
    connect_timeout: Duration,
    proxy: bool,
}

/// Makes agents and keeps them.
#[derive(Default)]
pub(super) struct Agents {
    kept: Mutex<HashMap<Key, Agent>>,
    system: OnceLock<Vec<Certificate<'static>>>,
}

impl Agents {
    /// The agent for a server with these files.
    pub(super) fn get(
        &self,
        secure: bool,
        host: &str,
        tls: &TlsFiles,
        dial_timeout: Option<Duration>,
        settings: &RegistrySettings,
    ) -> Result<Agent, RegistryFailure> {
        let key = Key {
            secure,
            tls: if secure { tls.clone() } else { TlsFiles::default() },
            connect_timeout: dial_timeout.unwrap_or(settings.connect_timeout),
            proxy: !is_loopback(host),
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = kept.get(&key) {
            return Ok(agent.clone());
        }
        let agent = self.make(&key, settings)?;
        kept.insert(key, agent.clone());
        Ok(agent)
    }

    fn make(&self, key: &Key, settings: &RegistrySettings) -> Result<Agent, RegistryFailure> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(settings.user_agent.as_str())
            .accept_encoding("identity")
            .timeout_resolve(Some(key.connect_timeout))
            .timeout_connect(Some(key.connect_timeout))
            .timeout_send_request(Some(settings.response_timeout))
            .timeout_recv_response(Some(settings.response_timeout))
            .timeout_per_read(Some(settings.stall_timeout))
            .timeout_per_write(Some(settings.stall_timeout))
            .max_idle_connections_per_host(8)
            .input_buffer_size(128 << 10)
            .output_buffer_size(128 << 10);
        if !key.proxy {
            config = config.proxy(None);
        }
        if key.secure {
            let system = || {
                self.system.get_or_init(|| {
                    let found = rustls_native_certs::load_native_certs();
                    found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
                })
            };
            config = config.tls_config(tls::config(&key.tls, system)?);
        }
        Ok(config.build().into())
    }
}
