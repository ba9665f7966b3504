//! One request and its answer: proof of identity, redirections, faults, and the
//! choice among mirrors.

mod answer;
mod authorize;
mod token;

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION, WWW_AUTHENTICATE};
use ureq::http::{HeaderName, Method, Request, Uri};
use ureq::{Body, SendBody};

use super::agents::Agents;
use super::challenge;
use super::error::RegistryFailure;
use super::hosts::{self, Capability, Endpoint, TlsFiles};
use super::retry;
use super::settings::RegistrySettings;
use super::url;
use crate::Reference;

pub(super) use answer::{Reply, broken, read_capped};
use authorize::Identity;

/// Redirections in a row that are followed.
const MAX_REDIRECTS: usize = 5;

/// Opens what is to be sent, from its start; called again for each attempt.
pub(super) type Open<'a> = &'a (dyn Fn() -> std::io::Result<Box<dyn Read + 'a>> + 'a);

/// What is sent.
#[derive(Clone, Copy)]
pub(super) enum Payload<'a> {
    None,
    Bytes(&'a [u8]),
    Source { open: Open<'a>, size: u64 },
}

/// Where to.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    /// Below the API's root, beginning with a slash.
    Api(&'a str),
    /// A URL that this endpoint gave for the next step.
    Given(&'a Uri),
}

/// A request.
pub(super) struct Ask<'a, 'p> {
    pub(super) method: Method,
    pub(super) target: Target<'a>,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) payload: Payload<'p>,
    /// What a token must allow, such as `repository:a/b:pull`.
    pub(super) scopes: Vec<String>,
    /// The statuses that are no failure.
    pub(super) expected: &'static [u16],
    /// Whether the server may need long, as for checking what was uploaded.
    pub(super) patient: bool,
}

/// Everything that requests share.
pub(super) struct Exchange {
    pub(super) settings: RegistrySettings,
    agents: Agents,
    identity: Identity,
    endpoints: Mutex<HashMap<String, Arc<Vec<Endpoint>>>>,
    /// Of servers that may speak no TLS: whether they do, by their base.
    plain: Mutex<HashMap<String, bool>>,
}

impl Exchange {
    pub(super) fn new(settings: RegistrySettings) -> Self {
        Self {
            settings,
            agents: Agents::default(),
            identity: Identity::default(),
            endpoints: Mutex::default(),
            plain: Mutex::default(),
        }
    }

    /// The servers that may be asked for `capability`.
    pub(super) fn able(
        &self,
        registry: &str,
        capability: Capability,
    ) -> Result<Vec<Endpoint>, RegistryFailure> {
        let mut known = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let all = if let Some(all) = known.get(registry) {
            Arc::clone(all)
        } else {
            let all = Arc::new(hosts::endpoints(registry, &self.settings)?);
            known.insert(registry.to_owned(), Arc::clone(&all));
            all
        };
        drop(known);
        let able: Vec<Endpoint> =
            all.iter().filter(|e| e.capabilities.contains(&capability)).cloned().collect();
        if able.is_empty() {
            let registry = registry.to_owned();
            return Err(RegistryFailure::NoServer { registry, capability: capability.as_str() });
        }
        Ok(able)
    }

    /// Asks one server after the other until `ask` and `accept` succeed. Only the
    /// last is asked again after a fault: for the others the next one is as good.
    pub(super) fn first_of<T>(
        &self,
        repository: &Reference,
        capability: Capability,
        ask: &Ask<'_, '_>,
        accept: impl Fn(Reply) -> Result<T, RegistryFailure>,
    ) -> Result<T, RegistryFailure> {
        let able = self.able(repository.registry(), capability)?;
        let mut failures = Vec::new();
        for (at, endpoint) in able.iter().enumerate() {
            let last = at + 1 == able.len();
            let retries = if last { self.settings.retries } else { 0 };
            match self.persist(endpoint, repository, ask, retries, &accept) {
                Ok(result) => return Ok(result),
                Err(failure) => failures.push(failure),
            }
        }
        Err(match failures.pop() {
            Some(only) if failures.is_empty() => only,
            last => {
                failures.extend(last);
                RegistryFailure::All(failures)
            }
        })
    }

    /// Asks one server, again after faults that may pass.
    pub(super) fn persist<T>(
        &self,
        endpoint: &Endpoint,
        repository: &Reference,
        ask: &Ask<'_, '_>,
        retries: u32,
        accept: impl Fn(Reply) -> Result<T, RegistryFailure>,
    ) -> Result<T, RegistryFailure> {
        let mut attempt = 0;
        loop {
            let mut asked_to_wait = None;
            let result = match self.either_way(endpoint, repository, ask) {
                Ok(reply) if ask.expected.contains(&reply.status()) => accept(reply),
                Ok(reply) => {
                    asked_to_wait = reply.retry_after();
                    Err(reply.into_failure(repository.registry(), self.settings.body_timeout))
                }
                Err(failure) => Err(failure),
            };
            let failure = match result {
                Ok(result) => return Ok(result),
                Err(failure) => failure,
            };
            if attempt >= retries || !failure.may_pass() {
                return Err(failure);
            }
            std::thread::sleep(retry::pause(&self.settings, attempt, asked_to_wait));
            attempt += 1;
        }
    }

    /// Over TLS, or over plain HTTP where that is allowed and TLS fails.
    fn either_way(
        &self,
        endpoint: &Endpoint,
        repository: &Reference,
        ask: &Ask<'_, '_>,
    ) -> Result<Reply, RegistryFailure> {
        let Some(plain) = &endpoint.plain else {
            return self.identified(endpoint, repository, ask);
        };
        let remember = |is_plain| {
            let mut known = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(endpoint.base.clone(), is_plain);
        };
        let known = {
            let known = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&endpoint.base).copied()
        };
        match known {
            Some(true) => self.identified(plain, repository, ask),
            Some(false) => self.identified(endpoint, repository, ask),
            None => match self.identified(endpoint, repository, ask) {
                Ok(reply) => {
                    remember(false);
                    Ok(reply)
                }
                Err(
                    failure @ (RegistryFailure::Tls { .. }
                    | RegistryFailure::Connection { .. }
                    | RegistryFailure::Timeout { .. }),
                ) => match self.identified(plain, repository, ask) {
                    Ok(reply) => {
                        remember(true);
                        Ok(reply)
                    }
                    Err(RegistryFailure::Connection { .. }) => Err(failure),
                    Err(other) => Err(other),
                },
                Err(other) => Err(other),
            },
        }
    }

    /// With what proves the user's identity, once the server asks for it.
    fn identified(
        &self,
        endpoint: &Endpoint,
        repository: &Reference,
        ask: &Ask<'_, '_>,
    ) -> Result<Reply, RegistryFailure> {
        let text;
        let given;
        let start = match ask.target {
            Target::Given(uri) => uri,
            Target::Api(path) => {
                text = match &endpoint.namespace {
                    Some(name) => url::with_query(&format!("{}{path}", endpoint.base), "ns", name),
                    None => format!("{}{path}", endpoint.base),
                };
                given = text.parse::<Uri>().map_err(|_| RegistryFailure::Protocol {
                    url: text.clone(),
                    why: "is no URL".to_owned(),
                })?;
                &given
            }
        };
        let mut proof = self.identity.known(endpoint, &ask.scopes);
        let mut asked = false;
        loop {
            let mut reply = self.follow(endpoint, repository, ask, start, proof.as_deref())?;
            reply.with_credential =
                proof.is_some() && self.identity.has_credential(endpoint, repository);
            let own = url::origin(&reply.uri).is_some_and(|origin| origin == endpoint.origin);
            if reply.status() != 401 || asked || !own {
                return Ok(reply);
            }
            asked = true;
            let values = reply.response.headers().get_all(WWW_AUTHENTICATE);
            let challenges = challenge::parse(values.iter().filter_map(|v| v.to_str().ok()));
            let answer = self.authorize(endpoint, repository, &challenges, &ask.scopes)?;
            if answer.is_none() || answer == proof {
                return Ok(reply);
            }
            proof = answer;
        }
    }

    /// Follows redirections. The proof of identity and the configured headers go
    /// to the endpoint alone.
    fn follow(
        &self,
        endpoint: &Endpoint,
        repository: &Reference,
        ask: &Ask<'_, '_>,
        start: &Uri,
        proof: Option<&str>,
    ) -> Result<Reply, RegistryFailure> {
        let mut uri = start.clone();
        for _ in 0..=MAX_REDIRECTS {
            let reply = self.send(endpoint, repository, ask, &uri, proof)?;
            let redirected = matches!(reply.status(), 301 | 302 | 303 | 307 | 308);
            let Some(location) = reply.header(&LOCATION).filter(|_| redirected) else {
                return Ok(reply);
            };
            let refused = |why| RegistryFailure::Redirect {
                url: url::shown(&uri),
                target: location.chars().take(200).collect(),
                why,
            };
            if ask.method != Method::GET && ask.method != Method::HEAD {
                return Err(refused("uploads are sent to the registry only"));
            }
            let next = url::join(&uri, location).ok_or_else(|| refused("it is no HTTP URL"))?;
            let downgrade = uri.scheme_str() == Some("https") && next.scheme_str() == Some("http");
            if downgrade && !endpoint.tls.skip_verify {
                return Err(refused("it leads from HTTPS to plain HTTP"));
            }
            uri = next;
        }
        let why = format!("more than {MAX_REDIRECTS} redirections");
        Err(RegistryFailure::Protocol { url: url::shown(start), why })
    }

    /// One request to one URL.
    fn send(
        &self,
        endpoint: &Endpoint,
        repository: &Reference,
        ask: &Ask<'_, '_>,
        uri: &Uri,
        proof: Option<&str>,
    ) -> Result<Reply, RegistryFailure> {
        let mut request = Request::builder().method(ask.method.clone()).uri(uri);
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        if url::origin(uri).is_some_and(|origin| origin == endpoint.origin) {
            for (name, value) in &endpoint.headers {
                request = request.header(name, value);
            }
            if let Some(proof) = proof {
                request = request.header(AUTHORIZATION, proof);
            }
        }
        let unsendable = |error: ureq::http::Error| RegistryFailure::Protocol {
            url: url::shown(uri),
            why: error.to_string(),
        };
        let mut reader = match ask.payload {
            Payload::None => {
                let request = request.body(SendBody::none()).map_err(unsendable)?;
                return self.run(endpoint, repository.registry(), uri, request, ask.patient);
            }
            Payload::Bytes(bytes) => {
                request = request.header(CONTENT_LENGTH, bytes.len());
                Box::new(bytes) as Box<dyn Read + '_>
            }
            Payload::Source { open, size } => {
                request = request.header(CONTENT_LENGTH, size);
                open().map_err(RegistryFailure::Source)?
            }
        };
        let body = SendBody::from_reader(&mut reader);
        let request = request.body(body).map_err(unsendable)?;
        self.run(endpoint, repository.registry(), uri, request, ask.patient)
    }

    /// Sends `request`, which has all its headers, with the endpoint's certificates.
    fn run(
        &self,
        endpoint: &Endpoint,
        registry: &str,
        uri: &Uri,
        request: Request<SendBody<'_>>,
        patient: bool,
    ) -> Result<Reply, RegistryFailure> {
        let Some(origin) = url::origin(uri) else {
            let why = "is no HTTP URL".to_owned();
            return Err(RegistryFailure::Protocol { url: url::shown(uri), why });
        };
        // The client's certificate is for the endpoint alone too.
        let tls = if origin == endpoint.origin {
            endpoint.tls.clone()
        } else {
            TlsFiles { client: None, ..endpoint.tls.clone() }
        };
        let settings = &self.settings;
        let agent =
            self.agents.get(origin.secure, &origin.host, &tls, endpoint.dial_timeout, settings)?;
        let sent = if patient {
            let limit: Option<Duration> = Some(settings.commit_timeout);
            let request = agent
                .configure_request(request)
                .timeout_recv_response(limit)
                .timeout_per_read(limit)
                .build();
            agent.run(request)
        } else {
            agent.run(request)
        };
        let response: ureq::http::Response<Body> =
            sent.map_err(|error| answer::failure(error, uri, registry, settings))?;
        Ok(Reply { response, uri: uri.clone(), with_credential: false })
    }
}
