//! Header blocks: one zlib stream for each direction of a connection.

use flate2::{Decompress, FlushDecompress, Status};

use super::dictionary::dictionary;
use super::frame::FrameError;

/// A block's size once it is unpacked. Kubernetes' have about 100 bytes.
const MAX_BLOCK: usize = 16 * 1024;
/// Headers in a block.
const MAX_HEADERS: usize = 64;

pub(crate) type Headers = Vec<(String, String)>;

/// Reads the other side's blocks, in their order.
pub(super) struct HeaderReader(Decompress);

impl HeaderReader {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// The headers of a block. After an error the stream can't be read further.
    pub(super) fn read(&mut self, block: &[u8]) -> Result<Headers, FrameError> {
        parse(&self.unpack(block)?).ok_or(FrameError::Headers)
    }

    fn unpack(&mut self, mut block: &[u8]) -> Result<Vec<u8>, FrameError> {
        let mut plain = Vec::with_capacity(1024);
        let mut primed = false;
        while !block.is_empty() {
            if plain.len() == plain.capacity() {
                plain.reserve(plain.len());
            }
            let (from, had) = (self.0.total_in(), plain.len());
            let done = self.0.decompress_vec(block, &mut plain, FlushDecompress::Sync);
            let taken = usize::try_from(self.0.total_in() - from).unwrap_or(usize::MAX);
            block = block.get(taken..).ok_or(FrameError::Headers)?;
            match done {
                // It asks for the dictionary once, right at the start.
                Err(error) if error.needs_dictionary().is_some() && !primed => {
                    self.0.set_dictionary(&dictionary()).map_err(|_| FrameError::Headers)?;
                    primed = true;
                }
                Err(_) | Ok(Status::StreamEnd) => return Err(FrameError::Headers),
                Ok(_) if plain.len() > MAX_BLOCK => return Err(FrameError::Headers),
                Ok(_) if taken == 0 && plain.len() == had => return Err(FrameError::Headers),
                Ok(_) => {}
            }
        }
        // What a full buffer held back is the end of a block that is too long
        // or comes with the next turn: ask once more.
        while plain.len() == plain.capacity() {
            plain.reserve(plain.len());
            let had = plain.len();
            match self.0.decompress_vec(&[], &mut plain, FlushDecompress::Sync) {
                Ok(Status::Ok | Status::BufError) if plain.len() <= MAX_BLOCK => {}
                _ => return Err(FrameError::Headers),
            }
            if plain.len() == had {
                break;
            }
        }
        Ok(plain)
    }
}

/// Count, then names and values, each behind its length, all in 32 bits.
fn parse(mut plain: &[u8]) -> Option<Headers> {
    let count = number(&mut plain)?;
    if count > MAX_HEADERS {
        return None;
    }
    let mut headers = Vec::with_capacity(count);
    for _ in 0..count {
        let (name, value) = (text(&mut plain)?, text(&mut plain)?);
        headers.push((name, value));
    }
    plain.is_empty().then_some(headers)
}

fn number(plain: &mut &[u8]) -> Option<usize> {
    let (number, rest) = plain.split_first_chunk::<4>()?;
    *plain = rest;
    usize::try_from(u32::from_be_bytes(*number)).ok()
}

fn text(plain: &mut &[u8]) -> Option<String> {
    let length = number(plain)?;
    let (text, rest) = plain.split_at_checked(length)?;
    *plain = rest;
    String::from_utf8(text.to_vec()).ok()
}

/// Writes our blocks, all of which are empty: no answer of ours has a header.
///
/// So they need no compressor, which would be the largest part of a connection:
/// each is one stored block (RFC 1951, 3.2.4) with a count of zero.
#[derive(Debug, Default)]
pub(super) struct EmptyBlocks {
    begun: bool,
}

