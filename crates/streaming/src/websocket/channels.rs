//! Streams as channels: each message begins with a channel's number.

use tokio::io::{AsyncRead, AsyncWriteExt as _};

use super::codec::{Decoder, encode};
use super::frame::{FrameError, binary, text};
use super::reader::{Messages, read};
use crate::activity::Activity;
use crate::outlet::{CHUNK, Gone, Outlet};
use crate::pipe::{StreamReader, StreamWriter, pipe};
use crate::sender::{Closed, Sender};

/// The fifth protocol: what comes behind this is the channel that the client
/// closes.
const CLOSE_SIGNAL: u8 = 255;

/// Sorts what comes.
pub(crate) struct Channels {
    base64: bool,
    closes: bool,
    pipes: Vec<Option<StreamWriter>>,
    target: Target,
    decoder: Decoder,
    activity: Activity,
}

/// Where the current message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Unknown,
    Channel(u8),
    Close(Option<u8>),
}

impl Channels {
    /// `base64`: messages are text; `closes`: there is a close signal.
    pub(crate) fn new(base64: bool, closes: bool, activity: Activity) -> Self {
        let (pipes, decoder) = (Vec::new(), Decoder::default());
        Self { base64, closes, pipes, target: Target::Unknown, decoder, activity }
    }

    /// The client may send on this channel; on others it sends into nothing.
    pub(crate) fn open(&mut self, channel: u8, buffer: usize) -> StreamReader {
        let (reader, writer) = pipe(buffer);
        let index = usize::from(channel);
        if self.pipes.len() <= index {
            self.pipes.resize_with(index + 1, || None);
        }
        if let Some(slot) = self.pipes.get_mut(index) {
            *slot = Some(writer);
        }
        reader
    }
}

/// Reads until the client closes, goes or breaks the protocol.
pub(crate) async fn read_channels<R: AsyncRead + Unpin>(
    from: R,
    outlet: &Outlet,
    mut channels: Channels,
) {
    read(from, outlet, &mut channels).await;
}

impl Messages for Channels {
    fn begin(&mut self) {
        self.target = Target::Unknown;
    }

    async fn piece(&mut self, mut bytes: &[u8]) -> Result<(), FrameError> {
        if self.target == Target::Unknown {
            let Some((first, rest)) = bytes.split_first() else { return Ok(()) };
            self.target = match *first {
                CLOSE_SIGNAL if self.closes => Target::Close(None),
                digit if self.base64 => Target::Channel(digit.wrapping_sub(b'0')),
                channel => Target::Channel(channel),
            };
            bytes = rest;
        }
        let channel = match (self.target, bytes) {
            (Target::Channel(channel), _) => channel,
            (_, []) => return Ok(()),
            (Target::Close(None), [channel]) => {
                self.target = Target::Close(Some(*channel));
                return Ok(());
            }
            _ => return Err(FrameError::CloseSignal),
        };
        let Some(slot) = self.pipes.get_mut(usize::from(channel)) else { return Ok(()) };
        let Some(pipe) = slot else { return Ok(()) };
        let decoded;
        if self.base64 {
            decoded = self.decoder.piece(bytes)?;
            bytes = &decoded;
        }
        if pipe.write_all(bytes).await.is_ok() {
            self.activity.touch();
        } else {
            // Nobody wants it any more.
            *slot = None;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), FrameError> {
        match self.target {
            Target::Close(channel) => {
                let slot = channel.and_then(|c| self.pipes.get_mut(usize::from(c)));
                *slot.ok_or(FrameError::CloseSignal)? = None;
                Ok(())
            }
            // What nobody wanted may be undecoded.
            Target::Channel(_) | Target::Unknown => self.decoder.end(),
        }
    }
}

/// Sends on one channel. These protocols have no word for its end.
pub(crate) struct ChannelSender {
    pub(crate) outlet: Outlet,
    pub(crate) channel: u8,
    pub(crate) base64: bool,
}

impl ChannelSender {
    /// A message with these bytes, which may be none.
    pub(crate) async fn message(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        let message = if self.base64 {
            text(&encode(self.channel, bytes))
        } else {
            binary(&[&[self.channel], bytes])
        };
        self.outlet.send(message).await.map_err(|Gone| Closed)
    }
}

impl Sender for ChannelSender {
    async fn send(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        for chunk in bytes.chunks(CHUNK) {
            self.message(chunk).await?;
        }
        Ok(())
    }

    async fn finish(self) -> Result<(), Closed> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    async fn feed(channels: &mut Channels, message: &[u8]) -> Result<(), FrameError> {
        channels.begin();
        // In the smallest pieces.
        for byte in message.chunks(1) {
            channels.piece(byte).await?;
        }
        channels.end()
    }

    #[tokio::test]
    async fn messages_find_their_channel() {
        let mut channels = Channels::new(false, true, Activity::new());
        let mut stdin = channels.open(0, 64);
        let mut resize = channels.open(4, 64);
        for message in [&b"\0one"[..], b"\x04{}", b"\x01ignored", b"\x09ignored", b"", b"\0two"] {
            feed(&mut channels, message).await.expect("fed");
        }
        feed(&mut channels, &[255, 0]).await.expect("closed");
        feed(&mut channels, b"\0more").await.expect("ignored");
        let mut text = String::new();
        stdin.read_to_string(&mut text).await.expect("an end");
        assert_eq!(text, "onetwo");
        drop(channels);
        text.clear();
        resize.read_to_string(&mut text).await.expect("an end");
        assert_eq!(text, "{}");
    }

    #[tokio::test]
    async fn close_signals_name_one_channel() {
        for signal in [&[255][..], &[255, 9], &[255, 0, 0]] {
            let mut channels = Channels::new(false, true, Activity::new());
            let _stdin = channels.open(0, 64);
            assert_eq!(feed(&mut channels, signal).await, Err(FrameError::CloseSignal));
        }
    }

    #[tokio::test]
    async fn base64_is_decoded() {
        let mut channels = Channels::new(true, false, Activity::new());
        let mut stdin = channels.open(0, 64);
        feed(&mut channels, b"0Zm9vCg==").await.expect("fed");
        feed(&mut channels, b"9****").await.expect("ignored");
        assert_eq!(feed(&mut channels, b"0Zm9v*").await, Err(FrameError::Base64));
        drop(channels);
        let mut text = String::new();
        stdin.read_to_string(&mut text).await.expect("an end");
        assert!(text.starts_with("foo\n"), "{text}");
    }
}
