//! Rules over any text file: names, leftovers, words that do not belong.

use crate::Finding;
use crate::mask::{line_of, word_offsets};

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] =
    ["utils", "util", "misc", "helpers", "helper", "common", "stuff", "manager2"];

// Written in two halves, so that this file may hold them.
const LEFTOVERS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const FOREIGN: [&str; 7] = [
    concat!("/wo", "rk/"),
    concat!("/Us", "ers/"),
    concat!("AI-", "generated"),
    concat!("deb.", "debian.org"),
    concat!("crates", ".io"),
    concat!("proxy.", "golang.org"),
    concat!("static.", "rust-lang.org"),
];

/// The file's or a folder's name says what is inside.
#[must_use]
pub fn telling_name(path: &str) -> Option<Finding> {
    let parts = path.split('/').map(|part| part.split('.').next().unwrap_or(part));
    let empty = parts.into_iter().find(|part| EMPTY_NAMES.contains(part))?;
    Some(Finding {
        rule: "name",
        path: path.to_owned(),
        line: 0,
        message: format!("`{empty}` says nothing: name it after what it does"),
    })
}

/// A leftover mark gives its reason in parentheses, right behind the word.
#[must_use]
pub fn leftovers(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for word in LEFTOVERS {
        for at in word_offsets(text, word) {
            let after = text.get(at + word.len()..).unwrap_or_default();
            let reason = after.strip_prefix('(').and_then(|a| a.split(')').next());
            if reason.is_none_or(|r| r.trim().len() < 3) {
                let line = line_of(text, at);
                let message = format!("`{word}` without a reason in parentheses");
                findings.push(Finding { rule: "leftover", path: path.to_owned(), line, message });
            }
        }
    }
    findings
}

/// How many leftover marks a text has, with or without a reason.
#[must_use]
pub fn count_leftovers(text: &str) -> usize {
    LEFTOVERS.iter().map(|word| word_offsets(text, word).len()).sum()
}

/// Paths of one machine and names of registries stay out of the repository:
/// the first mean nothing elsewhere, the second are the user's configuration.
#[must_use]
pub fn foreign_words(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for word in FOREIGN {
        for (at, _) in text.match_indices(word) {
            let line = line_of(text, at);
            let message = format!("`{word}` does not belong in the repository");
            findings.push(Finding { rule: "word", path: path.to_owned(), line, message });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_names_are_found_at_any_depth() {
        assert!(telling_name("crates/a/src/utils.rs").is_some());
        assert!(telling_name("crates/common/src/lib.rs").is_some());
        assert!(telling_name("crates/a/src/commands.rs").is_none());
    }

    #[test]
    fn leftovers_need_a_reason() {
        let [mark, _, cross] = LEFTOVERS;
        let text = format!(
            "{mark}: later\n{mark}(kernel 6.20 has it): drop\n{cross}\nmktemp a.{cross}{cross}\n"
        );
        let lines: Vec<_> = leftovers("a", &text).iter().map(|f| f.line).collect();
        assert_eq!(lines, [1, 3]);
        assert_eq!(count_leftovers(&text), 3);
    }

    #[test]
    fn foreign_words_are_found() {
        let text = format!("a\nsee {}x\n", FOREIGN[0]);
        assert_eq!(foreign_words("a", &text).len(), 1);
        assert!(foreign_words("a", "a network/workload is fine").is_empty());
    }
}
