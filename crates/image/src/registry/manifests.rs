//! Manifests and indexes: reading and writing.

use ureq::http::Method;
use ureq::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};

use super::error::{RegistryError, RegistryFailure};
use super::exchange::{Ask, Payload, Reply, Target};
use super::hosts::Capability;
use super::{RegistryClient, scope};
use crate::manifest::{Document, MANIFEST_TYPES, MAX_MANIFEST};
use crate::{Descriptor, Digest, Reference};

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

impl RegistryClient {
    /// What `reference` means: the descriptor and the bytes of a manifest or an
    /// index. The bytes have the descriptor's digest, which is the reference's if
    /// it has one, and are a document of the descriptor's media type.
    ///
    /// # Errors
    ///
    /// The registry can't be asked, has no such thing, or answers something else.
    pub fn resolve(&self, reference: &Reference) -> Result<(Descriptor, Vec<u8>), RegistryError> {
        let path = path(reference);
        let ask = ask(Method::GET, &path, reference, Payload::None, vec![accept_header()]);
        let capability =
            if reference.digest().is_some() { Capability::Pull } else { Capability::Resolve };
        let limit = MAX_MANIFEST as u64;
        let read = |reply: Reply| {
            let url = reply.url();
            let announced_type = reply.header(&CONTENT_TYPE).unwrap_or_default().to_owned();
            let announced_digest = reply.header(&CONTENT_DIGEST).map(str::parse::<Digest>);
            let bytes = reply.body(limit, self.exchange.settings.body_timeout)?;
            let expected = match (reference.digest(), announced_digest) {
                (Some(digest), _) => Some(digest.clone()),
                (None, Some(Ok(digest))) => Some(digest),
                (None, _) => None,
            };
            let digest = match expected {
                Some(expected) => {
                    let actual = expected.of_same_kind(&bytes);
                    if actual != expected {
                        return Err(RegistryFailure::Digest { url, expected, actual });
                    }
                    actual
                }
                None => Digest::sha256(&bytes),
            };
            let document = Document::parse(&bytes, &announced_type)
                .map_err(|source| RegistryFailure::Manifest { url, source })?;
            let descriptor = descriptor(document.media_type(), digest, bytes.len() as u64);
            Ok((descriptor, bytes))
        };
        self.exchange
            .first_of(reference, capability, &ask, read)
            .map_err(|failure| failure.when("get the manifest of", reference))
    }

    /// The manifest or index with this digest in `repository`: its media type and
    /// its bytes, verified.
    ///
    /// # Errors
    ///
    /// As for [`RegistryClient::resolve`].
    pub fn manifest(
        &self,
        repository: &Reference,
        digest: &Digest,
    ) -> Result<(String, Vec<u8>), RegistryError> {
        let (descriptor, bytes) = self.resolve(&repository.with_digest(digest.clone()))?;
        Ok((descriptor.media_type, bytes))
    }

    /// What `reference` means, without the bytes: for finding out whether a tag
    /// has moved. Registries that count pulls don't count this.
    ///
    /// # Errors
    ///
    /// As for [`RegistryClient::resolve`].
    pub fn head(&self, reference: &Reference) -> Result<Descriptor, RegistryError> {
        let path = path(reference);
        let ask = ask(Method::HEAD, &path, reference, Payload::None, vec![accept_header()]);
        let read = |reply: Reply| {
            let header = |name: &HeaderName| reply.header(name).map(str::to_owned);
            let size = header(&CONTENT_LENGTH).and_then(|text| text.parse().ok());
            let digest = header(&CONTENT_DIGEST).and_then(|text| text.parse::<Digest>().ok());
            let digest = digest.filter(|d| reference.digest().is_none_or(|wanted| wanted == d));
            let media_type = header(&CONTENT_TYPE).unwrap_or_default();
            let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
            let known = MANIFEST_TYPES.contains(&media_type.as_str());
            Ok(match (size, digest) {
                (Some(size), Some(digest)) if known => Some(descriptor(&media_type, digest, size)),
                _ => None,
            })
        };
        let found = self
            .exchange
            .first_of(reference, Capability::Resolve, &ask, read)
            .map_err(|failure| failure.when("ask for the manifest of", reference))?;
        match found {
            Some(descriptor) => Ok(descriptor),
            // The headers are optional.
            None => self.resolve(reference).map(|(descriptor, _)| descriptor),
        }
    }

    /// Stores a manifest or an index under `reference`'s tag, or by its digest.
    /// What it refers to must be there already.
    ///
    /// # Errors
    ///
    /// The reference has another digest than `bytes`, or the registry does not
    /// take them.
    pub fn put_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest, RegistryError> {
        let failed = |failure: RegistryFailure| failure.when("push the manifest of", reference);
        let digest = match reference.digest() {
            Some(wanted) => wanted.of_same_kind(bytes),
            None => Digest::sha256(bytes),
        };
        if let Some(expected) = reference.digest().filter(|wanted| **wanted != digest) {
            return Err(failed(RegistryFailure::Digest {
                url: reference.to_string(),
                expected: expected.clone(),
                actual: digest,
            }));
        }
        let path = path(reference);
        let mut ask = ask(
            Method::PUT,
            &path,
            reference,
            Payload::Bytes(bytes),
            vec![(CONTENT_TYPE, media_type.to_owned())],
        );
        ask.scopes = vec![scope(reference.repository(), "pull,push")];
        ask.expected = &[200, 201, 202];
        ask.patient = true;
        let endpoint = self.push_endpoint(reference).map_err(failed)?;
        let retries = self.exchange.settings.retries;
        let read = |reply: Reply| {
            let stored = reply.header(&CONTENT_DIGEST).and_then(|text| text.parse::<Digest>().ok());
            match stored {
                Some(actual) if actual.algorithm() == digest.algorithm() && actual != digest => {
                    let url = reply.url();
                    Err(RegistryFailure::Digest { url, expected: digest.clone(), actual })
                }
                _ => Ok(()),
            }
        };
        self.exchange.persist(&endpoint, reference, &ask, retries, read).map_err(failed)?;
        Ok(digest)
    }
}

fn path(reference: &Reference) -> String {
    format!("/{}/manifests/{}", reference.repository(), reference.api_reference())
}

fn accept_header() -> (HeaderName, String) {
    (ACCEPT, MANIFEST_TYPES.join(", "))
}

fn ask<'a, 'p>(
    method: Method,
    path: &'a str,
    reference: &Reference,
    payload: Payload<'p>,
    headers: Vec<(HeaderName, String)>,
) -> Ask<'a, 'p> {
    Ask {
        method,
        target: Target::Api(path),
        headers,
        payload,
        scopes: vec![scope(reference.repository(), "pull")],
        expected: &[200],
        patient: false,
    }
}

fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest,
        size,
        platform: None,
        annotations: std::collections::BTreeMap::new(),
        artifact_type: None,
    }
}
