//! A bounded channel of large buffers between a thread that reads and one that
//! unpacks. Buffers go round: none is allocated twice.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// Bytes of a buffer: large enough that most files come in one piece.
pub(crate) const SIZE: usize = 256 << 10;

/// The end that reads.
#[derive(Debug)]
pub(crate) struct BufferSender {
    full: SyncSender<io::Result<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
}

/// The end that unpacks. A sender that was dropped is the end of the stream.
#[derive(Debug)]
pub(crate) struct BufferReader {
    full: Receiver<io::Result<Vec<u8>>>,
    empty: Sender<Vec<u8>>,
    buffer: Vec<u8>,
    at: usize,
    ended: bool,
}

/// Both ends of a channel on which `depth` buffers can be on the way.
pub(crate) fn buffers(depth: usize) -> (BufferSender, BufferReader) {
    let (full_in, full_out) = sync_channel(depth);
    let (empty_in, empty_out) = channel();
    let reader =
        BufferReader { full: full_out, empty: empty_in, buffer: Vec::new(), at: 0, ended: false };
    (BufferSender { full: full_in, empty: empty_out }, reader)
}

impl BufferSender {
    /// A buffer of [`SIZE`] bytes, with whatever in it.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        let mut buffer = self.empty.try_recv().unwrap_or_default();
        buffer.resize(SIZE, 0);
        buffer
    }

    /// Sends a buffer; false when nobody wants it any more.
    pub(crate) fn send(&self, buffer: Vec<u8>) -> bool {
        self.full.send(Ok(buffer)).is_ok()
    }

    /// Lets the reader fail.
    pub(crate) fn fail(&self, error: io::Error) {
        let _ = self.full.send(Err(error));
    }
}

impl BufRead for BufferReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at >= self.buffer.len() && !self.ended {
            let used = std::mem::take(&mut self.buffer);
            self.at = 0;
            if used.capacity() > 0 {
                let _ = self.empty.send(used);
            }
            match self.full.recv() {
                Ok(buffer) => self.buffer = buffer?,
                Err(_) => self.ended = true,
            }
        }
        Ok(self.buffer.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for BufferReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut bytes = self.fill_buf()?;
        let count = bytes.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
