//! Brings the archive from the thread that reads (and decompresses) it to the
//! walled-in thread that unpacks.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// Large enough that most files come in one piece.
const CHUNK: usize = 256 << 10;
/// Chunks on the way.
const DEPTH: usize = 4;

/// The reading end's side: fills chunks and sends them.
pub(crate) struct Feeder {
    full: SyncSender<io::Result<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
}

/// The unpacking side.
pub(crate) struct Feed {
    full: Receiver<io::Result<Vec<u8>>>,
    empty: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
    is_done: bool,
}

pub(crate) fn feed() -> (Feeder, Feed) {
    let (full_in, full_out) = sync_channel(DEPTH);
    let (empty_in, empty_out) = channel();
    let feed = Feed { full: full_out, empty: empty_in, chunk: Vec::new(), at: 0, is_done: false };
    (Feeder { full: full_in, empty: empty_out }, feed)
}

impl Feeder {
    /// Sends all of `reader`, or its error, or as much as is wanted.
    pub(crate) fn run(self, mut reader: impl Read) {
        loop {
            let mut chunk = self.empty.try_recv().unwrap_or_default();
            chunk.resize(CHUNK, 0);
            let mut filled = 0;
            let mut failed = None;
            while let Some(space @ [_, ..]) = chunk.get_mut(filled..) {
                match reader.read(space) {
                    Ok(0) => break,
                    Ok(len) => filled += len,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            let is_last = filled < CHUNK;
            chunk.truncate(filled);
            // An error of `send` means that the other side has given up.
            let is_sent = filled == 0 || self.full.send(Ok(chunk)).is_ok();
            if let (true, Some(error)) = (is_sent, failed) {
                let _ = self.full.send(Err(error));
                return;
            }
            if is_last || !is_sent {
                return;
            }
        }
    }
}

impl BufRead for Feed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.chunk.len() && !self.is_done {
            let used = std::mem::take(&mut self.chunk);
            self.at = 0;
            if used.capacity() > 0 {
                let _ = self.empty.send(used);
            }
            match self.full.recv() {
                Ok(chunk) => self.chunk = chunk?,
                // The reading side ended, and said no error before.
                Err(_) => self.is_done = true,
            }
        }
        Ok(self.chunk.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, len: usize) {
        self.at += len;
    }
}

impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut bytes = self.fill_buf()?;
        let len = bytes.read(buffer)?;
        self.consume(len);
        Ok(len)
    }
}
