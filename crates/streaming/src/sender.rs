//! Sending on one stream, whatever the protocol.

use std::future::Future;

use tokio::io::AsyncReadExt as _;

use crate::outlet::CHUNK;
use crate::pipe::StreamReader;

/// The stream or connection was closed by the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// One direction of one stream, to the client. Dropped unfinished, it breaks
/// the stream off where the protocol can say so.
pub(crate) trait Sender: Send {
    /// Sends all of `bytes`; waits while the client does not take them.
    fn send(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), Closed>> + Send;

    /// Says that there is no more.
    fn finish(self) -> impl Future<Output = Result<(), Closed>> + Send;
}

/// Sends all that comes out of `from`; returns the sender, which the caller
/// finishes.
pub(crate) async fn pump<S: Sender>(mut from: StreamReader, mut to: S) -> Result<S, Closed> {
    let mut buffer = Vec::with_capacity(CHUNK);
    loop {
        buffer.clear();
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return Ok(to),
            Ok(_) => to.send(&buffer).await?,
        }
    }
}
