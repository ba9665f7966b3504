//! Blobs: writing.

mod chunks;

use std::io::Read;

use ureq::http::header::{CONTENT_TYPE, LOCATION};
use ureq::http::{Method, Uri};

use super::blob;
use super::error::{RegistryError, RegistryFailure, blob_of};
use super::exchange::{Ask, Payload, Reply, Target};
use super::hosts::{Capability, Endpoint};
use super::{RegistryClient, retry, scope, url};
use crate::{Descriptor, Digest, Reference};

const BINARY: &str = "application/octet-stream";

/// Opens the content of a blob from its start.
pub type Source<'a> = &'a (dyn Fn() -> std::io::Result<Box<dyn Read + Send + 'a>> + 'a);

/// How a blob came to be in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// It was there before.
    Existed,
    /// The registry took it from another of its repositories.
    Mounted,
    /// It was sent.
    Sent,
}

impl RegistryClient {
    /// Whether `repository` has this blob, where pushes to it go.
    ///
    /// # Errors
    ///
    /// The registry can't be asked.
    pub fn blob_exists(
        &self,
        repository: &Reference,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        self.push_endpoint(repository)
            .and_then(|endpoint| self.exists(&endpoint, repository, digest))
            .map_err(|failure| failure.when("look for", &blob_of(repository, digest)))
    }

    /// Sees to it that `repository` has the blob. `open` opens its content from
    /// the start, again for each attempt. `mount_from` is another repository that
    /// may have it: if it is of the same registry, nothing need be sent.
    ///
    /// # Errors
    ///
    /// The content can't be read, or the registry does not take it.
    pub fn upload_blob(
        &self,
        repository: &Reference,
        descriptor: &Descriptor,
        open: Source<'_>,
        mount_from: Option<&Reference>,
    ) -> Result<Uploaded, RegistryError> {
        let digest = &descriptor.digest;
        let upload = || {
            let endpoint = self.push_endpoint(repository)?;
            if self.exists(&endpoint, repository, digest)? {
                return Ok(Uploaded::Existed);
            }
            let from = mount_from.filter(|from| {
                from.registry() == repository.registry()
                    && from.repository() != repository.repository()
            });
            let mut attempt = 0;
            loop {
                let result = self.send_blob(&endpoint, repository, descriptor, open, from);
                match result {
                    Err(failure)
                        if attempt < self.exchange.settings.retries && failure.may_pass() =>
                    {
                        let pause = retry::pause(&self.exchange.settings, attempt, None);
                        std::thread::sleep(pause);
                        attempt += 1;
                    }
                    result => return result,
                }
            }
        };
        upload().map_err(|failure| failure.when("push", &blob_of(repository, digest)))
    }

    pub(super) fn push_endpoint(
        &self,
        repository: &Reference,
    ) -> Result<Endpoint, RegistryFailure> {
        let able = self.exchange.able(repository.registry(), Capability::Push)?;
        able.into_iter().next().ok_or_else(|| RegistryFailure::NoServer {
            registry: repository.registry().to_owned(),
            capability: Capability::Push.as_str(),
        })
    }

    fn exists(
        &self,
        endpoint: &Endpoint,
        repository: &Reference,
        digest: &Digest,
    ) -> Result<bool, RegistryFailure> {
        let path = blob::path(repository, digest);
        let mut ask = blob::ask(Method::HEAD, &path, repository);
        ask.scopes = write_scopes(repository, None);
        ask.expected = &[200, 404];
        let retries = self.exchange.settings.retries;
        self.exchange.persist(
            endpoint,
            repository,
            &ask,
            retries,
            |reply| Ok(reply.status() == 200),
        )
    }

    /// POST, then the content with one PUT. A fault in the PUT is for the caller
    /// to begin anew from: the session may be lost.
    fn send_blob(
        &self,
        endpoint: &Endpoint,
        repository: &Reference,
        descriptor: &Descriptor,
        open: Source<'_>,
        mount_from: Option<&Reference>,
    ) -> Result<Uploaded, RegistryFailure> {
        let mount = mount_from.map(|from| (from, &descriptor.digest));
        let Some(session) = self.begin(endpoint, repository, mount)? else {
            return Ok(Uploaded::Mounted);
        };
        let open = || open().map(|reader| reader as Box<dyn Read + '_>);
        let payload = Payload::Source { open: &open, size: descriptor.size };
        self.commit(endpoint, repository, &session, &descriptor.digest, payload)?;
        Ok(Uploaded::Sent)
    }

    /// Begins an upload: where to continue, or nothing if the blob was mounted.
    fn begin(
        &self,
        endpoint: &Endpoint,
        repository: &Reference,
        mount: Option<(&Reference, &Digest)>,
    ) -> Result<Option<Uri>, RegistryFailure> {
        let mut path = format!("/{}/blobs/uploads/", repository.repository());
        if let Some((from, digest)) = mount {
            path = url::with_query(&path, "mount", &digest.to_string());
            path = url::with_query(&path, "from", from.repository());
        }
        let ask = Ask {
            method: Method::POST,
            target: Target::Api(&path),
            headers: Vec::new(),
            payload: Payload::Bytes(&[]),
            scopes: write_scopes(repository, mount.map(|(from, _)| from)),
            expected: if mount.is_some() { &[201, 202] } else { &[202] },
            patient: false,
        };
        let retries = self.exchange.settings.retries;
        self.exchange.persist(endpoint, repository, &ask, retries, |reply| {
            if reply.status() == 201 { Ok(None) } else { session(&reply).map(Some) }
        })
    }

    fn commit(
        &self,
        endpoint: &Endpoint,
        repository: &Reference,
        session: &Uri,
        digest: &Digest,
        payload: Payload<'_>,
    ) -> Result<(), RegistryFailure> {
        let target = url::with_query(&session.to_string(), "digest", &digest.to_string());
        let uri: Uri = target.parse().map_err(|_| RegistryFailure::Protocol {
            url: url::shown(session),
            why: "the upload's location is no URL".to_owned(),
        })?;
        let ask = Ask {
            method: Method::PUT,
            target: Target::Given(&uri),
            headers: vec![(CONTENT_TYPE, BINARY.to_owned())],
            payload,
            scopes: write_scopes(repository, None),
            expected: &[201, 204],
            patient: true,
        };
        self.exchange.persist(endpoint, repository, &ask, 0, |_| Ok(()))
    }
}

fn write_scopes(repository: &Reference, from: Option<&Reference>) -> Vec<String> {
    let mut scopes = vec![scope(repository.repository(), "pull,push")];
    scopes.extend(from.map(|from| scope(from.repository(), "pull")));
    scopes
}

/// Where an upload goes on.
fn session(reply: &Reply) -> Result<Uri, RegistryFailure> {
    let location = reply.header(&LOCATION).unwrap_or_default();
    let Some(uri) = url::join(&reply.uri, location) else {
        let why = "the upload has no usable Location".to_owned();
        return Err(RegistryFailure::Protocol { url: reply.url(), why });
    };
    if reply.uri.scheme_str() == Some("https") && uri.scheme_str() == Some("http") {
        return Err(RegistryFailure::Redirect {
            url: reply.url(),
            target: url::shown(&uri),
            why: "the upload's location leads from HTTPS to plain HTTP (a proxy in front of the \
                  registry has to pass on X-Forwarded-Proto)",
        });
    }
    Ok(uri)
}
