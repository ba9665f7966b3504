//! Brings the archive from the thread that reads (and decompresses) it to the
//! walled-in thread that unpacks.

use std::io::{self, Read};

use crate::buffers::BufferSender;

/// Buffers on the way.
pub(super) const DEPTH: usize = 4;

/// Sends all of `reader`, or its error, or as much as is wanted.
pub(super) fn feed(sender: &BufferSender, mut reader: impl Read) {
    loop {
        let mut buffer = sender.buffer();
        let mut filled = 0;
        let mut failed = None;
        while let Some(space @ [_, ..]) = buffer.get_mut(filled..) {
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
        let is_last = filled < buffer.len();
        buffer.truncate(filled);
        // If it is not sent, the other side has given up.
        let is_sent = filled == 0 || sender.send(buffer);
        if let (true, Some(error)) = (is_sent, failed) {
            sender.fail(error);
            return;
        }
        if is_last || !is_sent {
            return;
        }
    }
}
