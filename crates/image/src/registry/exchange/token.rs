//! Tokens from an authorisation server (distribution's token specification).

use std::time::Duration;

use serde::Deserialize;
use ureq::SendBody;
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use ureq::http::{Request, Uri};

use super::authorize::basic;
use super::{Exchange, Reply};
use crate::Reference;
use crate::registry::credentials::Credential;
use crate::registry::error::RegistryFailure;
use crate::registry::hosts::Endpoint;
use crate::registry::{retry, url};

/// The longest answer of an authorisation server.
const MAX_ANSWER: u64 = 256 << 10;
/// A token that says nothing of its life lives so long.
const DEFAULT_LIFE: u64 = 60;
const CLIENT: &str = "caisson";

/// What an authorisation server is asked.
pub(super) struct Question<'a> {
    pub(super) realm: &'a str,
    pub(super) service: Option<&'a str>,
    pub(super) scopes: &'a [String],
    pub(super) credential: Option<&'a Credential>,
}

pub(super) struct Token {
    pub(super) text: String,
    pub(super) life: Duration,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Exchange {
    pub(super) fn token(
        &self,
        endpoint: &Endpoint,
        repository: &Reference,
        question: &Question<'_>,
    ) -> Result<Token, RegistryFailure> {
        let realm = url::join(&Uri::default(), question.realm).ok_or_else(|| {
            let shown: String = question.realm.chars().take(200).collect();
            let why = format!("its authorisation server {shown:?} is no HTTP URL");
            RegistryFailure::Protocol { url: endpoint.base.clone(), why }
        })?;
        // Secrets that came over TLS to here don't leave over less.
        let secure = url::origin(&realm).is_some_and(|origin| origin.secure);
        if endpoint.origin.secure && !secure && !endpoint.tls.skip_verify {
            return Err(RegistryFailure::Redirect {
                url: endpoint.base.clone(),
                target: url::shown(&realm),
                why: "its authorisation server is not asked over plain HTTP",
            });
        }
        let mut attempt = 0;
        loop {
            let mut asked_to_wait = None;
            let failure = match self.ask_for_token(endpoint, repository, question, &realm) {
                Ok(reply) if reply.status() == 200 => return self.read_token(reply),
                Ok(mut reply) => {
                    asked_to_wait = reply.retry_after();
                    reply.with_credential = question.credential.is_some();
                    // Some answer 400 where the others answer 401.
                    reply.into_failure(repository.registry(), self.settings.body_timeout)
                }
                Err(failure) => failure,
            };
            if attempt >= self.settings.retries || !failure.may_pass() {
                return Err(failure);
            }
            std::thread::sleep(retry::pause(&self.settings, attempt, asked_to_wait));
            attempt += 1;
        }
    }

    fn ask_for_token(
        &self,
        endpoint: &Endpoint,
        repository: &Reference,
        question: &Question<'_>,
        realm: &Uri,
    ) -> Result<Reply, RegistryFailure> {
        let registry = repository.registry();
        if let Some(Credential::IdentityToken(token)) = question.credential {
            let mut form = "grant_type=refresh_token".to_owned();
            let mut add = |key: &str, value: &str| {
                form = format!("{form}&{key}={}", url::encode(value));
            };
            add("client_id", CLIENT);
            add("service", question.service.unwrap_or_default());
            add("scope", &question.scopes.join(" "));
            add("refresh_token", token);
            let mut reader = form.as_bytes();
            let request = Request::post(realm)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(CONTENT_LENGTH, form.len())
                .body(SendBody::from_reader(&mut reader));
            let request = request.map_err(|error| unsendable(realm, &error))?;
            return self.run(endpoint, registry, realm, request, false);
        }
        let mut text = realm.to_string();
        if let Some(service) = question.service {
            text = url::with_query(&text, "service", service);
        }
        for scope in question.scopes {
            text = url::with_query(&text, "scope", scope);
        }
        let mut header = None;
        if let Some(Credential::Basic { username, password }) = question.credential {
            text = url::with_query(&text, "account", username);
            header = Some(basic(username, password));
        }
        let uri: Uri = text.parse().map_err(|_| RegistryFailure::Protocol {
            url: url::shown(realm),
            why: "service and scope make no URL".to_owned(),
        })?;
        let mut request = Request::get(&uri);
        if let Some(header) = header {
            request = request.header(AUTHORIZATION, header);
        }
        let request = request.body(SendBody::none()).map_err(|error| unsendable(&uri, &error))?;
        self.run(endpoint, registry, &uri, request, false)
    }

    fn read_token(&self, reply: Reply) -> Result<Token, RegistryFailure> {
        let url = reply.url();
        let malformed = |why: &str| RegistryFailure::Protocol {
            url: url.clone(),
            why: format!("the authorisation server's answer {why}"),
        };
        let body = reply.body(MAX_ANSWER, self.settings.body_timeout)?;
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|_| malformed("is no JSON of a token"))?;
        let text = [answer.token, answer.access_token]
            .into_iter()
            .flatten()
            .find(|text| !text.is_empty())
            .ok_or_else(|| malformed("holds no token"))?;
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(malformed("holds a token that can't be sent in a header"));
        }
        let life = answer.expires_in.unwrap_or(DEFAULT_LIFE).clamp(5, 24 * 3600);
        // A little early, for the time that it is on its way.
        Ok(Token { text, life: Duration::from_secs(life - life / 10 - 1) })
    }
}

fn unsendable(uri: &Uri, error: &ureq::http::Error) -> RegistryFailure {
    RegistryFailure::Protocol { url: url::shown(uri), why: error.to_string() }
}
