//! Bounded pipes between a connection and the backend.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

/// What the client sends on one stream. It ends when the client has closed
/// that stream, or has gone. Dropping it lets the client send on, into nothing.
#[derive(Debug)]
pub struct StreamReader(DuplexStream);

/// What the client gets on one stream. A write waits while the client does not
/// read, and fails with `BrokenPipe` once it has closed the stream or gone.
/// Dropping it ends the stream in order.
#[derive(Debug)]
pub struct StreamWriter(DuplexStream);

/// A pipe that holds up to `size` bytes.
#[must_use]
pub(crate) fn pipe(size: usize) -> (StreamReader, StreamWriter) {
    let (reader, writer) = duplex(size.max(1));
    (StreamReader(reader), StreamWriter(writer))
}

impl AsyncRead for StreamReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for StreamWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
