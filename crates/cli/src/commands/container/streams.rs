//! Keys that leave a container, found in what the user types.

use std::str::FromStr;

/// The keys that detach, `ctrl-p,ctrl-q` unless the user says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DetachKeys(Vec<u8>);

impl Default for DetachKeys {
    fn default() -> Self {
        Self(vec![0x10, 0x11])
    }
}

impl FromStr for DetachKeys {
    type Err = String;

    /// Keys separated by commas: a character, or `ctrl-` and one of `a-z @ [ \ ] ^ _`.
    /// An empty text is no keys at all.
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse =
            |key: &str| format!("{key:?} is no key: write one character, or ctrl-a to ctrl-z");
        let mut keys = Vec::new();
        for key in text.split(',').filter(|_| !text.is_empty()) {
            let byte = match (key.as_bytes(), key.strip_prefix("ctrl-").map(str::as_bytes)) {
                ([byte], _) => *byte,
                (_, Some([byte])) => match byte.to_ascii_uppercase() {
                    upper @ b'@'..=b'_' => upper - b'@',
                    _ => return Err(refuse(key)),
                },
                _ => return Err(refuse(key)),
            };
            keys.push(byte);
        }
        Ok(Self(keys))
    }
}

/// Looks for the keys in a stream of input.
#[derive(Debug)]
pub(crate) struct Detector {
    keys: DetachKeys,
    matched: usize,
}

impl Detector {
    pub(crate) fn new(keys: DetachKeys) -> Self {
        Self { keys, matched: 0 }
    }

    /// What of `typed` (and of what was held back before) goes on to the
    /// container, and whether the keys came.
    pub(crate) fn feed(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let keys = &self.keys.0;
        let mut through = Vec::with_capacity(typed.len());
        for byte in typed {
            if keys.get(self.matched) == Some(byte) {
                self.matched += 1;
                if self.matched == keys.len() {
                    return (through, true);
                }
                continue;
            }
            // What looked like the start was not: it goes on after all.
            through.extend(keys.iter().take(self.matched));
            self.matched = 0;
            if keys.first() == Some(byte) {
                self.matched = 1;
                if keys.len() == 1 {
                    return (through, true);
                }
            } else {
                through.push(*byte);
            }
        }
        (through, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read() {
        assert_eq!("ctrl-p,ctrl-q".parse(), Ok(DetachKeys::default()));
        assert_eq!("ctrl-a,d".parse(), Ok(DetachKeys(vec![1, b'd'])));
        assert_eq!("".parse(), Ok(DetachKeys(Vec::new())));
        for bad in ["ctrl-", "ctrl-1", "ab", "a,,b"] {
            assert!(bad.parse::<DetachKeys>().is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_found_and_nothing_is_lost() {
        let mut detector = Detector::new(DetachKeys::default());
        assert_eq!(detector.feed(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(detector.feed(b"c\x10\x10"), (b"\x10c\x10".to_vec(), false));
        assert_eq!(detector.feed(b"\x11rest"), (Vec::new(), true));
        let mut none = Detector::new(DetachKeys(Vec::new()));
        assert_eq!(none.feed(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }
}