impl EmptyBlocks {
    /// The next block.
    pub(super) fn block(&mut self) -> Vec<u8> {
        let mut block = Vec::with_capacity(20);
        if !std::mem::replace(&mut self.begun, true) {
            // zlib's head (RFC 1950), and the dictionary's checksum.
            block.extend([0x78, 0xf9, 0xe3, 0xc6, 0xa7, 0xc2]);
        }
        // Not the last block, stored, four bytes, and those.
        block.extend([0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0]);
        // An empty one behind it is zlib's flush. Go's reader gives nothing out
        // before it comes.
        block.extend([0, 0, 0, 0xff, 0xff]);
        block
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    /// A client's blocks.
    struct Writer(Compress);

    impl Writer {
        fn new() -> Self {
            let mut compress = Compress::new(Compression::fast(), true);
            compress.set_dictionary(&dictionary()).expect("a dictionary");
            Self(compress)
        }

        fn block(&mut self, headers: &[(&str, &str)]) -> Vec<u8> {
            let number = |n: usize| u32::try_from(n).expect("small").to_be_bytes();
            let mut plain = number(headers.len()).to_vec();
            for text in headers.iter().flat_map(|(name, value)| [name, value]) {
                plain.extend(number(text.len()));
                plain.extend(text.bytes());
            }
            let mut block = Vec::with_capacity(plain.len() + 128);
            self.0.compress_vec(&plain, &mut block, FlushCompress::Sync).expect("a block");
            block
        }
    }

    fn both(blocks: &[&[(&str, &str)]]) {
        let (mut writer, mut reader) = (Writer::new(), HeaderReader::new());
        for headers in blocks {
            let read = reader.read(&writer.block(headers)).expect("headers");
            let read: Vec<_> = read.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(read, *headers);
        }
    }

    #[test]
    fn blocks_of_one_stream_follow_each_other() {
        both(&[&[("streamtype", "error")], &[], &[("streamtype", "stdin"), ("port", "80")]]);
        let long = "x".repeat(10_000);
        both(&[&[("a", &long)], &[("a", &long), ("b", "c")], &[]]);
    }

    #[test]
    fn empty_blocks_are_read_as_such() {
        let (mut writer, mut reader) = (EmptyBlocks::default(), HeaderReader::new());
        for _ in 0..3 {
            let block = writer.block();
            assert!(block.ends_with(&[0, 0, 0, 0xff, 0xff]), "no flush");
            assert_eq!(reader.read(&block), Ok(Vec::new()));
        }
    }

    #[test]
    fn a_block_that_another_implementation_wrote() {
        // zlib.compressobj(zdict=…) of Python: {"streamtype": "stdin"}, then a
        // sync flush.
        let block = include_bytes!("testdata/stdin.block");
        let headers = HeaderReader::new().read(block).expect("headers");
        assert_eq!(headers, [("streamtype".to_owned(), "stdin".to_owned())]);
    }

    #[test]
    fn bombs_and_rubbish_are_refused() {
        let mut compress = Compress::new(Compression::best(), true);
        compress.set_dictionary(&dictionary()).expect("a dictionary");
        let mut bomb = Vec::with_capacity(16 * 1024);
        compress.compress_vec(&vec![0; 8 << 20], &mut bomb, FlushCompress::Sync).expect("bomb");
        assert!(bomb.len() < 16 * 1024);
        assert_eq!(HeaderReader::new().read(&bomb), Err(FrameError::Headers));
        assert_eq!(HeaderReader::new().read(b"rubbish"), Err(FrameError::Headers));
        assert_eq!(HeaderReader::new().read(b""), Err(FrameError::Headers));
    }

    #[test]
    fn lies_about_lengths_are_refused() {
        assert_eq!(parse(&[0, 0, 0, 0]), Some(Vec::new()));
        assert_eq!(parse(&[0, 0, 0, 0, 1]), None);
        assert_eq!(parse(&[0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(parse(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 1, 2]), None);
        assert_eq!(parse(&[0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0, 0, 0, 0]), None);
    }
}
