//! Requests that name a socket's path as their host.
//!
//! Some gRPC clients send the path of a UNIX socket as `:authority`. That is no
//! host, so h2 resets each of their calls before any of our code sees it.
//! Nobody here reads the value; so this reader, between the socket and HTTP/2,
//! writes a harmless one over it. Length and number of characters stay, and with
//! them the sizes in both sides' tables of headers (RFC 7541, 4.1): nothing of
//! the stream needs to be decoded or remembered.

mod header_block;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a client's connection begins with (RFC 9113, 3.4).
const PREFACE: usize = 24;
/// The head of a frame: length, kind, flags, stream (4.1).
const HEAD: usize = 9;
/// Longest frame that we allow (SETTINGS_MAX_FRAME_SIZE's default). h2 refuses
/// longer ones; they pass through unchanged.
const MAX_FRAME: usize = 16_384;
/// HEADERS (6.2), its flags for padding and for a priority.
const HEADERS: u8 = 1;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// A connection whose requests have a host.
#[derive(Debug)]
pub(super) struct WithHost<S> {
    inner: S,
    frames: Frames,
    /// What was read, and is to be given on up to `Frames::ready`.
    buffer: Vec<u8>,
    /// What of that was given on.
    given: usize,
}

impl<S> WithHost<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, frames: Frames::default(), buffer: Vec::new(), given: 0 }
    }
}

/// Where frames begin and end.
#[derive(Debug)]
struct Frames {
    /// Bytes of the buffer that are done with.
    ready: usize,
    /// Bytes of the frame under way that are still to come, and need no look.
    skip: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Self { ready: 0, skip: PREFACE }
    }
}

impl Frames {
    /// Takes note of all that is in `buffer`.
    fn look(&mut self, buffer: &mut [u8]) {
        loop {
            let there = buffer.len() - self.ready;
            let step = self.skip.min(there);
            self.ready += step;
            self.skip -= step;
            let rest = buffer.get_mut(self.ready..).unwrap_or_default();
            let Some((head, payload)) = rest.split_at_mut_checked(HEAD) else { return };
            let [a, b, c, kind, flags, ..] = *head else { return };
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            if kind == HEADERS && length <= MAX_FRAME {
                let Some(payload) = payload.get_mut(..length) else { return };
                if let Some(block) = block(payload, flags) {
                    header_block::give_host(block);
                }
            }
            self.skip = HEAD + length;
        }
    }
}

/// The block of headers in a HEADERS frame.
fn block(payload: &mut [u8], flags: u8) -> Option<&mut [u8]> {
    let padding = if flags & PADDED != 0 { usize::from(*payload.first()?) } else { 0 };
    let start = usize::from(flags & PADDED != 0) + if flags & PRIORITY != 0 { 5 } else { 0 };
    let end = payload.len().checked_sub(padding)?;
    payload.get_mut(start..end)
}

impl<S: AsyncRead + Unpin> AsyncRead for WithHost<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let done = this.buffer.get(this.given..this.frames.ready).unwrap_or_default();
            if !done.is_empty() {
                let count = done.len().min(to.remaining());
                to.put_slice(done.get(..count).unwrap_or_default());
                this.given += count;
                return Poll::Ready(Ok(()));
            }
            this.buffer.drain(..this.given);
            this.frames.ready -= this.given;
            this.given = 0;
            let mut piece = [0; 8192];
            let mut read = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.inner).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                // The end; what is left of a frame is of no use to anybody.
                return Poll::Ready(Ok(()));
            }
            this.buffer.extend_from_slice(read.filled());
            this.frames.look(&mut this.buffer);
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WithHost<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    /// `:authority` as an indexed name, a plain value.
    fn authority(value: &str) -> Vec<u8> {
        let mut block = vec![0x41, u8::try_from(value.len()).unwrap()];
        block.extend_from_slice(value.as_bytes());
        block
    }

    async fn through(bytes: &[u8], pieces: usize) -> Vec<u8> {
        // A reader that gives `pieces` bytes at a time.
        let (mut near, far) = tokio::io::duplex(pieces);
        let sent = bytes.to_vec();
        tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut near, &sent).await.unwrap();
        });
        let mut got = Vec::new();
        WithHost::new(far).read_to_end(&mut got).await.unwrap();
        got
    }

    #[tokio::test]
    async fn paths_become_hosts_however_they_come() {
        let build = |value: &str| {
            let mut bytes = vec![b'P'; PREFACE];
            bytes.extend(frame(4, 0, &[0; 6]));
            bytes.extend(frame(HEADERS, 4, &authority(value)));
            let mut padded = vec![3, 0, 0, 0, 0, 16];
            padded.extend(authority(value));
            padded.extend([0; 3]);
            bytes.extend(frame(HEADERS, 4 | PADDED | PRIORITY, &padded));
            // The same bytes as data are left alone.
            bytes.extend(frame(0, 1, &authority("/run/a.sock")));
            bytes
        };
        let (sent, wanted) = (build("/run/a.sock"), build("aaaaaaaaaaa"));
        for pieces in [1, 2, 7, 64, 100_000] {
            assert_eq!(through(&sent, pieces).await, wanted, "{pieces}");
        }
    }

    #[tokio::test]
    async fn nonsense_passes_unchanged() {
        let mut bytes = vec![0; PREFACE];
        bytes.extend(frame(HEADERS, 4 | PADDED, &[200, 1, 2]));
        bytes.extend(frame(HEADERS, 4, &[0x41, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]));
        bytes.extend(frame(HEADERS, 4, &[]));
        // Longer than allowed: the payload is not looked at.
        bytes.extend([0xff, 0xff, 0xff, HEADERS, 4, 0, 0, 0, 1]);
        bytes.extend(authority("/x"));
        assert_eq!(through(&bytes, 5).await, bytes);
    }
}
