//! base64 of messages that come in pieces.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::frame::FrameError;

/// Decodes one message after the other.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// Up to three characters that wait for a fourth.
    waiting: Vec<u8>,
    /// Padding was seen: the message is over.
    padded: bool,
}

impl Decoder {
    /// The bytes that this piece completes.
    pub(super) fn piece(&mut self, text: &[u8]) -> Result<Vec<u8>, FrameError> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        if self.padded {
            return Err(FrameError::Base64);
        }
        self.waiting.extend_from_slice(text);
        let rest = self.waiting.split_off(self.waiting.len() / 4 * 4);
        let whole = std::mem::replace(&mut self.waiting, rest);
        self.padded = whole.ends_with(b"=");
        STANDARD.decode(whole).map_err(|_| FrameError::Base64)
    }

    /// The message is complete.
    pub(super) fn end(&mut self) -> Result<(), FrameError> {
        self.padded = false;
        if self.waiting.is_empty() { Ok(()) } else { Err(FrameError::Base64) }
    }
}

pub(super) fn encode(channel: u8, bytes: &[u8]) -> Vec<u8> {
    let mut text = String::with_capacity(bytes.len() / 3 * 4 + 5);
    text.push(char::from(b'0'.saturating_add(channel)));
    STANDARD.encode_string(bytes, &mut text);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined() {
        let text = STANDARD.encode(b"all of this text");
        for cut in 0..text.len() {
            let mut decoder = Decoder::default();
            let mut plain = decoder.piece(&text.as_bytes()[..cut]).expect("the first");
            plain.extend(decoder.piece(&text.as_bytes()[cut..]).expect("the second"));
            assert_eq!((plain.as_slice(), decoder.end()), (&b"all of this text"[..], Ok(())));
        }
    }

    #[test]
    fn rubbish_is_refused() {
        assert_eq!(Decoder::default().piece(b"****"), Err(FrameError::Base64));
        let mut cut = Decoder::default();
        assert_eq!(
            (cut.piece(b"QUJD=").map(|p| p.len()), cut.end()),
            (Ok(3), Err(FrameError::Base64))
        );
        let mut padded = Decoder::default();
        assert_eq!(padded.piece(b"QQ=="), Ok(b"A".to_vec()));
        assert_eq!(padded.piece(b"QQ=="), Err(FrameError::Base64));
    }

    #[test]
    fn what_is_written() {
        assert_eq!(encode(1, b"\n"), b"1Cg==");
    }
}
