//! A byte stream inside of binary messages, which SPDY then runs over.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::frame::{FrameError, binary, close};
use super::reader::{Messages, read};
use crate::outlet::{CHUNK, Outlet};
use crate::pipe::{StreamReader, StreamWriter};

/// Joins messages. Once nobody reads them they go nowhere.
struct Joined(StreamWriter);

impl Messages for Joined {
    fn begin(&mut self) {}

    async fn piece(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        let _ = self.0.write_all(bytes).await;
        Ok(())
    }

    fn end(&mut self) -> Result<(), FrameError> {
        Ok(())
    }
}

/// Gives what comes in messages to `to`, until the client closes or goes.
pub(crate) async fn read_tunnel<R: AsyncRead + Unpin>(from: R, outlet: &Outlet, to: StreamWriter) {
    read(from, outlet, &mut Joined(to)).await;
}

/// Sends all of `from` as messages, then closes.
pub(crate) async fn write_tunnel(mut from: StreamReader, outlet: &Outlet) {
    let mut buffer = Vec::with_capacity(CHUNK);
    while let Ok(1..) = from.read_buf(&mut buffer).await {
        if outlet.send(binary(&[&buffer])).await.is_err() {
            return;
        }
        buffer.clear();
    }
    outlet.last(close());
}
