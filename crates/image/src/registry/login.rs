//! Whether a registry knows the user.

use ureq::http::Method;

use super::RegistryClient;
use super::error::RegistryError;
use super::exchange::{Ask, Payload, Target};
use super::hosts::Capability;
use crate::{InvalidReference, Reference};

/// Why a login could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckLoginError {
    /// What was given is no registry.
    #[error(transparent)]
    Registry(#[from] InvalidReference),
    /// The registry does not take the credential, or can't be asked.
    #[error(transparent)]
    Failed(#[from] RegistryError),
}

impl RegistryClient {
    /// Asks `registry` (a host, with its port where it has one) for the root of
    /// its API, with the credential there is. A registry that is open to all
    /// answers whatever the credential.
    ///
    /// # Errors
    ///
    /// The registry does not take the credential, or can't be asked.
    pub fn check_login(&self, registry: &str) -> Result<(), CheckLoginError> {
        let reference: Reference = format!("{registry}/login").parse()?;
        let ask = Ask {
            method: Method::GET,
            target: Target::Api("/"),
            headers: Vec::new(),
            payload: Payload::None,
            scopes: Vec::new(),
            expected: &[200],
            patient: false,
        };
        let answer = self.exchange.first_of(&reference, Capability::Push, &ask, |_| Ok(()));
        Ok(answer.map_err(|failure| failure.when("log in to", &registry))?)
    }
}
