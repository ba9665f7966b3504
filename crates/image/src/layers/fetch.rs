//! Bringing in one blob: from the source into the store, hashed on the way,
//! and on to whoever unpacks it.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::LayerError;
use super::meter::Meter;
use crate::Descriptor;
use crate::buffers::{self, BufferSender};
use crate::content::{ContentError, Ingest};
use crate::locked_file::no_space;

/// A stream of a blob's bytes.
pub(crate) struct OpenedBlob {
    /// Which byte the stream starts at: the one asked for, or 0 where the
    /// source can't start in the middle.
    pub(crate) start: u64,
    pub(crate) reader: Box<dyn Read + Send>,
}

/// Opens a blob at an offset.
pub(crate) type OpenBlob<'a> = dyn Fn(&Descriptor, u64) -> Result<OpenedBlob, Box<dyn std::error::Error + Send + Sync>>
    + Sync
    + 'a;

/// Attempts without a single byte of progress before it is given up. The
/// source has its own patience.
const ATTEMPTS: u32 = 2;
/// The longest that bytes are held back until a buffer is full.
const HOLD: Duration = Duration::from_millis(100);

/// How a fetch ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fetched {
    /// The blob is in the store.
    Committed,
    /// The unpacking side has gone; what has come stays.
    Unwanted,
    /// The digest is wrong, and part of the bytes were of an earlier attempt.
    StaleStart,
}

/// What a fetch works with.
pub(super) struct Fetch<'a> {
    pub(super) descriptor: &'a Descriptor,
    pub(super) index: usize,
    pub(super) open: &'a OpenBlob<'a>,
    pub(super) meter: &'a Meter<'a>,
    pub(super) stop: &'a AtomicBool,
}

impl Fetch<'_> {
    /// Fetches what is missing of `ingest`; all bytes go to `out` too.
    pub(super) fn run(
        &self,
        mut ingest: Ingest,
        out: Option<&BufferSender>,
    ) -> Result<Fetched, LayerError> {
        let resumed = ingest.existing() > 0;
        let result = self.transfer(&mut ingest, out);
        match result {
            Ok(true) => {}
            Ok(false) => return Ok(Fetched::Unwanted),
            Err(error) => {
                if let Some(out) = out {
                    out.fail(io::Error::other("the transfer broke off"));
                }
                return Err(error);
            }
        }
        match ingest.commit() {
            Ok(()) => {
                self.meter.all_fetched(self.index);
                Ok(Fetched::Committed)
            }
            Err(ContentError::WrongDigest { .. }) if resumed => Ok(Fetched::StaleStart),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: ContentError) -> LayerError {
        LayerError::store(&self.descriptor.digest)(error)
    }

    /// False when nobody wants it any more.
    fn transfer(
        &self,
        ingest: &mut Ingest,
        out: Option<&BufferSender>,
    ) -> Result<bool, LayerError> {
        let mut spare = vec![0; if out.is_some() { 0 } else { buffers::SIZE }];
        loop {
            let mut buffer = self.buffer(out, &mut spare);
            let count = ingest.next_existing(&mut buffer).map_err(|e| self.failed(e))?;
            if count == 0 {
                break;
            }
            self.meter.fetched(self.index, count as u64);
            buffer.truncate(count);
            if !pass_on(buffer, out, &mut spare) {
                return Ok(false);
            }
        }
        let (size, mut failures) = (ingest.size(), 0);
        while ingest.offset() < size {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let before = ingest.offset();
            match self.stream(ingest, out, &mut spare)? {
                Streamed::Unwanted => return Ok(false),
                Streamed::All => {}
                Streamed::Broken(source) => {
                    failures = if ingest.offset() > before { 1 } else { failures + 1 };
                    if failures >= ATTEMPTS {
                        let (digest, done) = (self.descriptor.digest.clone(), ingest.offset());
                        return Err(LayerError::Interrupted { digest, done, size, source });
                    }
                    std::thread::sleep(Duration::from_millis(100 << failures));
                }
            }
        }
        Ok(true)
    }

    /// One connection: until all is there, or it breaks.
    fn stream(
        &self,
        ingest: &mut Ingest,
        out: Option<&BufferSender>,
        spare: &mut Vec<u8>,
    ) -> Result<Streamed, LayerError> {
        let digest = || self.descriptor.digest.clone();
        let offset = ingest.offset();
        let opened = (self.open)(self.descriptor, offset)
            .map_err(|source| LayerError::Fetch { digest: digest(), source })?;
        let mut reader = opened.reader;
        // A source that can't start in the middle starts at the beginning.
        let Some(skip) = offset.checked_sub(opened.start) else {
            let source = format!("it starts at byte {}, not at {offset}", opened.start).into();
            return Err(LayerError::Fetch { digest: digest(), source });
        };
        match io::copy(&mut reader.by_ref().take(skip), &mut io::sink()) {
            Ok(skipped) if skipped == skip => {}
            Ok(_) => return Ok(Streamed::Broken(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => return Ok(Streamed::Broken(error)),
        }
        let mut reader = reader.take(ingest.size() - offset);
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(Streamed::Unwanted);
            }
            let mut buffer = self.buffer(out, spare);
            let (count, end) = fill(&mut reader, &mut buffer);
            buffer.truncate(count);
            if count > 0 {
                ingest.write(&buffer).map_err(|e| self.failed(e))?;
                self.meter.fetched(self.index, count as u64);
                if !pass_on(buffer, out, spare) {
                    return Ok(Streamed::Unwanted);
                }
            }
            if ingest.offset() == ingest.size() {
                return Ok(Streamed::All);
            }
            match end {
                End::More => {}
                End::Closed => return Ok(Streamed::Broken(io::ErrorKind::UnexpectedEof.into())),
                End::Failed(error) if no_space(&error) => {
                    return Err(LayerError::Fetch { digest: digest(), source: error.into() });
                }
                End::Failed(error) => return Ok(Streamed::Broken(error)),
            }
        }
    }

    fn buffer(&self, out: Option<&BufferSender>, spare: &mut Vec<u8>) -> Vec<u8> {
        match out {
            Some(out) => out.buffer(),
            None => {
                let mut buffer = std::mem::take(spare);
                buffer.resize(buffers::SIZE, 0);
                buffer
            }
        }
    }
}

enum Streamed {
    All,
    Unwanted,
    Broken(io::Error),
}

enum End {
    More,
    Closed,
    Failed(io::Error),
}

/// Sends the buffer on, or keeps it for the next turn.
fn pass_on(buffer: Vec<u8>, out: Option<&BufferSender>, spare: &mut Vec<u8>) -> bool {
    match out {
        Some(out) => out.send(buffer),
        None => {
            *spare = buffer;
            true
        }
    }
}

/// Reads until the buffer is full, the stream ends, or what is there has
/// waited for long enough.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> (usize, End) {
    let start = Instant::now();
    let mut count = 0;
    while let Some(space @ [_, ..]) = buffer.get_mut(count..) {
        match reader.read(space) {
            Ok(0) => return (count, End::Closed),
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (count, End::Failed(error)),
        }
        if start.elapsed() >= HOLD {
            break;
        }
    }
    (count, End::More)
}
