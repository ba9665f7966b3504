//! Uploads of a stream whose length and digest are known at its end only.

use std::io::Read;

use sha2::Digest as _;
use ureq::http::header::{CONTENT_RANGE, CONTENT_TYPE, RANGE};
use ureq::http::{Method, Uri};

use super::{BINARY, session, write_scopes};
use crate::registry::error::{RegistryError, RegistryFailure};
use crate::registry::exchange::{Ask, Payload, Reply, Target};
use crate::registry::hosts::Endpoint;
use crate::registry::{RegistryClient, retry};
use crate::{Algorithm, Digest, Reference};

impl RegistryClient {
    /// Sends all of `content` to `repository` in pieces, each of which is kept in
    /// memory until the registry has it: digest and length of what was sent.
    ///
    /// # Errors
    ///
    /// The content can't be read, or the registry does not take it.
    pub fn upload_stream(
        &self,
        repository: &Reference,
        content: &mut dyn Read,
    ) -> Result<(Digest, u64), RegistryError> {
        self.send_stream(repository, content)
            .map_err(|failure| failure.when("push a blob to", &repository.name()))
    }

    fn send_stream(
        &self,
        repository: &Reference,
        content: &mut dyn Read,
    ) -> Result<(Digest, u64), RegistryFailure> {
        let endpoint = self.push_endpoint(repository)?;
        let mut hash = sha2::Sha256::new();
        let mut sent = 0;
        let mut piece = Vec::new();
        let mut session: Option<Uri> = None;
        loop {
            piece.clear();
            let limit = self.exchange.settings.chunk as u64;
            content.take(limit).read_to_end(&mut piece).map_err(RegistryFailure::Source)?;
            let to = match &session {
                Some(session) => session.clone(),
                None => self.begin(&endpoint, repository, None)?.ok_or_else(no_session)?,
            };
            hash.update(&piece);
            let end = sent + piece.len() as u64;
            if (piece.len() as u64) < limit {
                let digest = Digest::from_hash(Algorithm::Sha256, &hash.finalize());
                let last = self.piece(&endpoint, repository, &to, sent, &piece)?;
                let payload = Payload::Bytes(&[]);
                self.commit(&endpoint, repository, &last, &digest, payload)?;
                return Ok((digest, end));
            }
            session = Some(self.piece(&endpoint, repository, &to, sent, &piece)?);
            sent = end;
        }
    }

    /// Sends one piece; where to go on. After a fault the registry is asked
    /// whether it has it.
    fn piece(
        &self,
        endpoint: &Endpoint,
        repository: &Reference,
        to: &Uri,
        start: u64,
        piece: &[u8],
    ) -> Result<Uri, RegistryFailure> {
        let Some(last) = (start + piece.len() as u64).checked_sub(1).filter(|_| !piece.is_empty())
        else {
            return Ok(to.clone());
        };
        let mut attempt = 0;
        let mut to = to.clone();
        loop {
            let ask = ask(
                Method::PATCH,
                &to,
                repository,
                Payload::Bytes(piece),
                vec![(CONTENT_TYPE, BINARY.to_owned()), (CONTENT_RANGE, format!("{start}-{last}"))],
            );
            let sent = self.exchange.persist(endpoint, repository, &ask, 0, |r| session(&r));
            let failure = match sent {
                Ok(next) => return Ok(next),
                Err(failure) => failure,
            };
            if attempt >= self.exchange.settings.retries || !failure.may_pass() {
                return Err(failure);
            }
            std::thread::sleep(retry::pause(&self.exchange.settings, attempt, None));
            attempt += 1;
            let (has, next) = self.state(endpoint, repository, &to)?;
            to = next;
            if has == last + 1 {
                return Ok(to);
            }
            if has != start {
                return Err(failure);
            }
        }
    }

    /// How many bytes of an upload the registry has, and where it goes on.
    fn state(
        &self,
        endpoint: &Endpoint,
        repository: &Reference,
        to: &Uri,
    ) -> Result<(u64, Uri), RegistryFailure> {
        let mut ask = ask(Method::GET, to, repository, Payload::None, Vec::new());
        ask.expected = &[204];
        let retries = self.exchange.settings.retries;
        self.exchange.persist(endpoint, repository, &ask, retries, |reply: Reply| {
            let last = reply.header(&RANGE).and_then(|range| range.rsplit_once('-'));
            let last = last.and_then(|(_, last)| last.parse::<u64>().ok()).unwrap_or(0);
            // "0-0" is nothing, or one byte, which is sent again.
            let has = if last == 0 { 0 } else { last + 1 };
            Ok((has, session(&reply).unwrap_or_else(|_| to.clone())))
        })
    }
}

fn ask<'a, 'p>(
    method: Method,
    to: &'a Uri,
    repository: &Reference,
    payload: Payload<'p>,
    headers: Vec<(ureq::http::HeaderName, String)>,
) -> Ask<'a, 'p> {
    Ask {
        method,
        target: Target::Given(to),
        headers,
        payload,
        scopes: write_scopes(repository, None),
        expected: &[202],
        patient: true,
    }
}

fn no_session() -> RegistryFailure {
    RegistryFailure::Protocol {
        url: String::new(),
        why: "the registry mounted a blob that was not to be mounted".to_owned(),
    }
}
