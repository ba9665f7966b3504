//! From a challenge to an `Authorization` header.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;

use super::Exchange;
use crate::Reference;
use crate::registry::challenge::Challenge;
use crate::registry::credentials::Credential;
use crate::registry::error::RegistryFailure;
use crate::registry::hosts::Endpoint;

/// What has proved to open something.
struct Proof {
    header: String,
    until: Option<Instant>,
}

/// What is known of who we are: headers by server and scope, credentials by name.
#[derive(Default)]
pub(super) struct Identity {
    proofs: Mutex<HashMap<(String, Vec<String>), Proof>>,
    credentials: Mutex<HashMap<String, Option<Credential>>>,
}

impl Identity {
    /// The header that was right for this before.
    pub(super) fn known(&self, endpoint: &Endpoint, scopes: &[String]) -> Option<String> {
        let proofs = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        let proof = proofs.get(&(endpoint.base.clone(), scopes.to_vec()))?;
        let fresh = proof.until.is_none_or(|until| Instant::now() < until);
        fresh.then(|| proof.header.clone())
    }

    fn keep(&self, endpoint: &Endpoint, scopes: &[String], header: &str, life: Option<Duration>) {
        let mut proofs = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        let until = life.and_then(|life| Instant::now().checked_add(life));
        let proof = Proof { header: header.to_owned(), until };
        proofs.insert((endpoint.base.clone(), scopes.to_vec()), proof);
    }

    /// Whether a credential was found when one was needed.
    pub(super) fn has_credential(&self, endpoint: &Endpoint, repository: &Reference) -> bool {
        let credentials = self.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        let name = owner(endpoint, repository).name();
        credentials.get(&name).is_some_and(Option::is_some)
    }
}

/// The repository as the user has a credential for it: at a mirror it is the
/// mirror's.
fn owner(endpoint: &Endpoint, repository: &Reference) -> Reference {
    if endpoint.namespace.is_none() {
        return repository.clone();
    }
    let default_port = if endpoint.origin.secure { 443 } else { 80 };
    let host = &endpoint.origin.host;
    let name = if endpoint.origin.port == default_port {
        format!("{host}/{}", repository.repository())
    } else {
        format!("{host}:{}/{}", endpoint.origin.port, repository.repository())
    };
    name.parse().unwrap_or_else(|_| repository.clone())
}

impl Exchange {
    fn credential(
        &self,
        endpoint: &Endpoint,
        repository: &Reference,
    ) -> Result<Option<Credential>, RegistryFailure> {
        let owner = owner(endpoint, repository);
        // Held over the search, so that several layers ask a helper only once.
        let mut known = self.identity.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&owner.name()) {
            return Ok(found.clone());
        }
        // What was given is for the registry that is named, not for its mirrors.
        let given = self.settings.credential.clone().filter(|_| endpoint.namespace.is_none());
        let found = match given {
            Some(given) => Some(given),
            None => self.settings.auth_files.find(&owner, self.settings.helper_timeout)?,
        };
        known.insert(owner.name(), found.clone());
        Ok(found)
    }

    /// The header that answers one of `challenges`; none if there is nothing to
    /// answer it with.
    pub(super) fn authorize(
        &self,
        endpoint: &Endpoint,
        repository: &Reference,
        challenges: &[Challenge],
        scopes: &[String],
    ) -> Result<Option<String>, RegistryFailure> {
        let credential = self.credential(endpoint, repository)?;
        let bearer = challenges.iter().find(|c| matches!(c, Challenge::Bearer { .. }));
        let (header, life) = match (bearer, &credential) {
            (_, Some(Credential::RegistryToken(token))) => (format!("Bearer {token}"), None),
            (Some(Challenge::Bearer { realm, service, scope }), _) => {
                let mut wanted = scopes.to_vec();
                for scope in scope.iter().flat_map(|scope| scope.split(' ')) {
                    if !scope.is_empty() && !wanted.iter().any(|have| have == scope) {
                        wanted.push(scope.to_owned());
                    }
                }
                let credential = credential.as_ref();
                let question = super::token::Question {
                    realm,
                    service: service.as_deref(),
                    scopes: &wanted,
                    credential,
                };
                let token = self.token(endpoint, repository, &question)?;
                (format!("Bearer {}", token.text), Some(token.life))
            }
            (None, Some(Credential::Basic { username, password }))
                if challenges.contains(&Challenge::Basic) =>
            {
                (basic(username, password), None)
            }
            _ => return Ok(None),
        };
        self.identity.keep(endpoint, scopes, &header, life);
        Ok(Some(header))
    }
}

/// RFC 7617.
pub(super) fn basic(username: &str, password: &str) -> String {
    let pair = format!("{username}:{password}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}
