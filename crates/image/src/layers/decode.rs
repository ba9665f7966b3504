//! From a compressed blob to the archive in it.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;

use super::meter::Meter;
use crate::Digest;
use crate::content::Hasher;
use crate::manifest::LayerCompression;

/// Counts what is taken out of a compressed stream.
pub(super) struct Metered<'a, R> {
    pub(super) input: R,
    pub(super) meter: &'a Meter<'a>,
    pub(super) index: usize,
}

impl<R: BufRead> BufRead for Metered<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.meter.unpacked(self.index, count as u64);
    }
}

impl<R: BufRead> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut bytes = self.fill_buf()?;
        let count = bytes.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

/// A decompressor. Several gzip members or zstd frames are one stream;
/// skippable frames, such as zstd:chunked's, are skipped. What comes behind
/// and is neither is an error, and so is a stream that ends in the middle.
pub(crate) enum Decoder<'d, R: BufRead> {
    Plain(R),
    Gzip(Box<MultiGzDecoder<R>>),
    Zstd(Box<zstd::stream::read::Decoder<'d, R>>),
}

impl<R: BufRead> Decoder<'_, R> {
    /// A decompressor for what the first bytes show; if they show nothing, for
    /// what was `declared`. Some tools declare the wrong one, and the digest of
    /// the result tells whether it was right.
    pub(crate) fn new(mut input: R, declared: LayerCompression) -> io::Result<Self> {
        let found = detect(input.fill_buf()?).unwrap_or(declared);
        Ok(match found {
            LayerCompression::None => Self::Plain(input),
            LayerCompression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(input))),
            LayerCompression::Zstd => {
                Self::Zstd(Box::new(zstd::stream::read::Decoder::with_buffer(input)?))
            }
        })
    }
}

/// The compression that a stream begins like.
pub(crate) fn detect(start: &[u8]) -> Option<LayerCompression> {
    match start {
        [0x1f, 0x8b, 8, ..] => Some(LayerCompression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Some(LayerCompression::Zstd)
        }
        _ => None,
    }
}

impl<R: BufRead> Read for Decoder<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(buffer),
            Self::Gzip(input) => input.read(buffer),
            Self::Zstd(input) => input.read(buffer),
        }
    }
}

/// Hashes and counts what is read, and ends with an error at a limit.
pub(super) struct Hashed<R> {
    input: R,
    hasher: Hasher,
    bytes: u64,
    limit: u64,
    exceeded: bool,
}

impl<R: Read> Hashed<R> {
    pub(super) fn new(input: R, diff_id: &Digest, limit: u64) -> Self {
        let hasher = Hasher::new(diff_id.algorithm());
        Self { input, hasher, bytes: 0, limit, exceeded: false }
    }

    /// Whether more came than may.
    pub(super) fn exceeded(&self) -> bool {
        self.exceeded
    }

    /// Reads what is left; the digest of all.
    pub(super) fn finish(mut self) -> io::Result<Digest> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(self.hasher.finish())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        self.bytes += count as u64;
        if self.bytes > self.limit {
            self.exceeded = true;
            return Err(io::Error::other("more bytes than a layer may have"));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(bytes: &[u8], declared: LayerCompression) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Decoder::new(bytes, declared)?.read_to_end(&mut out)?;
        Ok(out)
    }

    /// A frame that decoders skip.
    fn skippable(bytes: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x50, 0x2a, 0x4d, 0x18];
        frame.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
        frame.extend(bytes);
        frame
    }

    #[test]
    fn several_members_are_one_stream() {
        let members = [gzip(b"ab"), gzip(b""), gzip(b"cd")].concat();
        assert_eq!(decode(&members, LayerCompression::Gzip).unwrap(), b"abcd");
        let zstd = |b: &[u8]| zstd::encode_all(b, 1).unwrap();
        let frames =
            [skippable(b"x"), zstd(b"ab"), skippable(b"toc"), zstd(b"cd"), skippable(b"")].concat();
        assert_eq!(decode(&frames, LayerCompression::Zstd).unwrap(), b"abcd");
        // Declared wrongly.
        assert_eq!(decode(&frames, LayerCompression::Gzip).unwrap(), b"abcd");
        assert_eq!(decode(&members, LayerCompression::None).unwrap(), b"abcd");
        assert_eq!(decode(b"plain", LayerCompression::None).unwrap(), b"plain");
    }

    #[test]
    fn garbage_and_half_streams_are_refused() {
        let data: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for (whole, declared) in [
            (gzip(&data), LayerCompression::Gzip),
            (zstd::encode_all(&data[..], 1).unwrap(), LayerCompression::Zstd),
        ] {
            for cut in [1, 5, whole.len() / 2, whole.len() - 1] {
                assert!(decode(&whole[..cut], declared).is_err(), "{declared:?} {cut}");
            }
            let behind = [&whole[..], b"garbage behind"].concat();
            assert!(decode(&behind, declared).is_err(), "{declared:?}");
            let mut wrong = whole.clone();
            wrong[whole.len() / 2] ^= 1;
            let result = decode(&wrong, declared);
            assert!(declared == LayerCompression::Zstd || result.is_err(), "{declared:?}");
        }
        assert!(decode(b"plain", LayerCompression::Gzip).is_err());
        assert!(decode(b"plain", LayerCompression::Zstd).is_err());
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        let bomb = gzip(&vec![0; 10 << 20]);
        let decoder = Decoder::new(&bomb[..], LayerCompression::Gzip).unwrap();
        let mut hashed = Hashed::new(decoder, &Digest::sha256(b""), 1 << 20);
        assert!(io::copy(&mut hashed, &mut io::sink()).is_err());
        assert!(hashed.exceeded());
    }
}
