//! Output, cut into lines.

/// Longer lines are written in pieces of this size, as docker and the CRI's
/// runtimes do.
const LONGEST: usize = 16 * 1024;

/// The beginning of a line whose end has not come yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    /// Calls `emit` with each line, without its end, and with pieces of lines
    /// that are too long; the flag tells whether the line ends there.
    pub(super) fn feed(&mut self, mut data: &[u8], mut emit: impl FnMut(&[u8], bool)) {
        while !data.is_empty() {
            let room = LONGEST.saturating_sub(self.pending.len());
            let window = data.get(..data.len().min(room)).unwrap_or_default();
            let end = window.iter().position(|&byte| byte == b'\n');
            let taken = end.unwrap_or(window.len());
            let (piece, rest) = data.split_at(taken);
            if let (Some(_), true) = (end, self.pending.is_empty()) {
                emit(piece, true);
            } else {
                self.pending.extend(piece);
                if end.is_some() {
                    emit(&self.pending, true);
                    self.pending.clear();
                } else if self.pending.len() >= LONGEST {
                    // The newline may be the very next byte: then the line ends here.
                    if rest.first() == Some(&b'\n') {
                        emit(&self.pending, true);
                        self.pending.clear();
                        data = rest.get(1..).unwrap_or_default();
                        continue;
                    }
                    let cut = character_border(&self.pending);
                    emit(self.pending.get(..cut).unwrap_or_default(), false);
                    self.pending.drain(..cut);
                }
            }
            data = if end.is_some() { rest.get(1..).unwrap_or_default() } else { rest };
        }
        if self.pending.is_empty() {
            self.pending.shrink_to(0);
        }
    }

    /// The line that has not ended.
    pub(super) fn take_rest(&mut self) -> Option<Vec<u8>> {
        (!self.pending.is_empty()).then(|| std::mem::take(&mut self.pending))
    }
}

/// Where to cut so that no UTF-8 character is cut in two; the end, for text
/// that is no UTF-8.
fn character_border(bytes: &[u8]) -> usize {
    let length = bytes.len();
    for back in 1..=3.min(length.saturating_sub(1)) {
        let byte = bytes.get(length - back).copied().unwrap_or_default();
        let needed = match byte {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            // A continuation: look further back.
            0x80..=0xbf => continue,
            _ => return length,
        };
        return if needed > back { length - back } else { length };
    }
    length
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, Lines};

    /// Pieces, and whether each ends its line.
    type Pieces = Vec<(Vec<u8>, bool)>;

    fn fed(chunks: &[&[u8]]) -> (Pieces, Option<Vec<u8>>) {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for chunk in chunks {
            lines.feed(chunk, |piece, whole| out.push((piece.to_vec(), whole)));
        }
        (out, lines.take_rest())
    }

    #[test]
    fn lines_come_whole_however_they_arrive() {
        let (out, rest) = fed(&[b"a\nb", b"c\n\n", b"d"]);
        let wanted = [(b"a".to_vec(), true), (b"bc".to_vec(), true), (Vec::new(), true)];
        assert_eq!((out.as_slice(), rest), (wanted.as_slice(), Some(b"d".to_vec())));
    }

    #[test]
    fn long_lines_come_in_pieces() {
        let long = vec![b'x'; LONGEST];
        let (out, rest) = fed(&[&long, b"y\n"]);
        assert_eq!(out, [(long.clone(), false), (b"y".to_vec(), true)]);
        assert_eq!(rest, None);
        let mut exact = long.clone();
        exact.push(b'\n');
        assert_eq!(fed(&[&exact]).0, [(long, true)]);
    }

    #[test]
    fn pieces_end_between_characters() {
        let mut text = vec![b'x'; LONGEST - 1];
        text.extend("é!\n".as_bytes());
        let (out, _) = fed(&[&text]);
        assert_eq!(out.len(), 2);
        assert_eq!((out[0].0.len(), out[0].1), (LONGEST - 1, false));
        assert_eq!(out[1], ("é!".as_bytes().to_vec(), true));
        let (out, _) = fed(&[&vec![0xff; LONGEST + 1], b"\n"]);
        assert_eq!(out[0].0.len(), LONGEST);
    }
}
