//! A blob as a stream that outlives its connections.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::registry::error::{RegistryFailure, blob_of};
use crate::registry::exchange::{Exchange, broken};
use crate::registry::retry;
use crate::{Descriptor, Reference};

/// Less than this in a stall time-out is a stall.
const LEAST: u64 = 1024;
/// After so much progress earlier breaks are forgotten.
const FORGIVEN: u64 = 1 << 20;

/// The content of a blob, as the registry sends it. Errors of `read` carry a
/// [`RegistryError`](crate::registry::RegistryError).
pub struct BlobStream {
    exchange: Arc<Exchange>,
    repository: Reference,
    descriptor: Descriptor,
    body: Option<ureq::BodyReader<'static>>,
    start: u64,
    /// How much of the blob the reader has.
    position: u64,
    /// What is still to be passed over: a server began again from the start.
    skip: u64,
    breaks: u32,
    since_break: u64,
    /// Time spent waiting for the server, and what came in it.
    waited: Duration,
    came: u64,
}

impl std::fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobStream")
            .field("repository", &self.repository)
            .field("digest", &self.descriptor.digest)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl BlobStream {
    pub(super) fn open(
        exchange: Arc<Exchange>,
        repository: Reference,
        descriptor: Descriptor,
        offset: u64,
    ) -> Result<Self, RegistryFailure> {
        let size = descriptor.size;
        // All of it is there already, or more than can be right.
        let offset = if offset > size { 0 } else { offset };
        let (start, body) = if offset == size && size > 0 {
            (offset, None)
        } else {
            let (start, body) = super::open(&exchange, &repository, &descriptor, offset)?;
            (start, Some(body))
        };
        Ok(Self {
            exchange,
            repository,
            descriptor,
            body,
            start,
            position: start,
            skip: 0,
            breaks: 0,
            since_break: 0,
            waited: Duration::ZERO,
            came: 0,
        })
    }

    /// Where in the blob the stream begins.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, RegistryFailure> {
        let size = self.descriptor.size;
        loop {
            let left = size - self.position;
            let wanted = if self.skip > 0 { self.skip.min(64 << 10) } else { left };
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(buffer.len());
            if left == 0 || buffer.is_empty() {
                return Ok(0);
            }
            let Some(into) = buffer.get_mut(..wanted) else { return Ok(0) };
            let result = self.receive(into);
            match result {
                Ok(count) if self.skip > 0 => self.skip = self.skip.saturating_sub(count),
                Ok(count) => {
                    self.position += count;
                    if self.position == size {
                        self.finish()?;
                    }
                    return Ok(usize::try_from(count).unwrap_or(usize::MAX));
                }
                Err(failure) if failure.may_pass() && self.breaks < self.retries() => {
                    self.reconnect()?;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn retries(&self) -> u32 {
        self.exchange.settings.retries
    }

    fn url(&self) -> String {
        blob_of(&self.repository, &self.descriptor.digest)
    }

    /// One read from the connection; never 0 bytes.
    fn receive(&mut self, into: &mut [u8]) -> Result<u64, RegistryFailure> {
        let limit = self.exchange.settings.stall_timeout;
        let (position, size) = (self.position, self.descriptor.size);
        let Some(body) = &mut self.body else { return Err(self.ended(position, size)) };
        let begin = Instant::now();
        let count = match body.read(into) {
            Ok(0) => return Err(self.ended(position, size)),
            Ok(count) => count as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return self.receive(into),
            Err(error) => return Err(broken(&error, &self.url(), limit)),
        };
        self.waited += begin.elapsed();
        self.came += count;
        if self.waited > limit {
            if self.came < LEAST.min(size) {
                let what = "waiting for a kilobyte of the content";
                return Err(RegistryFailure::Timeout { url: self.url(), what, limit });
            }
            (self.waited, self.came) = (Duration::ZERO, 0);
        }
        self.since_break += count;
        if self.since_break > FORGIVEN && self.skip == 0 {
            self.breaks = 0;
        }
        Ok(count)
    }

    fn ended(&self, position: u64, size: u64) -> RegistryFailure {
        let why = format!("the content ended after {position} of {size} bytes");
        RegistryFailure::Connection { url: self.url(), why }
    }

    fn reconnect(&mut self) -> Result<(), RegistryFailure> {
        self.body = None;
        std::thread::sleep(retry::pause(&self.exchange.settings, self.breaks, None));
        self.breaks += 1;
        self.since_break = 0;
        (self.waited, self.came) = (Duration::ZERO, 0);
        let opened = super::open(&self.exchange, &self.repository, &self.descriptor, self.position);
        let (start, body) = opened?;
        self.skip = self.position - start;
        self.body = Some(body);
        Ok(())
    }

    /// Sees that nothing more comes, which also frees the connection for the next
    /// request.
    fn finish(&mut self) -> Result<(), RegistryFailure> {
        let Some(mut body) = self.body.take() else { return Ok(()) };
        match body.read(&mut [0]) {
            Ok(1..) => {
                Err(RegistryFailure::TooLong { url: self.url(), limit: self.descriptor.size })
            }
            // All that was wanted is here.
            Ok(0) | Err(_) => Ok(()),
        }
    }
}

impl Read for BlobStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next(buffer).map_err(|failure| {
            let subject = blob_of(&self.repository, &self.descriptor.digest);
            io::Error::other(failure.when("read", &subject))
        })
    }
}
