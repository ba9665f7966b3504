//! A Rust source seen three ways: its code, its comments, and its code
//! without tests. Every view has the same bytes per line as the source, with
//! spaces where something was taken out, so that positions agree.

/// The views of one source file.
pub struct Source {
    /// Code only: comments and the insides of literals are blank.
    pub code: String,
    /// Comments only, including documentation.
    pub comments: String,
    /// As `code`, with every item under `#[cfg(test)]` or `#[test]` blank too.
    pub product: String,
}

impl Source {
    /// Splits `text` into its views. Text that is not Rust gives views without
    /// meaning but never a panic.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let (code, comments) = split(text.as_bytes());
        let product = without_tests(&code);
        Self { code, comments, product }
    }
}

/// Line number, counted from one, of byte `offset`.
#[must_use]
pub fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&b| b == b'\n').count() + 1
}

/// Offsets at which `word` stands in `text` with no identifier character on
/// either side.
#[must_use]
pub fn word_offsets(text: &str, word: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let inside = |at: Option<&u8>| at.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(|&at| {
            let before = at.checked_sub(1).and_then(|i| bytes.get(i));
            !inside(before) && !inside(bytes.get(at + word.len()))
        })
        .collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

fn split(src: &[u8]) -> (String, String) {
    let mut kinds = vec![Kind::Code; src.len()];
    let mut at = 0;
    while at < src.len() {
        let (end, kind) = token(src, at);
        let end = end.clamp(at + 1, src.len());
        for slot in kinds.iter_mut().take(end).skip(at) {
            *slot = kind;
        }
        if kind == Kind::Literal {
            // The quotes stay, so that `expect("` can be told from `expect(x`.
            for edge in [at, end - 1] {
                if let Some(slot) = kinds.get_mut(edge) {
                    *slot = Kind::Code;
                }
            }
        }
        at = end;
    }
    let view = |wanted: Kind| {
        let bytes = src.iter().zip(&kinds).map(|(&byte, &kind)| {
            if byte == b'\n' || (kind == wanted && byte.is_ascii()) { byte } else { b' ' }
        });
        String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
    };
    (view(Kind::Code), view(Kind::Comment))
}

/// End and kind of the token that starts at `at`.
fn token(src: &[u8], at: usize) -> (usize, Kind) {
    let rest = src.get(at..).unwrap_or_default();
    match rest {
        [b'/', b'/', ..] => (at + until(rest, b'\n'), Kind::Comment),
        [b'/', b'*', ..] => (at + block_comment(rest), Kind::Comment),
        [b'"', ..] => (at + quoted(rest), Kind::Literal),
        [b'r', b'"' | b'#', ..] if !follows_identifier(src, at) => raw_string(rest, at),
        [b'\'', b'\\', ..] => (at + 2 + until(&rest[2..], b'\'').max(1) + 1, Kind::Literal),
        [b'\'', ..] => match char_literal(rest) {
            Some(length) => (at + length, Kind::Literal),
            None => (at + 1, Kind::Code),
        },
        _ => (at + 1, Kind::Code),
    }
}

fn follows_identifier(src: &[u8], at: usize) -> bool {
    // `br"…"` is a raw string; `for"` is not Rust that anyone writes.
    at.checked_sub(1)
        .and_then(|i| src.get(i))
        .is_some_and(|b| (b.is_ascii_alphanumeric() || *b == b'_') && *b != b'b' && *b != b'c')
}

fn until(bytes: &[u8], stop: u8) -> usize {
    bytes.iter().position(|&b| b == stop).unwrap_or(bytes.len())
}

fn block_comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth.saturating_sub(1), at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

fn raw_string(bytes: &[u8], at: usize) -> (usize, Kind) {
    let hashes = bytes.iter().skip(1).take_while(|&&b| b == b'#').count();
    if bytes.get(1 + hashes) != Some(&b'"') {
        return (at + 1, Kind::Code); // a raw identifier
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let body = bytes.get(2 + hashes..).unwrap_or_default();
    let length = body.windows(close.len()).position(|w| w == close).unwrap_or(body.len());
    (at + 2 + hashes + length + close.len(), Kind::Literal)
}

/// Length of a plain character literal, `None` for a lifetime.
fn char_literal(bytes: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(bytes.get(1..bytes.len().min(8))?);
    let text = match text {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(bytes.get(1..1 + error.valid_up_to())?).ok()?,
    };
    let first = text.chars().next()?;
    text.get(first.len_utf8()..)?.starts_with('\'').then_some(first.len_utf8() + 2)
}

fn without_tests(code: &str) -> String {
    let mut bytes = code.as_bytes().to_vec();
    let attributes = ["#[cfg(test)]", "#[cfg(any(test", "#[cfg(all(test", "#[test]"];
    for attribute in attributes {
        for (start, _) in code.match_indices(attribute) {
            let end = item_end(code.as_bytes(), start + attribute.len());
            for byte in bytes.iter_mut().take(end).skip(start) {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// End of the item that starts after `at`: its closing brace or its semicolon.
fn item_end(code: &[u8], at: usize) -> usize {
    let (mut braces, mut others) = (0_usize, 0_isize);
    for (offset, byte) in code.iter().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => others += 1,
            b')' | b']' => others -= 1,
            b'{' => braces += 1,
            b'}' if braces <= 1 => return offset + 1,
            b'}' => braces -= 1,
            b';' if braces == 0 && others <= 0 => return offset + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_comments_leave_the_code() {
        let text = "let a = \"unsafe // no\"; // unsafe\nlet b = r#\"un\"safe\"#; let c = '\"'; /* x /* y */ z */ go()";
        let source = Source::new(text);
        assert!(!source.code.contains("unsafe"), "{}", source.code);
        assert!(!source.code.contains("safe"), "{}", source.code);
        assert!(source.code.contains("go()"));
        assert!(!source.code.contains('z'));
        assert!(source.comments.contains("// unsafe"));
        assert_eq!(source.code.len(), text.len());
    }

    #[test]
    fn lifetimes_are_not_characters() {
        let source = Source::new("fn f<'a>(x: &'a str) -> &'a str { \"no\" } fn g() {}");
        assert!(source.code.contains("fn g()"));
        assert!(!source.code.contains("no"));
    }

    #[test]
    fn escapes_end_where_they_should() {
        let source = Source::new("let q = '\\''; let s = \"a\\\"b\"; let t = '\\u{1F600}'; end()");
        assert!(source.code.contains("end()"));
        assert!(!source.code.contains('b'));
    }

    #[test]
    fn tests_leave_the_product() {
        let text =
            "fn a() { x.unwrap() }\n#[cfg(test)]\nmod tests { fn b() { y.unwrap() } }\nfn c() {}";
        let source = Source::new(text);
        assert_eq!(word_offsets(&source.product, "unwrap").len(), 1);
        assert!(source.product.contains("fn c()"));
        let source = Source::new("#[cfg(test)]\nuse a::{b};\nfn c() {}");
        assert!(source.product.contains("fn c()"));
    }

    #[test]
    fn words_have_borders() {
        assert_eq!(word_offsets("unsafe_code unsafe munsafe", "unsafe"), [12]);
        assert_eq!(line_of("a\nb\nc", 4), 3);
    }

    #[test]
    fn broken_text_does_not_panic() {
        for text in ["'", "'\\", "\"", "r#", "r#\"", "/*", "b'\\", "é'é'", "#[cfg(test)]"] {
            let source = Source::new(text);
            assert_eq!(source.code.len(), text.len());
        }
    }
}
