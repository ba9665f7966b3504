//! A bounded channel of large buffers between the thread that fetches a layer
//! and the one that unpacks it. Buffers go round: none is allocated twice.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// Bytes of a buffer.
pub(super) const CHUNK: usize = 256 << 10;
/// Buffers on the way.
const DEPTH: usize = 6;

/// The fetching end.
#[derive(Debug)]
pub(super) struct ChunkSender {
    full: SyncSender<io::Result<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
}

/// The unpacking end. A sender that was dropped is the end of the stream.
#[derive(Debug)]
pub(super) struct ChunkReader {
    full: Receiver<io::Result<Vec<u8>>>,
    empty: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
    ended: bool,
}

/// Both ends.
pub(super) fn chunks() -> (ChunkSender, ChunkReader) {
    let (full_in, full_out) = sync_channel(DEPTH);
    let (empty_in, empty_out) = channel();
    let reader =
        ChunkReader { full: full_out, empty: empty_in, chunk: Vec::new(), at: 0, ended: false };
    (ChunkSender { full: full_in, empty: empty_out }, reader)
}

impl ChunkSender {
    /// A buffer of [`CHUNK`] bytes, with whatever in it.
    pub(super) fn buffer(&self) -> Vec<u8> {
        let mut buffer = self.empty.try_recv().unwrap_or_default();
        buffer.resize(CHUNK, 0);
        buffer
    }

    /// Sends a buffer; false when nobody wants it any more.
    pub(super) fn send(&self, buffer: Vec<u8>) -> bool {
        self.full.send(Ok(buffer)).is_ok()
    }

    /// Lets the reader fail.
    pub(super) fn fail(&self, error: io::Error) {
        let _ = self.full.send(Err(error));
    }
}

impl BufRead for ChunkReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at >= self.chunk.len() && !self.ended {
            let used = std::mem::take(&mut self.chunk);
            self.at = 0;
            if used.capacity() > 0 {
                let _ = self.empty.send(used);
            }
            match self.full.recv() {
                Ok(chunk) => self.chunk = chunk?,
                Err(_) => self.ended = true,
            }
        }
        Ok(self.chunk.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut bytes = self.fill_buf()?;
        let count = bytes.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
