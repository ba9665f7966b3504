//! Blobs: reading.

mod stream;

use std::sync::Arc;

use ureq::http::Method;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};

use super::error::{RegistryError, RegistryFailure, blob_of};
use super::exchange::{Ask, Exchange, Payload, Reply, Target, read_capped};
use super::hosts::Capability;
use super::{RegistryClient, scope};
use crate::{Descriptor, Digest, Reference};

pub use stream::BlobStream;

impl RegistryClient {
    /// Opens a blob of `repository` from `offset` on. The stream says by
    /// [`BlobStream::start`] where it really begins: at `offset`, or at 0 if the
    /// server can't do that. It yields exactly `descriptor.size` bytes from there
    /// or fails; it connects again where a connection breaks. **It does not verify
    /// the digest**: whoever reads it does.
    ///
    /// # Errors
    ///
    /// The registry can't be asked, has no such blob, or one of another size.
    pub fn blob(
        &self,
        repository: &Reference,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<BlobStream, RegistryError> {
        BlobStream::open(Arc::clone(&self.exchange), repository.clone(), descriptor.clone(), offset)
            .map_err(|failure| failure.when("get", &blob_of(repository, &descriptor.digest)))
    }

    /// A short blob as a whole, such as an image's configuration: at most `limit`
    /// bytes, of the descriptor's size and digest.
    ///
    /// # Errors
    ///
    /// As for [`RegistryClient::blob`]; too long, or of another digest.
    pub fn blob_bytes(
        &self,
        repository: &Reference,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let expected = &descriptor.digest;
        let failed = |failure: RegistryFailure| failure.when("get", &blob_of(repository, expected));
        let url = blob_of(repository, expected);
        if descriptor.size > limit {
            return Err(failed(RegistryFailure::TooLong { url, limit }));
        }
        let ask_path = path(repository, expected);
        let ask = ask(Method::GET, &ask_path, repository);
        let read = |reply: Reply| {
            let url = reply.url();
            let (start, mut reader) = body(reply, descriptor, 0)?;
            debug_assert_eq!(start, 0);
            let time = self.exchange.settings.body_timeout;
            let bytes = read_capped(&mut reader, descriptor.size, time, &url)?;
            let actual = expected.of_same_kind(&bytes);
            if actual == *expected {
                Ok(bytes)
            } else {
                Err(RegistryFailure::Digest { url, expected: expected.clone(), actual })
            }
        };
        self.exchange.first_of(repository, Capability::Pull, &ask, read).map_err(failed)
    }
}

pub(super) fn path(repository: &Reference, digest: &Digest) -> String {
    format!("/{}/blobs/{digest}", repository.repository())
}

pub(super) fn ask<'a>(method: Method, path: &'a str, repository: &Reference) -> Ask<'a, 'static> {
    Ask {
        method,
        target: Target::Api(path),
        headers: Vec::new(),
        payload: Payload::None,
        scopes: vec![scope(repository.repository(), "pull")],
        expected: &[200],
        patient: false,
    }
}

/// Asks for a blob from `offset` on; where the answer begins, and its body.
fn open(
    exchange: &Exchange,
    repository: &Reference,
    descriptor: &Descriptor,
    offset: u64,
) -> Result<(u64, ureq::BodyReader<'static>), RegistryFailure> {
    let path = path(repository, &descriptor.digest);
    let mut ask = ask(Method::GET, &path, repository);
    if offset > 0 {
        ask.headers.push((RANGE, format!("bytes={offset}-")));
        ask.expected = &[200, 206];
    }
    let accept = |reply: Reply| body(reply, descriptor, offset);
    match exchange.first_of(repository, Capability::Pull, &ask, accept) {
        // It does not want to do ranges, or not this one.
        Err(RegistryFailure::Status { status: 416, .. }) if offset > 0 => {
            open(exchange, repository, descriptor, 0)
        }
        other => other,
    }
}

fn body(
    reply: Reply,
    descriptor: &Descriptor,
    offset: u64,
) -> Result<(u64, ureq::BodyReader<'static>), RegistryFailure> {
    let url = reply.url();
    let start = if reply.status() == 206 {
        let range = reply.header(&CONTENT_RANGE).unwrap_or_default();
        let Some((first, last, total)) = content_range(range) else {
            let why = format!("Content-Range {range:?} is malformed");
            return Err(RegistryFailure::Protocol { url, why });
        };
        if let Some(actual) = total.filter(|total| *total != descriptor.size) {
            return Err(RegistryFailure::Size { url, expected: descriptor.size, actual });
        }
        if first != offset || last.checked_add(1) != Some(descriptor.size) {
            let why = format!(
                "asked for bytes {offset} to the end, it sends {first} to {last} of {}",
                descriptor.size
            );
            return Err(RegistryFailure::Protocol { url, why });
        }
        first
    } else {
        0
    };
    if let Some(length) = reply.header(&CONTENT_LENGTH).and_then(|l| l.parse::<u64>().ok())
        && length != descriptor.size - start
    {
        let actual = length.saturating_add(start);
        return Err(RegistryFailure::Size { url, expected: descriptor.size, actual });
    }
    Ok((start, reply.response.into_body().into_reader()))
}

/// `bytes FIRST-LAST/TOTAL`; the total may be `*`.
fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let total = match total.trim() {
        "*" => None,
        total => Some(number(total)?),
    };
    Some((number(first)?, number(last)?, total))
}

#[cfg(test)]
mod tests {
    use super::content_range;

    #[test]
    fn content_ranges() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 9, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, 9, None)));
        for bad in
            ["", "bytes", "5-9/10", "bytes 5/10", "bytes -9/10", "bytes a-9/10", "bytes 5-9/x"]
        {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
