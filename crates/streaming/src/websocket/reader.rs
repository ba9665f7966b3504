//! What comes from the client.

use std::future::Future;
use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

use super::frame::{self, FrameError, Head, Opcode, close_with, parse, pong, rest_of_head};
use crate::outlet::{CHUNK, Gone, Outlet};

/// Takes messages, as they come: each is begun, comes in pieces, and ends.
pub(super) trait Messages {
    /// A message begins.
    fn begin(&mut self);
    /// A piece of it, already unmasked. Waits as long as it can't be taken.
    fn piece(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), FrameError>> + Send;
    /// It is complete.
    fn end(&mut self) -> Result<(), FrameError>;
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("the connection ended: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Reads until the client closes, goes or breaks the protocol; answers pings
/// and the close.
pub(super) async fn read<R, M>(read: R, outlet: &Outlet, messages: &mut M)
where
    R: AsyncRead + Unpin,
    M: Messages,
{
    let mut read = BufReader::with_capacity(CHUNK, read);
    let answer = match run(&mut read, outlet, messages).await {
        Ok(()) => frame::close(),
        Err(ReadError::Frame(error)) => close_with(error.code()),
        Err(ReadError::Io(_)) => return,
    };
    outlet.now(answer);
}

async fn run<R, M>(
    read: &mut BufReader<R>,
    outlet: &Outlet,
    messages: &mut M,
) -> Result<(), ReadError>
where
    R: AsyncRead + Unpin,
    M: Messages,
{
    let mut inside = false;
    let mut plain = Vec::with_capacity(CHUNK);
    loop {
        let head = read_head(read).await?;
        match head.opcode {
            Opcode::Close => return Ok(()),
            Opcode::Ping | Opcode::Pong => {
                let mut payload = vec![0; usize::try_from(head.length).unwrap_or(0)];
                read.read_exact(&mut payload).await?;
                unmask(&mut payload, head.mask, 0);
                if head.opcode == Opcode::Ping {
                    outlet.urgent(pong(&payload)).map_err(|Gone| FrameError::Flood)?;
                }
            }
            Opcode::Continuation if !inside => return Err(FrameError::Fragment.into()),
            Opcode::Text | Opcode::Binary if inside => return Err(FrameError::Fragment.into()),
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                if !inside {
                    messages.begin();
                }
                let mut done = 0;
                while done < head.length {
                    let bytes = read.fill_buf().await?;
                    if bytes.is_empty() {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                    let left = usize::try_from(head.length - done).unwrap_or(usize::MAX);
                    plain.clear();
                    plain.extend_from_slice(bytes.get(..left).unwrap_or(bytes));
                    read.consume(plain.len());
                    unmask(&mut plain, head.mask, done);
                    done += plain.len() as u64;
                    messages.piece(&plain).await?;
                }
                inside = !head.fin;
                if head.fin {
                    messages.end()?;
                }
            }
        }
    }
}

async fn read_head<R: AsyncRead + Unpin>(read: &mut BufReader<R>) -> Result<Head, ReadError> {
    let mut two = [0; 2];
    read.read_exact(&mut two).await?;
    let mut rest = [0; 12];
    let rest = rest.get_mut(..rest_of_head(two[1])?).ok_or(FrameError::Length)?;
    read.read_exact(rest).await?;
    Ok(parse(two[0], two[1], rest)?)
}

/// Takes the mask off bytes that begin `offset` bytes into a frame's payload.
fn unmask(bytes: &mut [u8], mut mask: [u8; 4], offset: u64) {
    // Below four.
    mask.rotate_left(usize::try_from(offset % 4).unwrap_or(0));
    let mut fours = bytes.chunks_exact_mut(4);
    for four in &mut fours {
        for (byte, mask) in four.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in fours.into_remainder().iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_go_on_from_piece_to_piece() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let mut hello = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        for cut in 0..=hello.len() {
            let mut bytes = hello;
            let (first, second) = bytes.split_at_mut(cut);
            unmask(first, mask, 0);
            unmask(second, mask, cut as u64);
            assert_eq!(&bytes, b"Hello");
        }
        unmask(&mut hello, mask, 4);
        assert_eq!(&hello, b"Hello");
    }
}
